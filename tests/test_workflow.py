"""The workflow as files: rules do not depend on the order of their files, other workflows can use them, and the script
of each rule runs without it.
"""

import os
import re
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from assay.workflow.code import require_only_library
from assay.workflow.config import complete_config, load_config
from assay.workflow.errors import AssayError
from shared.checkpoint_samples import store, student
from shared.workflow_copy import ROOT, STAND_IN, lay_out, snakemake

PROGRAMS = {"gather.py", "gpu_hour.py", "predict.py", "scope.py", "verdict.py"}  # people call them, no rule does
RULES = {
    name: body
    for file in sorted((ROOT / "rules").glob("*.smk"))
    for name, body in re.findall(r"^(?:rule|checkpoint) (\w+):(.*?)(?=^\S|\Z)", file.read_text(), re.S | re.M)
}
# The rules of each script, with their wildcards.
SCRIPTS: dict[str, dict[str, set[str]]] = {}
for name, body in RULES.items():
    if match := re.search(r'script:\s+"\.\./scripts/(\w+\.py)"', body):
        wildcards = re.findall(r"\{(\w+)\}", body.partition("log:")[2].partition("benchmark:")[0])
        SCRIPTS.setdefault(match[1], {})[name] = set(wildcards)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the workflow with its real scripts, where `tiny` is a student of random weights."""
    tree = tmp_path_factory.mktemp("workflow")
    lay_out(tree)
    store(tree, student("painn").state_dict(), "data/checkpoints/tiny.pt")
    return tree


def plan(tree, *arguments):
    """The rules of `all`, what follows them, and how many jobs each has."""
    done = snakemake(tree, "-n", "--quiet", "rules", *arguments, "all")
    assert done.returncode == 0, done.stdout
    jobs = set(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.M))
    graph = snakemake(tree, "--rulegraph", "dot", *arguments, "all").stdout
    names = dict(re.findall(r'(\d+)\[label = "(\w+)', graph))
    return jobs, {(names[one], names[other]) for one, other in re.findall(r"(\d+) -> (\d+)", graph)}


@pytest.mark.slow
def test_order_of_rule_files_after_the_first_does_not_matter(tree):
    text = (tree / "Snakefile").read_text()
    common, *others = re.findall(r"^include: .*\n", text, re.M)
    assert common == 'include: "rules/common.smk"\n' and len(others) > 10
    mirrored = text.replace("".join(others), "".join(reversed(others)))
    assert mirrored != text
    (tree / "Mirrored").write_text(mirrored)
    jobs, edges = plan(tree)
    assert len(edges) > 20 and ("validate", "3") in jobs
    assert plan(tree, "--snakefile", "Mirrored") == (jobs, edges)


@pytest.mark.slow
def test_the_catalog_finds_the_workflow_and_what_it_says_of_it(tree):
    """As https://snakemake.github.io/snakemake-workflow-catalog asks for under "standardized usage"."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"] and usage["report"] and usage["mandatory-flags"]["desc"]
    assert (ROOT / "config/README.md").is_file() and (ROOT / "config/config.yaml").is_file()
    shutil.copytree(ROOT / "workflow", tree / "workflow")
    assert plan(tree, "--snakefile", "workflow/Snakefile") == plan(tree)


@pytest.mark.slow
def test_a_users_own_profile_holds(tree):
    """What the profile of the checkout says would win over it."""
    ours = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    assert ours.keys() == {"max-checksum-file-size", "rerun-incomplete"}
    (tree / "institute").mkdir()
    institute = {"jobs": 7, "default-resources": ["slurm_account=ours"], "resources": ["licences=5"]}
    (tree / "institute/config.yaml").write_text(yaml.safe_dump(institute))
    (tree / "Shown").write_text(f"""
include: "{tree / "Snakefile"}"

print("jobs", workflow.resource_settings.nodes or workflow.resource_settings.cores)
print("account", workflow.resource_settings.default_resources)
print({{name: workflow.global_resources[name].value for name in ["licences", "device_percent"]}})
""")
    said = snakemake(tree, "--profile", "institute", "-s", "Shown", "-n", "results/tiny/model.json").stdout
    assert "jobs 7" in said and "ours" in said and "{'licences': 5, 'device_percent': 100}" in said, said


