"""Splits that are predicted in shards are judged as one, and ten thousand shards are planned quickly."""

import json
import re
import resource
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml
from ase.build import bulk, molecule
from ase.io import write

from assay.accuracy.domain import Novelty
from assay.accuracy.evaluation import OutsideScope, predict_all, with_labels
from assay.accuracy.shards import Shard, predict_piece, read_shards, write_shard
from assay.accuracy.splits import judge_split
from assay.accuracy.training_data import TrainingData
from assay.data import read_dataset
from assay.data.dataset import from_structures
from assay.data.scope import Scope
from assay.predictors.interface import Prediction
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from shared.predict_labelled import JUDGED
from shared.workflow_copy import ROOT, STAND_IN, lay_out, snakemake

SAID_OF_THE_JOB = ("created_utc", "wall_s", "peak_memory_MB")
ABOUT = {"runtime": "eager", "dtype": "float32", "scope": None, "wall_s": 1.5}


class Echo:
    """Predicts half of the labels of hydrogen, carbon and oxygen, and has no energy for one structure."""

    name, max_z, elements, dtype, cutoff_A = "echo", 8, None, "float32", 5.0

    def predict(self, structures):
        return [
            Prediction(np.nan if s.name == "s7" else s.energy_eV / 2, s.forces_eV_per_A / 2, np.eye(3))
            for s in structures
        ]


class Failing(Echo):
    """Fails, as a calculator does, in what holds one of some structures."""

    def __init__(self, *names):
        self.names, self.asked = names, 0

    def predict(self, structures):
        self.asked += 1
        for structure in structures:
            if structure.name in self.names:
                raise AssayError(f"the calculator failed at {structure.name}: leave that structure out")
        return super().predict(structures)


class Counted:
    """A domain whose scores tell which structure they belong to."""

    training_data = TrainingData("all", 1, 1, None)

    def overlap_with(self, structures):
        return {"sentence": f"of {len(structures)} structures none is known"}

    def novelties_of(self, structures):
        return [Novelty(float(s.name[1:]), 1, ("C bonded to F",) if s.name == "s4" else ()) for s in structures]


def labelled(atoms, name, seed):
    draw = np.random.default_rng(seed)
    atoms.rattle(0.05, seed=seed)
    stress = draw.normal(size=(3, 3)) if atoms.pbc.all() else None
    known = vars(Structure.from_ase(atoms, name)) | {"energy_eV": draw.normal(), "stress_eV_per_A3": stress}
    return Structure(**known | {"forces_eV_per_A": draw.normal(size=(len(atoms), 3))})


@pytest.fixture
def dataset():
    """Molecules and crystals, one of them astray, one of an unknown element."""
    atoms = [molecule(name) for name in ("H2O", "CH4", "CH3OH", "C2H6")] * 3
    atoms[5], atoms[9] = bulk("C", cubic=True), bulk("C")
    structures = [labelled(one, f"s{k}", k) for k, one in enumerate(atoms)]
    structures[2] = replace(structures[2], positions=structures[2].positions * 1e6)
    structures[3] = replace(structures[3], atomic_numbers=np.full(len(structures[3]), 9))
    return from_structures(structures)


