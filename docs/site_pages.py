"""Hooks of MkDocs: pages from outside docs/, the reference of the library, the navigation, and links into the site.

The pages are written for a code host, where a link is relative to the file that holds it. Here such a link is turned
into one between pages of the site.
"""

import posixpath
import re
import tomllib
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
# Pages from outside docs/, and docs/README.md, which is not the first page of the site.
MOVED = {
    "README.md": "index.md",
    "docs/README.md": "documentation.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/README.md": "data.md",
}
SOURCES = {site: source for source, site in MOVED.items()}
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")


def rooms():
    """The rooms of the library, from top to bottom."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return layers


def guides():
    """The pages that docs/README.md lists, in its order."""
    listed = re.findall(r"\]\(([\w/-]+\.md)\)", (ROOT / "docs/README.md").read_text())
    return list(dict.fromkeys(page for page in listed if not page.startswith("notebook/")))


def on_config(config):
    """The navigation: the guides in the order of docs/README.md, the reference by room, the notebook, and the rest."""
    notebook = sorted(path.name for path in (ROOT / "docs/notebook").glob("2*.md"))
    config.nav = [
        {"Assay": MOVED["README.md"]},
        {"Guides": [MOVED["docs/README.md"], *guides()]},
        {"Reference": ["reference/index.md", *({room: f"reference/{room}.md"} for room in rooms())]},
        {"Notebook": ["notebook/README.md", *(f"notebook/{name}" for name in notebook)]},
        {"Project": [MOVED[name] for name in ("CONTRIBUTING.md", "CHANGELOG.md", "data/README.md")]},
    ]
    return config


def on_files(files, config):
    """Add the pages that do not lie in docs/."""
    for source, site in MOVED.items():
        files.append(File.generated(config, site, content=(ROOT / source).read_text()))
    listed = "\n".join(f"- [`{room}`]({room}.md)" for room in rooms())
    index = (
        "# Reference\n\nThe public names of the library, by room. The rooms stand in the order of their imports: "
        "a room imports only those below it. "
        "[Architecture](../architecture.md#rooms-of-the-library) says what each room holds."
        f"\n\n{listed}\n"
    )
    files.append(File.generated(config, "reference/index.md", content=index))
    for room in rooms():
        files.append(File.generated(config, f"reference/{room}.md", content=f"# {room}\n\n::: assay.{room}\n"))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri
    source = SOURCES.get(here, f"docs/{here}")
    if here.startswith("reference/"):
        return markdown

    def lead(link):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        site = MOVED.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(site, posixpath.dirname(here) or ".") + (link[2] or "")

    return LINK.sub(lead, markdown)