def test_on_a_cluster_what_times_something_owns_its_node():
    """And no rule asks for as many cores as the node has that plans."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    threads = [entry.partition("=")[0] for entry in profile["set-threads"]]
    alone = [entry.partition(":")[0] for entry in profile["set-resources"] if "--exclusive" in entry]
    assert sorted(threads) == sorted(name for name, body in RULES.items() if "threads: CORES" in body)
    assert sorted(alone) == sorted(name for name, body in RULES.items() if "device_percent=100" in body)


@pytest.mark.parametrize("kind", ["log", "benchmark"])
def test_no_two_rules_write_one_log_whatever_a_variant_is_called(kind):
    places = [re.search(rf' {kind}:\s+f?"(.*?)"', body)[1] for body in RULES.values() if f" {kind}:" in body]
    patterns = [re.sub(r"\\\{.*?\\\}", ".+", re.escape(place)) for place in places]
    assert len(places) > 50
    assert [[place for place in places if re.fullmatch(pattern, place)] for pattern in patterns] == [
        [p] for p in places
    ]


@pytest.mark.slow
def test_a_module_with_a_config_of_its_own_has_the_defaults_beneath(tree, tmp_path):
    variants = dict.fromkeys(load_config(ROOT / "config")["variants"]) | {"mine": {"checkpoint": "mine.pt"}}
    text = f"""
mine = {{"variants": {variants!r}, "accuracy": {{"worst": 7}}}}


module assay:
    snakefile:
        "{tree / "Snakefile"}"
    config:
        mine


use rule * from assay
"""
    (tmp_path / "Snakefile").write_text(text)
    (tmp_path / "mine.pt").write_text("mine")
    (tmp_path / "data").symlink_to(tree / "data")
    done = snakemake(tmp_path, "-n", "all")
    assert done.returncode == 0, done.stdout
    assert "results/mine/accuracy.json" in done.stdout
    assert "results/tiny" not in done.stdout
    (tmp_path / "theirs.yaml").write_text("samples: [a, b]")
    outer = ("--configfile", "theirs.yaml", "--config", "variants={tiny: null}")
    for own in ("        {}", ""):
        empty = text.replace("    config:\n        mine\n", f"    config:\n{own}\n" if own else "")
        (tmp_path / "Snakefile").write_text(empty)
        done = snakemake(tmp_path, "-n", "--quiet", "rules", "all", *outer)
        assert done.returncode == 0 and re.search(r"^validate +3$", done.stdout, re.M), done.stdout
    (tmp_path / "Snakefile").write_text(text.replace('"worst"', '"wurst"'))
    done = snakemake(tmp_path, "-n", "all")
    assert "`accuracy.wurst` is not a known key; did you mean `worst`?" in done.stdout


@pytest.mark.slow
def test_a_locale_in_which_python_does_not_read_utf8_is_refused_before_jobs_are_planned(tree, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    (tree / "umlauts.yaml").write_text("variants: {mine: {checkpoint: Müller.pt}}", encoding="utf-8")
    (tree / "Müller.pt").write_text("a checkpoint")
    target = ["-n", "results/mine/model.json", "--configfile", "umlauts.yaml"]
    planned = snakemake(tree, *target)
    assert planned.returncode == 0 and "Müller.pt" in planned.stdout, "Python reads UTF-8 in the locale C by itself"
    monkeypatch.setenv("PYTHONUTF8", "0")
    refused = snakemake(tree, *target)
    assert refused.returncode != 0 and "UnicodeEncodeError" not in refused.stdout
    assert "those of Assay are UTF-8: set PYTHONUTF8=1, or a locale of UTF-8" in refused.stdout


def test_files_of_config_and_the_command_line_are_layers(tree):
    (tree / "one.yaml").write_text("variants: {mine: {checkpoint: one.pt, cutoff_A: 4.0, licence: of one}}")
    (tree / "two.yaml").write_text("variants: {mine: {checkpoint: two.pt}}")
    (tree / "Layers").write_text(f"""
