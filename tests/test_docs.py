"""What the documentation shows is true: commands are tried, configs are accepted, links lead somewhere.

Commands of Snakemake are planned (-n) in a copy of the workflow; quick ones run; of the rest the files and flags are
looked up. A command that nothing here knows how to try is a failure.
"""

import ast
import re
import shlex
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import ase.build
import ase.io
import pytest
import yaml
from workflow_copy import ROOT, lay_out

from assay.config import check_config
from assay.data import read_dataset

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
PACKAGE = ROOT / "scripts/assay/package"
CONFIG_SECTIONS = set(yaml.safe_load((ROOT / "config/config.yaml").read_text()))


def blocks(page, language):
    """Contents of the page's fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def commands(page):
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def configs(page):
    """The page's YAML blocks that belong into a config."""
    return [c for block in blocks(page, "yaml") if set(c := yaml.safe_load(block)) <= CONFIG_SECTIONS]


def named(pairs):
    return [pytest.param(page, item, id=f"{page.stem}: {str(item)[:60]}") for page, item in pairs]


COMMANDS = [(page, command) for page in PAGES for command in dict.fromkeys(commands(page))]
PLANS = [(page, command) for page, command in COMMANDS if "bin/snakemake" in command]
OTHERS = [(page, command) for page, command in COMMANDS if "bin/snakemake" not in command]


def merged(base, override):
    """``base`` with ``override`` on top, as Snakemake merges configs."""
    result = deepcopy(base)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the workflow, with a file for everything that it is given."""
    tree = tmp_path_factory.mktemp("docs")
    lay_out(tree)
    shipped = subprocess.run(["git", "ls-files", "data"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    given = {word for page in PAGES for word in re.findall(r"path/to/[\w.]+\w", page.read_text())}
    for path in [*shipped, *given]:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).touch()
    return tree


@pytest.mark.parametrize(("page", "command"), named(PLANS))
def test_workflow_understands(tree, page, command):
    mine = {}
    for config in configs(page):
        mine = merged(mine, config)
    (tree / "mine.yaml").write_text(yaml.safe_dump(mine))
    words = [word for word in shlex.split(command)[1:] if word != "-n"]
    dry = [] if "--unlock" in words else ["-n", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *dry, *words], cwd=tree, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("page", "command"), named(OTHERS))
def test_command_is_there(page, command, tmp_path):
    program, *words = shlex.split(command)
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
        variables = re.findall(r"^(\w+) *\?=", (ROOT / "Makefile").read_text(), re.M)
        assert all(word in targets or word.split("=")[0] in variables for word in words)
    elif program == ".venv/bin/python" and words[0].startswith("scripts/"):
        source = (ROOT / words[0]).read_text()
        assert all(f'"{word}"' in source for word in words if word.startswith("--"))
    elif program == ".venv/bin/python" and words[:2] == ["-m", "pytest"]:
        assert all((ROOT / word).exists() for word in words[2:] if not word.startswith("-"))
    elif command in ("pip install -r requirements.txt", "python example.py"):
        assert (PACKAGE / "files" / words[-1]).is_file()
    elif command == "sha256sum -c SHA256SUMS":
        assert "SHA256SUMS" in (PACKAGE / "build.py").read_text()
    elif command in ("pip install pre-commit", "pre-commit install"):
        [hooks] = [repo["hooks"] for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]]
        tools = {Path(hook["entry"].split()[0]).name for hook in hooks}
        pinned = (ROOT / "envs/dev.txt").read_text() + (ROOT / "envs/core.txt").read_text()
        assert all(re.search(rf"^{tool}==", pinned, re.M) for tool in tools)
    else:
        raise AssertionError(f"no test knows how to try: {command}")


@pytest.mark.parametrize("options", [[], ["--json", "forces.json", "--output", "labelled.xyz"]])
def test_prediction_of_the_quick_start_runs(tmp_path, options):
    line = "scripts/predict.py data/checkpoints/tiny.pt molecules.xyz " + " ".join(options)
    assert any(line.strip() in command for _, command in OTHERS)
    ase.io.write(tmp_path / "molecules.xyz", ase.build.molecule("CH3CH2OH"))
    model = ROOT / "data/checkpoints/tiny.pt"
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/predict.py", model, "molecules.xyz", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "C2H6O" in done.stdout
    assert all((tmp_path / name).is_file() for name in options[1::2])


@pytest.mark.parametrize(("page", "config"), named((page, c) for page in PAGES for c in configs(page)))
def test_config_is_accepted(page, config):
    default = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    check_config(merged(default, config), ROOT / "config/schema.yaml")


def test_every_yaml_block_of_the_guides_is_a_config():
    guides = [ROOT / f"docs/{name}.md" for name in ("quick-start", "datasets", "teachers", "extending")]
    assert all(len(configs(page)) == len(blocks(page, "yaml")) for page in guides)


@pytest.mark.parametrize(("page", "code"), named((page, code) for page in PAGES for code in blocks(page, "python")))
def test_python_imports_what_exists(page, code, monkeypatch):
    monkeypatch.syspath_prepend(str(PACKAGE))
    compile(code, str(page), "exec")
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    space = {}
    exec(compile(ast.Module(imports, []), str(page), "exec"), space)
    assert {name.asname or name.name.split(".")[0] for node in imports for name in node.names} <= space.keys()


def test_dataset_of_the_guide_is_one_that_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [code] = blocks(ROOT / "docs/datasets.md", "python")
    exec(code, {})
    [structure] = read_dataset("my.xyz")
    assert len(structure) == 9
    assert structure.forces_eV_per_A.any()


def test_check_of_the_guide_is_a_check():
    [code] = blocks(ROOT / "docs/extending.md", "python")
    space = {}
    exec(code, space)
    [check] = space["CHECKS"]
    [threshold] = [c["physics"]["thresholds"] for c in configs(ROOT / "docs/extending.md") if "physics" in c]
    assert list(threshold) == [check.name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)", file.read_text(), re.M)
            assert anchor in [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_page_is_in_the_list_of_pages():
    text = (ROOT / "docs/README.md").read_text()
    assert all(f"({page.name})" in text for page in ROOT.glob("docs/*.md") if page.name != "README.md")


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_container_copies_what_exists_and_calls_what_there_is(name):
    text = (ROOT / name).read_text()
    copied = [words.split()[:-1] for words in re.findall(r"^COPY --chown=\S+ (.*)", text, re.M)]
    assert copied
    assert all((ROOT / path).exists() for paths in copied for path in paths)
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"\bmake\W+([a-z]+)", text.split("WORKDIR")[1])) <= set(targets)


def test_continuous_integration_calls_what_there_is():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    runs = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    assert {run.split()[1] for run in runs if run.startswith("make ")} <= set(targets)
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12"]
