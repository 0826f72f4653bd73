"""What `distill` and `all` plan for students of one's own: their data and nothing that is shipped."""

import functools
import json
import re
import shutil

import pytest
import yaml

from shared.workflow_copy import STAND_IN, lay_out, snakemake

pytestmark = pytest.mark.slow
STUDENTS = {"small": {"parameters": 77_000}, "tuned": {"from": "tiny"}}
MADE = ["physics.probe.json", "physics.exports.json", "accuracy.json"]  # of a variant
TEACHER = {"name": "LJ", "calculator": "ase.calculators.lj.LennardJones"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the workflow with labelled structures and bare ones of a user."""
    tree = tmp_path_factory.mktemp("students")
    lay_out(tree, STAND_IN)
    for name in ("my_train.xyz", "my_val.xyz", "bare.xyz"):
        (tree / name).write_text(name)
    return tree


def configure(tree, **keys):
    (tree / "mine.yaml").write_text(yaml.safe_dump({"students": STUDENTS} | keys))


def plan(tree, target, *options):
    """How often each rule is planned for a target, and what Snakemake says."""
    done = snakemake(tree, "-n", "-j", "2", target, "--configfile", "mine.yaml", *options)
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.M))
    return {rule: int(count) for rule, count in jobs.items() if rule != "total"}, done


def test_labels_are_checked_and_learned_from_and_nothing_else_happens(tree):
    configure(tree, data={"train": "my_train.xyz", "validation": "my_val.xyz"})
    jobs, done = plan(tree, "distill")
    assert jobs == {"store_data": 1, "train_own": 2, "distill": 1}, done.stdout
    assert "data/checkpoints/tiny.pt" in done.stdout, "what `from: tiny` names"


def test_a_student_that_another_one_goes_on_from_is_trained_before_it(tree):
    """Also where an earlier one was placed, and in whatever order they stand."""
    configure(
        tree, students={"more": {"from": "small"}, "small": {"parameters": 77_000}}, data={"train": "my_train.xyz"}
    )
    for placed in (False, True):
        if placed:
            (tree / "students").mkdir()
            (tree / "students/small.pt").write_text("before")
        jobs, done = plan(tree, "distill")
        assert jobs["train_own"] == 2, done.stdout
        assert re.search(r"rule train_own:\n +input: .*data/build/own/small\.pt\n", done.stdout), done.stdout
        assert "students/small.pt" not in done.stdout
    shutil.rmtree(tree / "students")
    by_path = {"more": {"from": "data/build/own/small.pt"}, "small": {"parameters": 77_000}}
    configure(tree, students=by_path, data={"train": "my_train.xyz"})
    jobs, done = plan(tree, "distill")
    assert jobs == {"store_data": 1, "train_own": 2, "distill": 1}, done.stdout


def test_what_a_student_goes_on_from_is_read_as_its_variant_is(tree, tmp_path):
    """By what the config says of it and by the files beside it, of which each trains the student anew."""
    copy = shutil.copytree(tree, tmp_path / "tree")
    target, mine = "data/build/own/s.pt", {"checkpoint": "mine/model.safetensors", "teacher": "LJ"}
    (copy / "mine").mkdir()
    for name in ("model.safetensors", "config.json"):
        (copy / "mine" / name).write_text(name)
    common = {"data": {"train": "my_train.xyz"}, "students": {"s": {"from": "mine"}}}
    configure(copy, **common, variants={"mine": mine})
    made = snakemake(copy, "-j", "2", target, "--configfile", "mine.yaml")
    assert made.returncode == 0, made.stdout
    assert plan(copy, target)[0] == {}
    configure(copy, **common, variants={"mine": mine | {"weights": "raw", "cutoff_A": 5.0}})
    assert plan(copy, target)[0] == {"train_own": 1}
    configure(copy, **common, variants={"mine": mine})
    (copy / "mine/config.json").write_text("another")
    assert plan(copy, target)[0] == {"train_own": 1}
    (copy / "mine/config.json").write_text("config.json")
    (copy / "mine/model.scope.json").write_text("told later")
    assert plan(copy, target)[0] == {"train_own": 1}


def test_what_tells_of_the_origin_of_a_student_trains_it_anew(tree, tmp_path):
    """Its description in a folder of results, and the records that tell of its teacher."""
    copy = shutil.copytree(tree, tmp_path / "tree")
    (copy / "results/mine").mkdir(parents=True)
    (copy / "results/mine/model.json").write_text(json.dumps({"source": {"path": "mine.pt"}}))
    told = ["results/mine/domain.npz", "mine.training.json"]
    for name in ("results/mine/model.safetensors", *told):
        (copy / name).write_text(json.dumps(name))
    configure(copy, data={"train": "my_train.xyz"}, students={"s": {"from": "results/mine/model.safetensors"}})
    target = "data/build/own/s.pt"
    assert snakemake(copy, "-j", "2", target, "--configfile", "mine.yaml").returncode == 0
    assert plan(copy, target)[0] == {}
    for name in told:
        (copy / name).write_text("another")
        assert plan(copy, target)[0] == {"store_data": 1, "train_own": 1}, name
        (copy / name).write_text(json.dumps(name))


@pytest.mark.parametrize(
    ("keys", "target", "words"),
    [
        ({"data": {"train": "typo.xyz"}}, "distill", "typo.xyz, which `data.train`"),
        ({"data": {"train": "my_train.xyz", "validation": "typo.xyz"}}, "distill", "typo.xyz, which `data.validation`"),
        (
            {"data": {"train": "my_train.xyz"}, "students": {"small": {"from": "typo.pt"}}},
            "distill",
            "typo.pt, which `students.small.from`",
        ),
        ({"data": {"structures": "typo.xyz", "teacher": TEACHER}}, "distill", "typo.xyz, which `data.structures`"),
        (
            {"students": {}, "ablate": {"train": "typo.xyz"}},
            "results/ablation/trials/base/0.json",
            "typo.xyz, which `ablate.train`",
        ),
        (
            {"students": {}, "compress": {"validation": "typo.xyz"}},
            "compress",
            "typo.xyz, which `compress.validation`",
        ),
        (
            {"students": {}, "physics": {"reference": "typo.xyz"}},
            "results/tiny/physics.json",
            "typo.xyz, which `physics.reference`",
        ),
        (
            {"students": {}, "dataset": {"splits": {"mine": "typo.xyz"}}},
            "results/report/summary.json",
            "typo.xyz, which `dataset.splits.mine`",
        ),
        (
            {"students": {}, "dataset": {"train": "typo.xyz"}},
            "results/tiny/quantization.json",
            "typo.xyz, which `dataset.train`",
        ),
    ],
)
def test_a_missing_file_is_refused_though_earlier_ones_were_made_of_another(tree, tmp_path, keys, target, words):
    copy = shutil.copytree(tree, tmp_path / "tree")
    made = ["labels.0.h5", "train.h5", "validation.h5", "data.json", "teacher.json"]
    made += [f"{name}.{kind}" for name in STUDENTS for kind in ("pt", "training.json", "domain.npz", "curve.svg")]
    (copy / "data/build/own").mkdir(parents=True)
    for path in [*(copy / "data/build/own" / name for name in made), *(copy / "results/tiny" / name for name in MADE)]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("earlier")
    configure(copy, **keys)
    done = plan(copy, target)[1]
    assert done.returncode != 0
    assert f"there is no file {words} in the config names: check the path" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("variants.mine.checkpoint", "results/mine/accuracy.json"),
        ("dataset.splits.mine", "results/tiny/accuracy.json"),
        ("dataset.train", "results/tiny/quantization.json"),
        ("data.train", "distill"),
        ("students.more.from", "distill"),
        ("properties.structure", "properties"),
    ],
)
def test_a_folder_in_the_place_of_a_file_is_refused_when_jobs_are_planned(tree, key, target):
    for folder in ("labels", "results/earlier"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
        (tree / folder / "part.xyz").write_text("part")
        named = functools.reduce(lambda inner, part: {part: inner}, reversed(key.split(".")), folder)
        if key.startswith("students."):
            named["data"] = {"train": "my_train.xyz"}
        configure(tree, **({} if target == "distill" else {"students": {}}) | named)
        done = plan(tree, target)[1]
        said = " ".join(done.stdout.split())
        assert done.returncode != 0, said
        assert f"{folder}, which `{key}` in the config names, is a folder: name a file" in said


def test_what_an_earlier_student_learned_from_is_looked_at_before_anything_is_held_out(tree):
    for name in ("earlier.pt", "earlier.domain.npz"):
        (tree / name).write_text(name)
    configure(tree, students={"more": {"from": "earlier.pt"}}, data={"train": "my_train.xyz"})
    done = plan(tree, "distill")[1]
    for rule in ("store_data", "train_own"):
        assert re.search(rf"rule {rule}:\n +input: .*earlier\.domain\.npz", done.stdout), done.stdout


def test_structures_are_labelled_first_after_the_teacher_was_tried(tree):
    configure(tree, data={"structures": "bare.xyz", "teacher": TEACHER}, training={"labelling_jobs": 3})
    jobs, done = plan(tree, "distill")
    expected = {"try_teacher": 1, "label_structures": 3, "store_data": 1, "train_own": 2, "distill": 1}
    assert jobs == expected, done.stdout


def test_all_judges_what_distill_trained_and_trains_nothing(tree):
    configure(tree, data={"train": "my_train.xyz"})
    done = snakemake(tree, "-n", "all", "--configfile", "mine.yaml")
    assert done.returncode != 0
    assert "students/small.pt is not trained yet: run `snakemake distill` with the same config first" in done.stdout
    (tree / "students").mkdir()
    (tree / "students/registered.json").write_text(json.dumps({"small.pt": "12"}))
    done = snakemake(tree, "-n", "all", "--configfile", "mine.yaml")
    assert "students/small.pt was trained and is gone: run `snakemake distill --forcerun distill`" in done.stdout
    assert plan(tree, "distill", "--forcerun", "distill")[1].returncode == 0
    (tree / "students/registered.json").unlink()
    for name in ("small.pt", "tuned.pt", "train.h5", "validation.h5"):
        (tree / "students" / name).write_text(name)
    jobs, done = plan(tree, "all")
    assert done.returncode == 0, done.stdout
    assert jobs["normalize"] == 2 and not {"train_own", "store_data", "train", "label", "molecules"} & set(jobs)
    without = plan(tree, "all", "--config", "students={small: null}")[0]
    assert without["normalize"] == 1 and without["report"] == 1, "as the sentence on a damaged one says"
    assert "data/dataset/" not in done.stdout and "data/checkpoints/" not in done.stdout


def test_a_student_of_another_teacher_or_other_data_is_not_judged_as_this_ones(tree):
    configure(tree, data={"train": "my_train.xyz", "teacher": "PBE0"})
    folder = tree / "students"
    folder.mkdir(exist_ok=True)
    for name in ("small.pt", "tuned.pt", "train.h5", "validation.h5"):
        (folder / name).write_text(name)
    for teacher, held_out, words in (
        ({"name": "PBE0"}, "12", None),
        (
            {"name": "EMT"},
            "12",
            "students/small.pt learned from EMT, and the config says from PBE0: run `snakemake distill`",
        ),
        ({"name": "PBE0"}, "34", "students/validation.h5 is of another `snakemake distill` than students/small.pt"),
    ):
        (folder / "small.training.json").write_text(json.dumps({"teacher": teacher, "held_out_sha256": held_out}))
        (folder / "registered.json").write_text(json.dumps({"validation.h5": "12"}))
        done = plan(tree, "results/small/accuracy.json")[1]
        assert (done.returncode == 0) == (words is None) and (words or "") in done.stdout, done.stdout
        assert "train_own" in plan(tree, "distill")[0], "the way out is open"
    shutil.rmtree(folder)


def test_a_key_that_stands_twice_in_a_config_is_refused(tree):
    (tree / "mine.yaml").write_text("device: cpu\nstudents: {}\ndevice: cuda\n")
    done = plan(tree, "all")[1]
    assert done.returncode != 0 and "mine.yaml has `device` twice, in lines 1 and 3: write it once" in done.stdout


def test_without_students_of_ones_own_there_is_nothing_to_compare(tree):
    (tree / "mine.yaml").write_text("{device: cpu}")
    done = plan(tree, "fine_tuning")[1]
    assert done.returncode != 0 and "`students` of the config names none: name some" in done.stdout, done.stdout


@pytest.mark.parametrize("command", ["peers", "engines", "weights"])
def test_without_students_there_is_nothing_to_time_or_to_run(tree, command):
    others = dict.fromkeys(("original", "tiny", "ultra_tiny")) | {
        "lj": {"calculator": "ase.calculators.lj.LennardJones"}
    }
    (tree / "mine.yaml").write_text(yaml.safe_dump({"variants": others}))
    done = plan(tree, command)[1]
    assert done.returncode != 0 and "no variant of the config is a student: name one" in done.stdout, done.stdout


def test_without_data_of_ones_own_the_shipped_students_are_trained(tree):
    (tree / "mine.yaml").write_text("{device: cpu}")
    for name in ("molecules/written", "molecules/listed", "molecules/pieces", "molecules/new", "physics/molecules"):
        (tree / f"data/{name}.csv").parent.mkdir(exist_ok=True)
        (tree / f"data/{name}.csv").touch()
    jobs, done = plan(tree, "distill")
    assert jobs["train"] == 3 and jobs["label"] == 2 and jobs["distill"] == 1, done.stdout
    assert not {"train_own", "store_data", "label_structures"} & set(jobs)