include: "{tree / "Snakefile"}"

print("mine:", VARIANTS["mine"])
""")
    layers = ("--configfile", "one.yaml", "two.yaml", "--config", "variants={mine: {licence: mine}}")
    said = snakemake(tree, "-s", "Layers", "-n", "results/tiny/model.json", *layers).stdout
    assert "mine: {'checkpoint': 'two.pt', 'licence': 'mine'}" in said, said


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").glob("*.py")))
def test_every_script_of_a_rule_can_be_run_alone(script):
    text = (ROOT / "scripts" / script).read_text()
    assert (script in SCRIPTS) != (script in PROGRAMS)
    if script in SCRIPTS:
        [(called, given)] = re.findall(
            r'if "snakemake" not in globals\(\):\n +from assay\.workflow\.standalone import mock_snakemake\n\n'
            r' +snakemake = mock_snakemake\("(\w+)"(.*)\)\n',
            text,
        )
        assert set(re.findall(r"(\w+)=", given)) == SCRIPTS[script][called]


def run_alone(tree, script, folder, *arguments):
    command = [sys.executable, tree / "scripts" / script, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_scripts_run_alone_from_any_folder(tree, tmp_path):
    for script, made in [("normalize.py", "incoming.safetensors"), ("adopt.py", "model.safetensors")]:
        done = run_alone(tree, script, tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tree / "results/tiny" / made).is_file()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine.yaml").write_text("variants: {mine: {checkpoint: data/checkpoints/tiny.pt}}")
    done = run_alone(tree, "normalize.py", tmp_path, "variant=mine", "--configfile", "mine.yaml")
    assert done.returncode == 0, done.stderr
    assert (tree / "results/mine/incoming.safetensors").is_file()


@pytest.mark.slow
def test_a_script_whose_inputs_are_not_made_says_how_to_make_them(tree, tmp_path):
    done = run_alone(tree, "compare_speed.py", tmp_path)
    assert done.returncode == 1
    path = "results/original/benchmark.json"
    assert done.stderr.splitlines()[-1] == f"Error: {path} does not exist: make it by `snakemake {path}`"


@pytest.mark.slow
@pytest.mark.parametrize(("script", "name"), [("train_own.py", "student"), ("own_reference.py", "reference")])
def test_a_script_without_the_config_that_it_needs_says_so(tree, tmp_path, script, name):
    done = run_alone(tree, script, tmp_path)
    words = f"the config has no {name} for the rule {script[:-3]}: name files of config that have one by --configfile"
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == f"Error: {words}"


@pytest.mark.slow
def test_endurance_of_a_split_that_is_left_out_is_refused_in_words(tree):
    done = snakemake(tree, "-n", "endurance", "--config", "dataset={splits: {unseen_molecules: null}}")
    assert done.returncode != 0
    named = "name one of seen_molecules, larger_molecules, new_molecules"
    assert f"`endurance.split` of the config is unseen_molecules: {named}" in done.stdout


@pytest.mark.slow
def test_another_folder_gets_the_results_and_the_checkout_gives_the_defaults(tmp_path):
    checkout, home = tmp_path / "checkout", tmp_path / "a ö folder"
    for folder in (checkout, home):
        folder.mkdir()
    lay_out(checkout, STAND_IN)
    (home / "mine.pt").write_text("mine")
    mine = {"original": None, "tiny": None, "mine": {"checkpoint": "mine.pt"}}
    (home / "mine.yaml").write_text(yaml.safe_dump({"variants": mine}))
    before = {path for path in checkout.rglob("*") if "__pycache__" not in path.parts}
    arguments = ("-s", checkout / "Snakefile", "--configfile", "mine.yaml", "-j", "2")
    done = snakemake(home, *arguments, "results/mine/accuracy.json", "results/ultra_tiny/accuracy.json")
    assert done.returncode == 0, done.stdout
    assert (home / "results/mine/accuracy.json").is_file() and (home / "logs/validate/mine.log").is_file()
    assert {path for path in checkout.rglob("*") if "__pycache__" not in path.parts} == before
    again = snakemake(home, *arguments, "-n", "results/mine/accuracy.json")
    assert "Nothing to be done" in again.stdout
    (tmp_path / "link").symlink_to(checkout)
    by_link = snakemake(
        home, "-s", tmp_path / "link/Snakefile", *arguments[2:], "-n", "results/ultra_tiny/accuracy.json"
    )
    assert "Nothing to be done" in by_link.stdout, by_link.stdout
    for command in ("peers", "engines"):
        planned = snakemake(home, *arguments, "-n", command)
        assert planned.returncode == 0, planned.stdout
    for command, key in (("baseline", "regress.baseline"), ("physics_reference", "physics.reference")):
        refused = snakemake(home, *arguments, "-n", command)
        words = f"belongs to the checkout, which others use too: name a file of your own as `{key}` in the config"
        assert refused.returncode != 0 and words in refused.stdout, refused.stdout
    for command in ("document", "document_example", "document_trials", "pages"):
        refused = snakemake(home, *arguments, "-n", command)
        assert refused.returncode != 0 and "documentation belongs to the checkout" in refused.stdout, refused.stdout
    own = snakemake(home, *arguments, "-n", "baseline", "--config", "regress={baseline: mine.json}")
    assert own.returncode == 0, own.stdout
    for command, path, words in (
        (
            "regress",
            "mine.json",
            "there is no file mine.json, which `regress.baseline` in the config names: `snakemake b",
        ),
        ("regress", "results", "results, which `regress.baseline` in the config names, is a folder"),
        ("baseline", "results", "results, which `regress.baseline` in the config names, is a folder"),
    ):
        refused = snakemake(home, *arguments, "-n", command, "--config", f"regress={{baseline: {path}}}")
        assert refused.returncode != 0 and words in refused.stdout, refused.stdout


@pytest.mark.slow
def test_another_workflow_takes_the_rules_under_names_of_its_own(tree, tmp_path):
    (tmp_path / "mine.pt").write_text("mine")
    (tmp_path / "Snakefile").write_text(f"""
