"""What the documentation shows is true: commands are tried, configs are accepted, links lead somewhere.

Commands of Snakemake and make are planned (-n), scripts and everything quick run. A command that nothing here knows how
to try is a failure.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise

import ase.build
import ase.io
import numpy as np
import pytest
import torch
import yaml
from ase.calculators.singlepoint import SinglePointCalculator
from snakemake.utils import update_config

from assay.accuracy.domain import write_domain
from assay.accuracy.fitting import fit
from assay.data import read_dataset
from assay.data.dataset import from_structures
from assay.export import onnx_graphs
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.workflow.config import complete_config, load_config
from shared.checkpoint_samples import student
from shared.molecules import TRAIN, shaken
from shared.workflow_copy import ROOT, lay_out

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
CONFIG_SECTIONS = set(load_config(ROOT / "config"))


def blocks(page, language):
    """Contents of the page's fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def commands(page):
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def configs(page, shipped=False):
    """The page's YAML blocks that belong into a config: into the reader's own, or into the files that are shipped."""
    chosen = [block for block in blocks(page, "yaml") if block.startswith("# config/") == shipped]
    return [c for block in chosen if set(c := yaml.safe_load(block)) <= CONFIG_SECTIONS]


def values(config, path=()):
    """What a config says, by the path of its key."""
    if not isinstance(config, dict):
        return {path: str(config)}
    return {place: value for key, part in config.items() for place, value in values(part, (*path, key)).items()}


def named(pairs):
    return [pytest.param(page, item, id=f"{page.stem}: {str(item)[:60]}") for page, item in pairs]


COMMANDS = [(page, command) for page in PAGES for command in dict.fromkeys(commands(page))]
CI = ROOT / ".github/workflows/ci.yml"
CI_RUNS = [
    step["run"] for job in yaml.safe_load(CI.read_text())["jobs"].values() for step in job["steps"] if "run" in step
]
PLANS = [(page, command) for page, command in COMMANDS if "bin/snakemake" in command]
PLANS += [(CI, run.split(" | ")[0]) for run in CI_RUNS if "bin/snakemake" in run]
OTHERS = [(page, command) for page, command in COMMANDS if "bin/snakemake" not in command]


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


