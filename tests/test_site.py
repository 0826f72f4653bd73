"""The documentation builds as a site, without a dead link and without the network."""

import os
import re
import subprocess
import sys

import pytest

from shared.workflow_copy import ROOT

pytestmark = pytest.mark.slow


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning is a failure."""
    folder = tmp_path_factory.mktemp("site")
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_in_the_site(site):
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in ROOT.glob("docs/**/*.md")}
    assert {str(page) for page in pages if page.name != "README.html"} <= {
        str(path.relative_to(site)) for path in site.rglob("*.html")
    }
    assert all(
        (site / name).is_file() for name in ("index.html", "documentation.html", "contributing.html", "data.html")
    )


def test_every_room_has_its_public_names(site):
    for folder in ROOT.glob("scripts/assay/*/__init__.py"):
        assert f'id="assay.{folder.parent.name}"' in (site / f"reference/{folder.parent.name}.html").read_text()
    text = (site / "reference/models.html").read_text()
    assert 'id="assay.models.potential.Potential"' in text
    assert 'id="assay.models.painn._' not in text


def test_nothing_is_loaded_from_elsewhere(site):
    loads = re.compile(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)")
    found = {url for page in site.rglob("*.html") for url in loads.findall(page.read_text())}
    assert found == set()


def test_links_between_pages_are_those_of_the_site(site):
    text = (site / "index.html").read_text()
    assert 'href="documentation.html"' in text
    assert 'href="contributing.html"' in text
    assert 'href="architecture.html#rooms-of-the-library"' in (site / "contributing.html").read_text()