module assay:
    snakefile: "{tree / "Snakefile"}"
    config: {{"variants": {{"original": None, "tiny": None, "mine": {{"checkpoint": "{tmp_path / "mine.pt"}"}}}}}}
    prefix: "judged"


use rule * from assay as assay_*


rule mine:
    default_target: True
    input: "judged/results/mine/package.zip"
""")
    done = snakemake(tmp_path, "-n", "mine", "--quiet", "rules")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^assay_package +1$", done.stdout, re.M)
    done = snakemake(tmp_path, "-n", "assay_all", "--quiet", "rules")
    assert re.search(r"^assay_validate +2$", done.stdout, re.M), done.stdout


@pytest.mark.slow
def test_under_a_prefix_calculators_are_found_and_ones_own_data_refused(tree, tmp_path):
    text = f"""
module assay:
    snakefile: "{tree / "Snakefile"}"
    config: CONFIG
    prefix: "judged"


use rule * from assay as assay_*
"""
    lone = {"original": None, "tiny": None, "ultra_tiny": None, "lj": {"calculator": "mycalc.My", "cutoff_A": 5.0}}
    data = {"students": {"small": {"parameters": 77_000}}, "data": {"train": str(tmp_path / "my.xyz")}}
    for name in ("mycalc.py", "my.xyz"):
        (tmp_path / name).touch()
    (tmp_path / "Snakefile").write_text(text.replace("CONFIG", repr({"variants": lone})))
    done = snakemake(tmp_path, "-n", "judged/results/lj/model.json")
    assert done.returncode == 0 and re.search(r"input: +mycalc\.py\n", done.stdout), done.stdout
    for key, config in (("data", data), ("physics.structures", {"physics": {"structures": "my.xyz"}})):
        (tmp_path / "Snakefile").write_text(text.replace("CONFIG", repr(config)))
        done = snakemake(tmp_path, "-n", "assay_all")
        words = f"the config of the module names `{key}`, and its files cannot be made under a `prefix`"
        assert done.returncode != 0 and words in done.stdout, done.stdout


def test_another_package_of_the_name_is_refused_where_a_job_would_run_it(tmp_path, monkeypatch):
    """Such as an earlier checkout in PYTHONPATH: its code ran, and results bore the digest of the code of this one."""
    other = tmp_path / "other"
    (other / "assay").mkdir(parents=True)
    library = ROOT / "scripts"
    for harmless in ("", "nowhere", str(library), str(other)):
        monkeypatch.setenv("PYTHONPATH", harmless)
        require_only_library(library)  # a folder that is no package is passed over in the end
    (other / "assay/__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(library), str(other)]))
    require_only_library(library)
    monkeypatch.setenv("PYTHONPATH", str(other))
    with pytest.raises(AssayError, match=rf"{other}/assay is another package .*: take it out of PYTHONPATH"):
        require_only_library(library)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(other)])
    with pytest.raises(AssayError, match="or uninstall it"):
        require_only_library(library)
    with pytest.raises(AssayError, match=f"rules of two checkouts, {ROOT} and {tmp_path}"):
        (tmp_path / "scripts/assay").mkdir(parents=True)
        require_only_library(tmp_path / "scripts")


@pytest.mark.slow
def test_modules_of_two_checkouts_are_refused(tree, tmp_path):
    """Jobs of both ran the code of the last one."""
    with (tmp_path / "Snakefile").open("w") as file:
        for name, checkout in (("old", tree), ("new", ROOT)):
            file.write(f'module {name}:\n    snakefile: "{checkout}/Snakefile"\n    prefix: "{name}"\n')
            file.write(f"use rule * from {name} as {name}_*\n")
    done = snakemake(tmp_path, "-n", "new_all")
    assert done.returncode != 0 and f"rules of two checkouts, {tree} and {ROOT}" in done.stdout, done.stdout


def test_a_users_paths_are_of_the_folder_and_shipped_ones_of_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"variants": {"mine": {"checkpoint": "mine.pt"}, "home": {"checkpoint": "~/mine.pt"}}}
    config = complete_config(given, ROOT / "config")
    assert config["variants"]["tiny"]["checkpoint"] == str(ROOT / "data/checkpoints/tiny.pt")
    assert config["physics"]["reference"] == str(ROOT / "data/physics/reference.xyz.gz")
    assert config["variants"]["mine"]["checkpoint"] == "mine.pt"
    assert config["variants"]["home"]["checkpoint"] == str(Path.home() / "mine.pt")
    shipped = {"dataset": {"splits": {"crystals": "data/crystals/crystals.h5"}}}
    split = complete_config(shipped, ROOT / "config")["dataset"]["splits"]["crystals"]
    assert split == str(ROOT / "data/crystals/crystals.h5")
    (tmp_path / "data/crystals").mkdir(parents=True)
    (tmp_path / "data/crystals/crystals.h5").touch()
    assert complete_config(shipped, ROOT / "config")["dataset"]["splits"]["crystals"] == "data/crystals/crystals.h5"
    monkeypatch.chdir(ROOT)
    assert complete_config(given, ROOT / "config")["variants"]["tiny"]["checkpoint"] == "data/checkpoints/tiny.pt"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({2024: 1}, "the config has a key that YAML reads as int (2024)"),
        ({"variants": {True: {"checkpoint": "x.pt"}}}, "`variants` has a key that YAML reads as true or false (True)"),
        ({"dataset": {"splits": {1.5: "x.xyz"}}}, "`dataset.splits` has a key that YAML reads as float (1.5)"),
    ],
)
def test_a_key_that_is_no_text_is_one_sentence(given, sentence):
    with pytest.raises(AssayError, match=re.escape(sentence) + ".* write it in quotes"):
        complete_config(given, ROOT / "config")