def in_shards(dataset, folder, n_shards):
    """What many jobs found out about a dataset, put together."""
    paths = [folder / f"{k}.npz" for k in range(n_shards)]
    for k, path in enumerate(paths):
        part = dataset.subset(np.arange(len(dataset) * k // n_shards, len(dataset) * (k + 1) // n_shards))
        write_shard(path, Shard({"a/b ö": predict_piece(Echo(), Counted(), part, "mine")}, ABOUT))
    return read_shards(paths)


@pytest.mark.parametrize("n_shards", [1, 2, 5, 30])
def test_shards_are_one_split_whatever_their_number(dataset, tmp_path, n_shards):
    merged = in_shards(dataset, tmp_path, n_shards)
    piece, whole = merged.pieces["a/b ö"], predict_piece(Echo(), Counted(), dataset, "mine")
    assert merged.about == ABOUT | {"wall_s": 1.5 * n_shards}
    assert piece.novelties == whole.novelties and sum(novelty.score for novelty in piece.novelties) == 66 - 2 - 3
    one, other = (with_labels(found.predictions, dataset, "mine") for found in (piece, whole))
    assert one.without == other.without and [row["name"] for row in one.without] == ["s2", "s3", "s7"]
    for name in ("energy", "forces", "stress", "stress_teacher"):
        np.testing.assert_array_equal(getattr(one.errors, name), getattr(other.errors, name))


def test_a_shard_of_unknown_elements_does_not_speak_for_the_split(dataset, tmp_path):
    halves = dataset.subset([3]), dataset.subset([0, 1])
    assert predict_all(Echo(), halves[0]).unknown == {9}
    both = dataset.subset([3, 0, 1])
    assert len(with_labels(in_shards(both, tmp_path, 3).pieces["a/b ö"].predictions, both).dataset) == 2
    strange = dataset.subset([3, 3])
    merged = in_shards(strange, tmp_path, 5)  # more shards than structures
    with pytest.raises(OutsideScope, match="it does not know: F"):
        with_labels(merged.pieces["a/b ö"].predictions, strange)


def test_a_split_is_judged_by_what_has_a_prediction_and_says_the_rest(dataset):
    class Nowhere(Counted):
        training_data = TrainingData("unknown", 0, None, None, "nothing tells")

    piece = predict_piece(Echo(), Counted(), dataset, "mine")
    scope = Scope(elements=("H", "C", "O"), charges=(0,), spins=(1,), axes=(0,), n_atoms=(1, 50))
    settings = JUDGED.model_copy(update={"worst": 2})
    judged = judge_split(piece, dataset, Counted(), scope, settings, "mine")
    assert judged.row["n_structures"] == len(judged.errors) == len(judged.novelties) == 9
    assert [novelty.score for novelty in judged.novelties] == [0, 1, 4, 5, 6, 8, 9, 10, 11]
    assert judged.row["domain"]["unknown_pattern_fraction"] == 1 / 9
    assert [atoms.info["name"] for atoms in judged.worst] == [row["name"] for row in judged.row["worst"]]
    said = list(judged.sentences("mine"))
    assert said[0].startswith("mine: 3 of 12 structures have no prediction") and said[1].startswith("labels of mine: ")
    assert said[2].startswith("2 structures of mine are outside of the scope, such as s5: ")
    assert said[3:] == ["mine: of 9 structures none is known"]
    unknown = judge_split(piece, dataset, Nowhere(), None, settings, "mine")
    assert unknown.novelties is None and unknown.row["domain"] is None and unknown.row["scope"] is None


def test_what_is_no_shard_is_refused_in_words(tmp_path):
    (tmp_path / "1-of-2.npz").write_text("nothing")
    with pytest.raises(AssayError, match=r"1-of-2.npz is no shard of predictions"):
        read_shards([tmp_path / "1-of-2.npz"])


@pytest.mark.parametrize("at_most", [None, 7])
def test_parts_of_a_file_are_all_of_it_once(tmp_path, at_most):
    frames = [labelled(molecule("H2O"), f"s{k}", k).to_ase() for k in range(11)]
    write(tmp_path / "mine.xyz", frames, format="extxyz")
    whole = read_dataset(tmp_path / "mine.xyz", at_most, 3)
    parts = [read_dataset(tmp_path / "mine.xyz", at_most, 3, part=(k, 13)) for k in range(13)]
    assert min(map(len, parts)) == 0
    assert [number for part in parts for number in part.places if len(part)] == list(whole.places)


@pytest.mark.slow
def test_a_sharded_run_says_what_one_job_says(tmp_path):
    """Real jobs: three shards, and one job after them."""
    structures = [structure.to_ase() for structure in read_dataset(ROOT / "data/dataset/unseen_molecules.h5", 20)]
    write(tmp_path / "mine.xyz", structures, format="extxyz")
    splits = dict.fromkeys(("seen_molecules", "unseen_molecules", "larger_molecules", "new_molecules"))
    given = {"dataset": {"splits": splits | {"mine": "mine.xyz"}}, "accuracy": {"resamples": 50}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(given))
    said = []
    for n_shards in (1, 3):
        command = ["-s", ROOT / "Snakefile", "--configfile", "mine.yaml", "-j", "1", "--set-scatter"]
        target = tmp_path / "results/ultra_tiny/accuracy.json"
        done = snakemake(tmp_path, *command, f"validate={n_shards}", "--", target.relative_to(tmp_path))
        assert done.returncode == 0, done.stdout
        assert len(list(tmp_path.glob("logs/predict_shard/ultra_tiny.*-of-3.log"))) == (0 if n_shards == 1 else 3)
        said.append(json.loads(target.read_text()))
        target.unlink()
    assert not list(tmp_path.glob("results/ultra_tiny/shards/*.npz"))
    one, other = ({k: v for k, v in found.items() if k not in SAID_OF_THE_JOB} for found in said)
    assert_alike(one, other)


def assert_alike(one, other, place=""):
    """Equal, but for float32 in batches of other composition."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_alike(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), place
        for k, pair in enumerate(zip(one, other, strict=True)):
            assert_alike(*pair, f"{place}[{k}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6), place
    else:
        assert one == other, place


def planned(tree, *command):
    """What Snakemake says of a plan, and the processor time of it, which no other work on the machine changes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = snakemake(tree, "-n", "--quiet", "rules", *command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processor time is counted as Linux does")
def test_ten_thousand_shards_are_planned_in_a_minute(tmp_path):
    lay_out(tmp_path, STAND_IN)
    done = snakemake(tmp_path, "-j", "2", "results/tiny/model.safetensors")
    assert done.returncode == 0, done.stdout
    said, seconds = planned(tmp_path, "--set-scatter", "validate=10000", "--", "results/tiny/accuracy.json")
    assert re.search(r"^predict_shard +10000$", said, re.M), said
    assert seconds < 60.0
    (tmp_path / "bare.xyz").write_text("structures")
    teacher = {"name": "EMT", "calculator": "ase.calculators.emt.EMT"}
    given = {"data": {"structures": "bare.xyz", "teacher": teacher}, "students": {"small": {"parameters": 4000}}}
    given |= {"training": {"labelling_jobs": 5000}, "rounds": {"count": 1}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(given))
    said, seconds = planned(tmp_path, "--configfile", "mine.yaml", "--", "data/build/own/train.h5")
    assert re.search(r"^label_structures +5000$", said, re.M), said
    assert re.search(r"^label_frames +5000$", said, re.M), said
    assert seconds < 60.0


def test_a_structure_that_a_model_fails_at_is_set_apart_and_a_model_that_always_fails_is_not_asked_on():
    whole = from_structures([labelled(molecule("H2O"), f"s{k}", k) for k in range(30)])
    found = with_labels(predict_all(Failing("s3", "s20"), whole), whole, "mine")
    assert [row["name"] for row in found.without] == ["s3", "s7", "s20"]
    assert found.without[0]["reason"] == "the calculator failed at s3: leave that structure out"
    assert "3 of 30 structures have no prediction" in found.sentence
    np.testing.assert_array_equal(found.errors.energy, found.dataset.energy / 2)
    for first in (0, 9):  # it fails from the beginning, or from some structure on
        breaks = Failing(*(f"s{k}" for k in range(first, 30)))
        with pytest.raises(AssayError, match="the calculator failed at s"):
            predict_all(breaks, whole)
    assert predict_all(Failing("s3"), whole.subset(np.arange(30) == 3)).refused.keys() == {0}, "it may be a shard"