def write_config(folder, page):
    """Write mine.yaml with all that the page says of a config."""
    mine = {}
    for config in configs(page):
        update_config(mine, config)
    trained = [f"{student}.pt" for student in mine.get("students", {})]
    for name in [*trained, "train.h5", "validation.h5"] if trained else []:
        (folder / "students").mkdir(exist_ok=True)
        (folder / "students" / name).touch()
    (folder / "mine.yaml").write_text(yaml.safe_dump(mine))


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), named(PLANS))
def test_workflow_understands(tree, page, command):
    write_config(tree, page)
    words = [word for word in shlex.split(command)[1:] if word != "-n"]
    dry = [] if "--unlock" in words else ["-n", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *dry, *words], cwd=tree, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder like a clone after `make run`, as far as the scripts of the guides look; results are of a toy."""
    folder = tmp_path_factory.mktemp("finished")
    for part in ("config", "data", "pyproject.toml", "scripts", "tests"):
        (folder / part).symlink_to(ROOT / part)
    (folder / "results/tiny").mkdir(parents=True)
    toy, card = student("painn"), {"variant": "tiny", "checkpoint_sha256": "0" * 64}
    graph = onnx_graphs.assemble(lower(toy), toy.cutoff, export_metadata(toy, card), search=True)
    onnx_graphs.save(graph, folder / "results/tiny/model.onnx")
    seen = [from_structures([s for name in TRAIN for s in shaken(name, 20, seed=seed)]) for seed in (0, 1)]
    write_domain(folder / "results/tiny/domain.npz", fit(*seen, points_per_element=50, seed=0))
    ase.io.write(folder / "molecules.xyz", ase.build.molecule("CH3CH2OH"))
    torch.save(toy.state_dict(), folder / "my.pt")
    labelled = ase.build.molecule("CH3CH2OH")
    labelled.calc = SinglePointCalculator(labelled, energy=-1.0, forces=np.zeros((len(labelled), 3)))
    (folder / "runs/1").mkdir(parents=True)
    for name in ("my_training_data.xyz", "runs/1/run.xyz"):
        ase.io.write(folder / name, labelled, format="extxyz")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), named(pair for pair in OTHERS if "bin/python" in pair[1]))
def test_command_runs(finished, page, command):
    write_config(finished, page)
    words = [re.sub(r"0{5,}$", "000", word) for word in shlex.split(command)[1:]]  # thousands instead of millions
    tests = ["--collect-only"] if words[:2] == ["-m", "pytest"] else []
    done = subprocess.run([sys.executable, *words, *tests], cwd=finished, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    written = {word for flag, word in pairwise(words) if flag in ("--json", "--output")}
    assert all((finished / name).is_file() for name in written)
    assert "predict.py" not in command or "C2H6O" in done.stdout


@pytest.mark.parametrize(("page", "command"), named(pair for pair in OTHERS if pair[1].startswith("make")))
def test_make_has_a_plan(page, command):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run([*shlex.split(command), "-n"], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


IN_AN_EMPTY_ENVIRONMENT = "test_two_students_live_side_by_side_in_an_empty_environment"

# Commands of what lies outside this folder, and the test that runs them.
ELSEWHERE = {
    "pip install *.whl": f"test_wheel.py: {IN_AN_EMPTY_ENVIRONMENT}",
    "unzip results/tiny/package.zip && pip install tiny/*.whl": f"test_wheel.py: {IN_AN_EMPTY_ENVIRONMENT}",
    "python example.py": f"test_wheel.py: {IN_AN_EMPTY_ENVIRONMENT}",
    "sha256sum -c SHA256SUMS": "test_package.py: test_checksums_are_those_that_sha256sum_takes",
    "pip install pre-commit": "test_docs.py: test_hooks_are_the_checks_of_make_lint",
    "pre-commit install": "test_docs.py: test_hooks_are_the_checks_of_make_lint",
}


def test_every_other_command_has_a_test_of_its_own():
    tried = ("bin/python", "make ")
    assert {command for _, command in OTHERS if not any(word in command for word in tried)} == set(ELSEWHERE)
    for test in ELSEWHERE.values():
        file, name = test.split(": ")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text()


def test_hooks_are_the_checks_of_make_lint():
    [repo] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    plan = subprocess.run(["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    checks = {tuple(shlex.split(line)[:2]) for line in plan.splitlines() if line.startswith(".venv/bin/")}
    hooks = {tuple(hook["entry"].replace("--fix", "").split()[:2]) for hook in repo["hooks"]}
    tools = {
        (words[0], words[1] if len(words) > 1 and words[1] in ("check", "format", "--lint") else "") for words in hooks
    }
    wanted = {
        (words[0], words[1] if len(words) > 1 and words[1] in ("check", "format", "--lint") else "") for words in checks
    }
    assert {tool for tool in wanted if "python" not in tool[0]} == tools


@pytest.mark.parametrize(("page", "config"), named((page, c) for page in PAGES for c in configs(page)))
def test_config_is_accepted_and_used(page, config):
    whole = complete_config(config, ROOT / "config")
    assert values(config).items() <= values(whole).items()
    assert not values(config).items() <= values(load_config(ROOT / "config")).items(), "the page changes nothing"


def test_every_yaml_block_of_the_guides_is_a_config():
    guides = [ROOT / f"docs/{name}.md" for name in ("quick-start", "datasets", "teachers", "extending")]
    assert all(len([*configs(page), *configs(page, shipped=True)]) == len(blocks(page, "yaml")) for page in guides)


@pytest.mark.parametrize(("page", "code"), named((page, code) for page in PAGES for code in blocks(page, "python")))
def test_python_imports_what_exists(page, code, tmp_path, monkeypatch):
    (tmp_path / "assay_tiny").symlink_to(ROOT / "scripts/assay/runtime")  # as a student's wheel has it
    monkeypatch.syspath_prepend(str(tmp_path))
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
    [config] = configs(ROOT / "docs/extending.md", shipped=True)
    assert list(config["physics"]["thresholds"]) == [check.name]


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("docs/notebook/*.md")], ids=lambda page: page.stem)
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


def test_every_fault_has_a_test():
    table = [line for line in (ROOT / "docs/faults.md").read_text().splitlines() if line.startswith("| ")][2:]
    provoked = (ROOT / "tests/test_faults.py").read_text()
    for row in table:
        tests = re.findall(r"`(?:tests/)?(test_\w+(?:\.py)?)", row.split("|")[3])
        assert tests or "the same" in row, row
        assert all((ROOT / "tests" / t).is_file() if t.endswith(".py") else f"def {t}(" in provoked for t in tests), row


def test_every_page_is_in_the_list_of_pages():
    text = (ROOT / "docs/README.md").read_text()
    assert all(f"({page.name})" in text for page in ROOT.glob("docs/*.md") if page.name != "README.md")
    notebook = (ROOT / "docs/notebook/README.md").read_text()
    assert all(f"({page.name})" in notebook for page in ROOT.glob("docs/notebook/2*.md"))


def test_no_page_refers_to_the_notebook_as_if_it_were_of_today():
    index = re.compile(r"\]\((?:docs/)?notebook/(?!README\.md)")
    assert [page for page in PAGES if index.search(page.read_text())] == []


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_container_copies_what_exists_and_calls_what_there_is(name):
    text = (ROOT / name).read_text()
    copied = [words.split()[:-1] for words in re.findall(r"^COPY --chown=\S+ (.*)", text, re.M)]
    assert copied
    assert all((ROOT / path).exists() for paths in copied for path in paths)
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"\bmake\W+([a-z]+)", text.split("WORKDIR")[1])) <= set(targets)


def test_continuous_integration_calls_what_there_is():
    jobs = yaml.safe_load(CI.read_text())["jobs"]
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    assert {run.split()[1] for run in CI_RUNS if run.startswith("make ")} <= set(targets)
    assert {run.split(" | ")[0].split()[-1] for run in CI_RUNS if "bin/snakemake" in run} == {
        "all",
        "baseline",
        "regress",
    }
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12"]
