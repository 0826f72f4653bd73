"""The workflow reruns what a change reaches and nothing else: real Snakemake runs of the real rules.

Only the scripts are stand-ins: each writes a digest of its inputs into its outputs, so that a file's content changes
exactly if something upstream of it did.
"""

import json
import os
import re
import shutil
from itertools import combinations, product
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from assay.workflow.config import load_config
from shared.workflow_copy import ROOT, STAND_IN, changed, lay_out, snakemake, snapshot

pytestmark = pytest.mark.slow

RULES = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))


@pytest.fixture(scope="module")
def variants():
    return list(load_config(ROOT / "config")["variants"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A copy of the workflow with stand-in scripts and data, in which everything was made once with -j 3."""
    tree = tmp_path_factory.mktemp("finished")
    lay_out(tree, STAND_IN)
    done = snakemake(tree, "-j", "3", "all")
    assert done.returncode == 0, done.stdout
    return tree


@pytest.fixture
def tree(finished, tmp_path):
    """A fresh copy of the finished tree, dates included."""
    return shutil.copytree(finished, tmp_path / "tree")


def test_the_report_times_the_rules_that_all_runs_and_no_others(tmp_path):
    lay_out(tmp_path, STAND_IN)
    with (tmp_path / "Snakefile").open("a") as snakefile:
        snakefile.write('\nprint("timed:", *TIMED)\nprint("named:", *tables_of(None))\n')
    planned = snakemake(tmp_path, "-n", "all", "--set-scatter", "validate=2").stdout
    timed, named = (set(re.search(f"^{what}: (.*)$", planned, re.M)[1].split()) for what in ("timed", "named"))
    run = set(re.findall(r"^(?:localrule|rule|checkpoint|localcheckpoint) (\w+):$", planned, re.M))
    tables = re.findall(r'"benchmarks/(\w+)/(?:\{variant\}(?:\.\{scatteritem\})?|all)\.tsv"', RULES)
    assert {"endure", "material", "peers"} <= set(tables)
    assert timed == run & set(tables) - {"report"} | {"calculator", "describe"}  # of which there is none here
    assert named >= {"tiny", "tiny.1-of-2", "tiny.2-of-2", "shipped"}


def test_the_report_lists_every_split_whatever_it_is_called(tmp_path):
    lay_out(tmp_path, STAND_IN)
    with (tmp_path / "Snakefile").open("a") as snakefile:
        snakefile.write('\nimport json\nprint("data:", json.dumps(DATA))\n')
    (tmp_path / "own.xyz").write_text("own")
    splits = {"training_data": "own.xyz", "mine": "own.xyz"}
    given = ["--config", f"dataset={json.dumps({'splits': splits})}"]
    planned = snakemake(tmp_path, "-n", "results/tiny/model.json", *given).stdout
    data = json.loads(re.search("^data: (.*)$", planned, re.M)[1])
    assert data["split training_data"] == data["mine"] == "own.xyz"
    assert data["training_data"] == "data/dataset/train.h5"


def test_second_run_has_nothing_to_do(tree):
    assert "Nothing to be done" in snakemake(tree, "-n", "-j", "3", "all").stdout


def test_touched_inputs_rerun_nothing(tree):
    before = snapshot(tree)
    for path in (tree / "data").rglob("*"):
        path.touch()
    done = snakemake(tree, "-j", "3", "all")
    assert "Nothing to be done" in done.stdout
    assert snapshot(tree) == before


def test_replaced_checkpoint_reruns_its_branch_and_what_consumes_it(tree):
    before = snapshot(tree)
    (tree / "data/checkpoints/tiny.pt").write_text("second")
    done = snakemake(tree, "-j", "3", "all")
    assert done.returncode == 0, done.stdout
    rerun = changed(before, snapshot(tree))
    assert rerun == {path for path in before if path.startswith(("tiny/", "report/"))}
    assert {path.split("/")[0] for path in rerun} == {"tiny", "report"}


def test_what_tells_of_the_training_data_reruns_what_is_compared_with_them(tree):
    """A record beside a checkpoint, then a description, then another description, then the user's word on the rest."""
    compared = {"domain", "validate", "compare_accuracy", "package", "report"}
    folder, record = tree / "data/checkpoints", {"train_sha256": "12" * 32, "n_structures": 400}
    (tree / "data/dataset/dataset.json").write_text(json.dumps({"part_of": [{"sha256": "12" * 32}]}))

    def rerun(*arguments):
        (tree / "jobs.jsonl").write_text("")
        done = snakemake(tree, "-j", "3", "all", *arguments)
        assert done.returncode == 0, done.stdout
        return {job["rule"] for job in jobs_of(tree)}

    (folder / "tiny.training.json").write_text(json.dumps(record))
    assert rerun() >= compared | {"describe", "normalize", "export"}, "files say the scope that the record tells"
    assert (tree / "results/shipped.domain.npz").is_file()
    (folder / "tiny.domain.npz").write_text("first")
    before = snapshot(tree)
    assert rerun() == compared
    (folder / "tiny.domain.npz").write_text("second")
    assert rerun() == compared
    after = snapshot(tree)
    assert {"tiny/domain.npz", "tiny/accuracy.json"} <= changed(before, after)
    assert not any(path.startswith("original/") for path in changed(before, after))
    assert rerun("--config", "dataset={train: data/dataset/train.h5}") == compared | {"describe"}
    assert {"original/domain.npz", "named.domain.npz"} <= changed(after, snapshot(tree))
    assert "tiny/domain.npz" not in changed(after, snapshot(tree))


def test_a_record_of_who_labelled_a_split_reruns_what_asks_for_it(tree):
    """Which is no input, since `snakemake dataset` makes it."""
    record = {"teacher": {"name": "PBE"}, "parts": {"unseen_molecules": {"file_sha256": "12" * 32}}}
    (tree / "data/dataset/dataset.json").write_text(json.dumps(record))
    planned = snakemake(tree, "-n", "--quiet", "rules", "all").stdout
    assert {"validate", "schemes", "quantize"} <= set(re.findall(r"^(\w+) +3$", planned, re.M)), planned
    assert not re.search(r"^(normalize|export|probe) ", planned, re.M), planned


def test_labels_of_an_earlier_date_rerun_what_reads_them(tree):
    """As `cp -p`, `rsync -a` or `mv` put them in the place of others, whose date they are before."""
    for split in ("unseen_molecules", "train"):
        (tree / f"data/dataset/{split}.h5").write_text("second")
        os.utime(tree / f"data/dataset/{split}.h5", (1e9, 1e9))
        planned = set(re.findall(r"^(\w+) +\d+$", snakemake(tree, "-n", "--quiet", "rules", "all").stdout, re.M))
        assert {"schemes", "quantize"} <= planned and not planned & {"normalize", "export", "probe"}, planned
        assert (split == "train") != ({"validate", "benchmark", "verify"} <= planned), planned
        assert snakemake(tree, "-j", "3", "all").returncode == 0
        assert "Nothing to be done" in snakemake(tree, "-n", "all").stdout


def test_forces_and_cells_beside_a_trajectory_rerun_what_reads_it(tree):
    for name in ("run-pos-1.xyz", "run-frc-1.xyz", "run-1.restart"):
        (tree / name).write_text("first")
    (tree / "mine.yaml").write_text("dataset: {splits: {run: run-pos-1.xyz}}")
    all_of_it = ("-j", "3", "all", "--configfile", "mine.yaml")
    assert snakemake(tree, *all_of_it).returncode == 0
    for name in ("run-frc-1.xyz", "run-1.restart"):
        (tree / name).write_text("second")
        planned = snakemake(tree, "-n", "--quiet", "rules", *all_of_it).stdout
        assert re.search(r"^validate +3$", planned, re.M), planned
        assert snakemake(tree, *all_of_it).returncode == 0
    assert "Nothing to be done" in snakemake(tree, *all_of_it).stdout


def test_times_of_a_gpu_that_are_kept_write_the_report_again(tree):
    (tree / "jobs.jsonl").write_text("")
    record = tree / "data/benchmarks/gpu/speed.json"
    record.parent.mkdir(parents=True)
    for content in ("first", "second"):
        record.write_text(content)
        before = snapshot(tree)
        done = snakemake(tree, "-j", "3", "all")
        assert done.returncode == 0, done.stdout
        assert "report/report.html" in changed(before, snapshot(tree))
    assert [job["rule"] for job in jobs_of(tree)] == ["report", "report"]


def test_the_report_is_written_again_for_what_is_measured_apart(tree):
    """And what `all` does not measure is not measured again for it."""
    (tree / "jobs.jsonl").write_text("")
    apart = [tree / "results" / file for file in ("peers/peers.json", "tiny/properties.json", "engines/engines.json")]
    for path in apart:
        path.parent.mkdir(exist_ok=True)
        path.write_text("first")
    done = snakemake(tree, "-j", "3", "all")
    assert done.returncode == 0, done.stdout
    assert [job["rule"] for job in jobs_of(tree)] == ["report"]
    apart[0].write_text("second")
    planned = snakemake(tree, "-n", "--quiet", "rules", "all").stdout
    assert set(re.findall(r"^(\w+) +\d+$", planned, re.M)) == {"report", "all", "total"}


@pytest.mark.parametrize("scripts", [("validate", "schemes"), ("normalize", "schemes"), ("normalize", "physics")])
def test_one_run_makes_all_again_whose_code_changed(tree, scripts):
    """Of two scripts of which the first one's results are no input of the second one's."""
    (tree / "jobs.jsonl").write_text("")
    for name in scripts:
        with (tree / f"scripts/{name}.py").open("a") as script:
            script.write("CHANGED = 1\n")
    done = snakemake(tree, "-j", "3", "all")
    assert done.returncode == 0, done.stdout
    assert {job["rule"] for job in jobs_of(tree)} >= set(scripts)
    assert "Nothing to be done" in snakemake(tree, "-n", "-j", "3", "all").stdout


def test_documentation_is_written_again_for_what_was_measured_apart(tree):
    """Which is not measured again for it, whatever is newer."""
    (tree / "jobs.jsonl").write_text("")
    measured = tree / "results/tiny/endurance.json"
    for content in ("first", "second"):
        measured.write_text(content)
        done = snakemake(tree, "-j", "3", "document")
        assert done.returncode == 0, done.stdout
    assert [job["rule"] for job in jobs_of(tree)] == ["document", "document"]
    assert measured.read_text() == "second"
    assert "Nothing to be done" in snakemake(tree, "-j", "3", "document").stdout


def test_one_target_makes_its_own_branch_only(tree):
    shutil.rmtree(tree / "results")
    done = snakemake(tree, "-j", "3", "results/tiny/accuracy.json")
    assert done.returncode == 0, done.stdout
    made = snapshot(tree)
    assert {"tiny/model.json", "tiny/accuracy.json"} <= set(made)
    assert all(path.startswith("tiny/") for path in made)
    assert "tiny/benchmark.json" not in made


def test_changed_setting_reruns_what_reads_it(tree):
    before = snapshot(tree)
    done = snakemake(tree, "-j", "3", "all", "--config", "dataset={splits: {unseen_molecules: null}}")
    assert done.returncode == 0, done.stdout
    rerun = changed(before, snapshot(tree))
    assert "tiny/accuracy.json" in rerun
    assert "tiny/model.json" not in rerun


def test_changed_threshold_judges_again_and_measures_nothing(tree):
    (tree / "jobs.jsonl").unlink()
    limits = {"energy_spread_eV": {"max": 1.0, "because": "test only"}}
    (tree / "mine.yaml").write_text(yaml.safe_dump({"physics": {"thresholds": {"rotation": {"limits": limits}}}}))
    done = snakemake(tree, "-j", "3", "all", "--configfile", "mine.yaml")
    assert done.returncode == 0, done.stdout
    assert {job["rule"] for job in jobs_of(tree)} == {"physics", "package", "report"}


def test_added_variant_is_made_and_a_null_one_is_left_out(tree):
    shutil.rmtree(tree / "results")
    (tree / "mine.pt").write_text("mine")
    overrides = "variants={mine: {checkpoint: mine.pt}, original: null}"
    done = snakemake(tree, "-j", "3", "all", "--config", overrides)
    assert done.returncode == 0, done.stdout
    made = {path.name for path in (tree / "results").iterdir()}
    assert made == {"mine", "tiny", "ultra_tiny", "report"}


def test_missing_checkpoint_is_an_error_and_never_a_training(tree):
    (tree / "data/checkpoints/tiny.pt").unlink()
    shutil.rmtree(tree / "results/tiny")
    done = snakemake(tree, "-n", "all")
    assert done.returncode != 0
    assert "data/checkpoints/tiny.pt" in done.stdout


def test_bad_override_is_one_sentence_before_anything_is_planned(tree):
    done = snakemake(tree, "-n", "all", "--config", "devise=cpu")
    assert done.returncode != 0
    assert "`devise` is not a known key; did you mean `device`?" in done.stdout
    assert "Building DAG" not in done.stdout


def jobs_of(tree):
    """What each stand-in script noted of its run."""
    return [json.loads(line) for line in (tree / "jobs.jsonl").read_text().splitlines()]


def overlapping(jobs):
    """Pairs of jobs that ran at the same time."""
    return [
        (one, other)
        for one, other in combinations(jobs, 2)
        if one["started"] < other["ended"] and other["started"] < one["ended"]
    ]


@pytest.mark.parametrize("cores", ["-j", "-c"])
def test_timing_rules_run_alone_and_others_do_not(tree, cores):
    if cores == "-c":
        shutil.rmtree(tree / "results")
        (tree / "jobs.jsonl").unlink()
        assert snakemake(tree, "-c", "4", "all").returncode == 0
    jobs = jobs_of(tree)
    assert "benchmark" in {job["rule"] for job in jobs if job["owns_device"]}
    pairs = overlapping(jobs)
    assert pairs
    assert [pair for pair in pairs if any(job["owns_device"] for job in pair)] == []


def test_no_script_goes_through_the_letters_of_a_path(finished):
    """An input of one file is text to a script, unless its rule gives a list."""
    for job in jobs_of(finished):
        [script] = re.findall(rf"^(?:rule|checkpoint) {job['rule']}:.*?scripts/(\w+\.py)", RULES, re.M | re.S)
        text = (ROOT / "scripts" / script).read_text()
        gone_through = set(re.findall(r"(?:\bin (?:map\(\w+, )?|map\(\w+, |, |\*)snakemake\.input\.(\w+)\b", text))
        gone_through |= set(re.findall(r"iter\(snakemake\.input\.get\(\"(\w+)\"", text))
        asked_alone = set(re.findall(r"read_\w+\(snakemake\.input\.(\w+)\)", text))
        assert not (gone_through - asked_alone) & set(job["single_inputs"]), script


def test_every_job_left_a_log_and_its_time(finished):
    jobs = len(jobs_of(finished))
    assert len(list((finished / "benchmarks").rglob("*.tsv"))) == jobs


def above(edges, node):
    """Everything that ``node`` depends on, near and far."""
    near = {one for one, other in edges if other == node}
    return near.union(*(above(edges, one) for one in near))


def test_picture_of_the_readme_shows_what_depends_on_what(tree):
    picture = re.search(r"```mermaid\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    arrows = re.findall(r"^ *([\w &\[\]']+?) --> ([\w &]+)$", picture, re.M)
    sides = [[re.findall(r"(\w+)(?:\[.*?\])?(?: & |$)", side) for side in arrow] for arrow in arrows]
    drawn = {pair for left, right in sides for pair in product(left, right)}
    graph = snakemake(tree, "--rulegraph", "dot", "all").stdout
    names = dict(re.findall(r'(\d+)\[label = "(\w+)', graph))
    edges = {(names[one], names[other]) for one, other in re.findall(r"(\d+) -> (\d+)", graph)}
    made = {pair for pair in drawn if set(pair) <= set(names.values())}
    assert len(made) > 10
    assert {(one, other) for one, other in made if one not in above(edges, other)} == set()
    assert {one for pair in drawn for one in pair} - set(names.values()) == {
        "checkpoint",
        "dataset",
        "teacher",
        "reference",
    }


def test_readme_lists_every_file_that_is_made(tree):
    text = (ROOT / "README.md").read_text()
    listed = set(re.findall(r"`([\w.]+)`", text.split("## What appears where")[1].split("```mermaid")[0]))
    made = {path.split("/")[1] for path in snapshot(tree) if path.startswith(("tiny/", "report/"))}
    parts = {"physics.probe.json", "physics.exports.json", "accuracy.svg"}  # put into physics.json and the report
    assert made - parts - {"figures"} <= listed


def test_snakemakes_own_report_packs_every_figure_in_its_category(tree, variants):
    done = snakemake(tree, "--report", "packed.zip", "all")
    assert done.returncode == 0, done.stdout
    with ZipFile(tree / "packed.zip") as archive:
        [page] = [
            archive.read(name).decode()
            for name in archive.namelist()
            if name.endswith("report.html") and "data" not in name
        ]
        packed = {Path(name).name for name in archive.namelist()}
    figures = {Path(path).name for path in snapshot(tree) if path.endswith(".svg")}
    assert {*figures, "report.html", "comparison.csv"} <= packed
    assert all(f'"{category}"' in page for category in ("Accuracy", "Physics", "Speed", "Report"))
    assert all(page.count(f'"{variant}"') >= len(figures) - 1 for variant in variants)
