"""What a new checkpoint reruns, by real Snakemake: `normalize` and `adopt` are real, other scripts are stand-ins."""

import json
import os
import re
import shutil
import time

import pytest
import yaml

from assay.checkpoint.scope import write_scope
from assay.data.scope import Scope
from assay.workflow.config import load_config
from assay.workflow.files import sha256_file
from shared.checkpoint_samples import (
    legacy_bytes,
    lightning,
    moved,
    parameters_of,
    prefixed,
    safetensors_bytes,
    store,
    student,
    torch_bytes,
)
from shared.workflow_copy import ROOT, STAND_IN, changed, lay_out, rules, snakemake, snapshot

pytestmark = pytest.mark.slow

WEIGHTS = student("painn").state_dict()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A copy of the workflow with two variants and stand-in data, in which everything was made once."""
    tree = tmp_path_factory.mktemp("finished")
    lay_out(tree, STAND_IN, real=("normalize.py", "adopt.py"))
    config = yaml.safe_load((tree / "config/config.yaml").read_text())
    config["variants"] = {name: {"checkpoint": f"{name}.pt"} for name in ("mine", "other")}
    (tree / "config/config.yaml").write_text(yaml.safe_dump(config))
    store(tree, WEIGHTS, "mine.pt")
    store(tree, student("seed-painn").state_dict(), "other.pt")
    assert snakemake(tree, "-j", "3", "all").returncode == 0
    return tree


@pytest.fixture
def tree(finished, tmp_path):
    """A fresh copy of the finished tree, dates included, whose jobs are counted from here on."""
    copy = shutil.copytree(finished, tmp_path / "tree")
    (copy / "jobs.jsonl").unlink()
    return copy


def replace(tree, content):
    """Give ``mine`` another checkpoint, of a later date than everything."""
    time.sleep(0.01)
    os.utime(store(tree, content, "mine.pt"))


def stand_ins_that_ran(tree):
    log = tree / "jobs.jsonl"
    return {json.loads(line)["rule"] for line in log.read_text().splitlines()} if log.exists() else set()


CONTAINERS = {
    "legacy": lambda: legacy_bytes({"model_state_dict": prefixed(WEIGHTS, "module."), "epoch": 7}),
    "safetensors": lambda: safetensors_bytes(WEIGHTS),
    "average": lambda: torch_bytes({"model": moved(WEIGHTS), "ema_state_dict": WEIGHTS, "training": {"minutes": 3}}),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_equal_weights_rerun_normalize_and_nothing_after_it(tree, container):
    before = snapshot(tree)
    replace(tree, CONTAINERS[container]())
    done = snakemake(tree, "-j", "3", "all")
    assert done.returncode == 0, done.stdout
    after = snapshot(tree)
    assert stand_ins_that_ran(tree) == set()
    adopted = {"mine/model.safetensors", "mine/model.json", "mine/taught.json"}
    assert changed(before, after) == adopted
    assert all(after[path][1] == before[path][1] for path in adopted - {"mine/model.json"})
    assert json.loads(after["mine/model.json"][1])["source"] != json.loads(before["mine/model.json"][1])["source"]
    assert "Nothing to be done" in snakemake(tree, "-j", "3", "all").stdout


def test_a_checkpoint_that_is_replaced_by_an_older_file_is_read_again(tree):
    before, plain = snapshot(tree), (tree / "mine.pt").read_bytes()
    replace(tree, CONTAINERS["legacy"]())
    os.utime(tree / "mine.pt", (1e9, 1e9))
    assert snakemake(tree, "-j", "3", "all").returncode == 0
    assert "mine/model.json" in changed(before, snapshot(tree))
    (tree / "mine.pt").write_bytes(plain)
    os.utime(tree / "mine.pt", (1e9, 1e9))
    assert snakemake(tree, "-j", "3", "all").returncode == 0
    (tree / "mine.pt").unlink()
    assert "Nothing to be done" in snakemake(tree, "-j", "3", "all").stdout


def test_a_compiler_that_is_gone_makes_stale_nothing_of_the_variants_before_a_new_one(tree, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    for program in ("bash", "which"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CXX", raising=False)
    (tree / "new.pt").write_bytes((tree / "mine.pt").read_bytes())
    planned = snakemake(tree, "-n", "all", "--config", "variants={new: {checkpoint: new.pt}}").stdout
    made = set(re.findall(r"results/(\w+)/[\w.]+$", "\n".join(re.findall(r"output: (.*)", planned)), re.MULTILINE))
    assert made == {"new", "report"}, planned
    assert "model.pt2" not in planned.split("rule verify:")[1].split("output:")[0]


@pytest.mark.parametrize("how", ["a file beside it", "the checkpoint itself", "its settings"])
def test_what_a_student_was_taught_reruns_what_carries_it(tree, how):
    """Elements, a scope or settings told later, of weights that stay the same, reach all files that ship or judge."""
    before = snapshot(tree)
    if how == "a file beside it":
        write_scope(tree / "mine.pt", Scope(("H", "C", "O"), (0,), (1,), (0,), (1, 9), (0.0, 9.0), 7))
    else:
        told = {"elements": ["H", "C", "O"]} if how == "the checkpoint itself" else {}
        config = {} if told else {"config": student("painn").hyperparameters}
        replace(tree, torch_bytes({"model": WEIGHTS, "training": told} | config))
    done = snakemake(tree, "-j", "3", "all")
    assert done.returncode == 0, done.stdout
    after = snapshot(tree)
    assert after["mine/model.safetensors"][1] == before["mine/model.safetensors"][1]
    taught = json.loads(after["mine/taught.json"][1])
    assert taught["elements"] == (None if how == "its settings" else ["H", "C", "O"])
    assert ("doubts" in taught) == (how != "its settings")
    assert {"export", "verify", "probe", "physics", "validate", "package", "report"} <= stand_ins_that_ran(tree)
    assert not {path for path in changed(before, after) if path.startswith("other/")}
    assert "Nothing to be done" in snakemake(tree, "-j", "3", "all").stdout


def test_every_rule_that_reads_a_card_follows_what_was_taught():
    inputs = {name: rule.inputs for name, rule in rules().items()}
    readers = {name for name, text in inputs.items() if re.search(r"\bCARD\b", text)}
    assert {"export", "probe", "package"} <= readers
    assert {name for name in readers if "taught=taught_of" not in inputs[name]} == set()


def test_every_rule_that_asks_a_teacher_follows_the_files_behind_it():
    asking = {name: rule.inputs for name, rule in rules().items() if re.search(r"\bTeacher\(", rule.script)}
    assert {"benchmark", "teacher_motion", "teachers_material", "listed_reference", "own_reference"} <= set(asking)
    assert {name for name, text in asking.items() if "teacher_files=" not in text} == {"material"}, "shares its script"


def test_every_rule_that_reads_labelled_files_which_a_parameter_names_follows_their_content():
    read = {name: re.findall(r"\bparams\.(splits?|unseen|train|validation)\b", r.script) for name, r in rules().items()}
    assert {"validate", "predict_shard", "benchmark", "verify", "schemes", "endure"} <= {n for n in read if read[n]}
    rounds = {
        ("store_round", "train"),
        ("store_round", "validation"),
    }  # takes all that is labelled, and validates on none
    unfollowed = {(n, key) for n, keys in read.items() for key in keys if f"{key}=" not in rules()[n].inputs}
    assert unfollowed == rounds


def test_every_rule_that_reads_files_of_the_user_follows_what_lies_beside_them():
    inputs = {name: rule.inputs for name, rule in rules().items()}
    given = re.compile(
        r"split_files|files_of_splits|split_of\(|labelled_files|OWN_STRUCTURES|OWN_TRAIN|structure_of_properties|"
        r'PHYSICS\.get\("structures"|CRYSTAL_FILES|(?:ABLATION|COMPRESSION)\["(?:train|validation|test)"\]'
    )
    readers = {name for name, text in inputs.items() if given.search(text)}
    assert {"validate", "describe", "store_data", "store_round", "supercells", "own_reference"} <= readers
    assert {name for name in readers if "parts=PARTS_OF_RUNS" not in inputs[name]} == set()
    params = {name: rules()[name].params for name in readers}
    assert {name for name in readers if "content=lambda wildcards: contents_of(" not in params[name]} == set()


def test_every_script_finds_the_inputs_that_it_names():
    """Stand-ins for scripts, of which runs of these tests are made, would not miss one."""
    named = {name: set(re.findall(r"\bsnakemake\.input\.(\w+)\b", r.script)) for name, r in rules().items()}
    missing = {
        (name, key) for name, keys in named.items() for key in keys - {"get"} if f"{key}=" not in rules()[name].inputs
    }
    unpacked = {name for name, rule in rules().items() if "**" in rule.inputs}
    of_students = {("teachers_material", "model"), ("teachers_material", "card")}  # which shares its script
    assert {row for row in missing if row[0] not in unpacked} == of_students


def test_every_rule_that_reads_results_depends_on_adopt_directly():
    """Or it would rerun for equal weights, which runs of `all` show only for the rules that `all` needs."""
    inputs = {name: rule.inputs for name, rule in rules().items()}
    of_variants = re.compile(r"results/(?!ablation/)")
    readers = {name for name, text in inputs.items() if of_variants.search(text)}
    assert {"report", "compare_accuracy", "physics"} <= readers
    assert {name for name in readers if not re.search(r"\bmodel_of\b|\bCARDS?\b", inputs[name])} == set()


def test_changed_weights_rerun_their_branch_and_its_consumers(tree):
    before = snapshot(tree)
    replace(tree, moved(WEIGHTS))
    done = snakemake(tree, "-j", "3", "all")
    assert done.returncode == 0, done.stdout
    after = snapshot(tree)
    assert changed(before, after) == {path for path in before if path.startswith(("mine/", "report/"))}
    assert {"validate", "export", "report"} <= stand_ins_that_ran(tree)
    assert "Nothing to be done" in snakemake(tree, "-j", "3", "all").stdout


def test_the_config_chooses_among_sets_of_weights(tree):
    """What is in doubt is said in the terminal and in the log, and a choice reruns what depends on it."""
    ema = {"shadow_params": list(parameters_of(WEIGHTS).values())}
    replace(tree, lightning(prefixed(moved(WEIGHTS), "model."), callbacks={"EMA": ema}))
    before = snapshot(tree)
    done = snakemake(tree, "-j", "3", "all")
    assert done.returncode == 0, done.stdout
    for said in (done.stdout, (tree / "logs/normalize/mine.log").read_text()):
        assert "'callbacks.EMA.shadow_params' was taken as the moving average, by its name alone" in said
    assert stand_ins_that_ran(tree) == set()
    assert snapshot(tree)["mine/model.safetensors"][1] == before["mine/model.safetensors"][1]
    config = yaml.safe_load((tree / "config/config.yaml").read_text())
    config["variants"]["mine"]["weights"] = "state_dict"
    (tree / "config/config.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(tree, "-j", "3", "all")
    assert done.returncode == 0, done.stdout
    assert {"validate", "export", "report"} <= stand_ins_that_ran(tree)
    source = json.loads((tree / "results/mine/model.json").read_text())["source"]
    assert (source["weights_at"], source["weights_asked_for"]) == ("state_dict", "state_dict")
    config["variants"]["mine"]["weights"] = "nowhere"
    (tree / "config/config.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(tree, "-j", "3", "all")
    assert done.returncode == 1
    assert "Error: mine.pt holds no weights under 'nowhere': set variants.<name>.weights to one of" in done.stdout


def test_refused_checkpoint_leaves_all_as_it_was_and_is_refused_again(tree):
    before = snapshot(tree)
    replace(tree, torch_bytes(WEIGHTS)[:-500])
    for target in ("all", "results/mine/accuracy.json"):
        done = snakemake(tree, "-j", "3", target)
        assert done.returncode == 1
        assert "Error: mine.pt is damaged or not a checkpoint" in done.stdout
        assert "Traceback" not in done.stdout
        assert snapshot(tree) == before
    assert "is damaged" in (tree / "logs/normalize/mine.log").read_text()
    assert stand_ins_that_ran(tree) == set()
    replace(tree, WEIGHTS)
    assert snakemake(tree, "-j", "3", "all").returncode == 0
    assert stand_ins_that_ran(tree) == set()


def test_results_stand_for_the_missing_checkpoint_that_they_were_made_of_and_for_no_other(tree):
    (tree / "mine.pt").unlink()
    done = snakemake(tree, "-j", "1", "results/mine/accuracy.json", "results/report/report.html")
    assert done.returncode == 0 and not (tree / "jobs.jsonl").exists(), done.stdout
    done = snakemake(
        tree, "-j", "1", "results/mine/accuracy.json", "--config", "variants={mine: {checkpoint: mine_v2.pt}}"
    )
    assert done.returncode != 0
    assert "there is no file mine_v2.pt, which `variants.mine.checkpoint` in the config names" in done.stdout
    (tree / "mine.pt").mkdir()
    done = snakemake(tree, "-n", "results/mine/accuracy.json")
    assert done.returncode != 0
    assert "mine.pt, which `variants.mine.checkpoint` in the config names, is a folder" in done.stdout


def test_what_is_said_of_results_that_were_touched_makes_them_of_the_checkpoint_that_is_there(tree):
    before = snapshot(tree)
    replace(tree, student("seed-painn").state_dict())
    assert snakemake(tree, "--touch", "all").returncode == 0
    assert "Nothing to be done" in snakemake(tree, "-n", "all").stdout and not stand_ins_that_ran(tree)
    card = json.loads((tree / "results/mine/model.json").read_text())
    assert card["source"]["sha256"] != sha256_file(tree / "mine.pt"), "by which the report refuses them"
    done = snakemake(tree, "-j", "3", "all", "--forcerun", "normalize")
    assert done.returncode == 0 and {"validate", "export", "report"} <= stand_ins_that_ran(tree), done.stdout
    made = changed(before, snapshot(tree))
    card = json.loads((tree / "results/mine/model.json").read_text())
    assert card["source"]["sha256"] == sha256_file(tree / "mine.pt") and "mine/accuracy.json" in made


def test_students_of_others_in_place_of_the_shipped_ones(tmp_path):
    """A config file alone names them. Their radial bases tell their sizes and cutoffs; the shipped files are gone."""
    lay_out(tmp_path, STAND_IN, real=("normalize.py", "adopt.py"))
    shutil.rmtree(tmp_path / "data/checkpoints")
    sizes = {
        "large": {"hidden": 24, "n_blocks": 4, "n_rbf": 9, "max_z": 100, "cutoff_A": 6.0},
        "small": {"hidden": 4, "n_blocks": 1, "n_rbf": 3, "max_z": 17, "cutoff_A": 4.5},
    }
    large, small = (student("seed-painn", **size).state_dict() for size in sizes.values())
    store(tmp_path, {"epoch": 7, "model_state_dict": large, "config": {"hidden_dim": 24}}, "large.pt")
    store(tmp_path, {"epoch": 7, "model_state_dict": prefixed(small, "model.")}, "small.pt")
    shipped = load_config(ROOT / "config")["variants"]
    variants = dict.fromkeys(shipped) | {name: {"checkpoint": f"{name}.pt"} for name in sizes}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"variants": variants}))
    for arguments in (["-n"], ["-j", "3"]):
        done = snakemake(tmp_path, *arguments, "all", "--configfile", "mine.yaml")
        assert done.returncode == 0, done.stdout
    assert {path.name for path in (tmp_path / "results").iterdir()} == {*sizes, "report"}
    assert {"validate", "physics", "verify", "quantize", "benchmark", "package", "report"} <= stand_ins_that_ran(
        tmp_path
    )
    for name, size in sizes.items():
        card = json.loads((tmp_path / f"results/{name}/model.json").read_text())
        assert (card["architecture"], card["hyperparameters"]) == ("seed-painn", size)
        assert card["hyperparameter_sources"]["cutoff_A"] == "buffer rbf.centers"


def test_what_is_said_of_a_broken_checkpoint_makes_the_report_of_the_others(tree):
    replace(tree, b"")
    (tree / "results/report/report.html").unlink()
    for file in ("accuracy.json", "package.zip"):
        (tree / "results/other" / file).unlink()
    done = snakemake(tree, "-j", "3", "-k", "all")
    assert done.returncode == 1 and not (tree / "results/report/report.html").exists()
    assert (tree / "results/other/accuracy.json").exists(), "-k makes what needs no broken one"
    without = re.search(r"Error: mine\.pt is empty: .*; or leave it out of the report by --config '(.*)'", done.stdout)
    done = snakemake(tree, "-j", "3", "all", "--config", without[1])
    assert done.returncode == 0 and (tree / "results/report/report.html").exists(), done.stdout
    assert (tree / "results/other/package.zip").exists()


def test_first_checkpoint_that_is_refused_leaves_no_file(tree):
    shutil.rmtree(tree / "results/mine")
    replace(tree, b"")
    done = snakemake(tree, "-j", "3", "results/mine/model.safetensors")
    assert done.returncode == 1
    assert "Error: mine.pt is empty: copy or save the checkpoint again" in done.stdout
    assert not [path for path in (tree / "results/mine").rglob("*") if path.is_file()]
