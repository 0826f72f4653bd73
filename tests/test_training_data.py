"""What structures are compared with: the data that a student was trained on, as far as they are known."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from assay.accuracy.domain import domain_of, read_domain, write_domain
from assay.accuracy.fitting import fit
from assay.data.dataset import from_structures
from assay.workflow.errors import AssayError
from assay.workflow.files import read_json, training_record
from assay.workflow.records import description_for, read_shipped_part, training_description
from shared.checkpoint_samples import store, student
from shared.molecules import TRAIN, shaken

ROOT = Path(__file__).parents[1]
WHOLE = "93" * 32  # content hash of the build that the shipped structures are a part of


@pytest.fixture(scope="module")
def shipped():
    """The description of the structures that are shipped."""
    train, others = ([s for name in TRAIN for s in shaken(name, 20, seed=seed)] for seed in (0, 1))
    return fit(from_structures(train), from_structures(others), points_per_element=100, seed=0)


@pytest.fixture
def folder(shipped, tmp_path):
    """A checkpoint and its record of a training on WHOLE; and the record and description of a shipped part of that."""
    give(tmp_path, WHOLE)
    parts = {"train": {"content_sha256": shipped.training_data.sha256}}
    builds = [{"n_structures": 400, "sha256": WHOLE}]
    (tmp_path / "dataset.json").write_text(json.dumps({"part_of": builds, "parts": parts}))
    write_domain(tmp_path / "shipped.npz", shipped)
    return tmp_path


def give(folder, in_checkpoint, in_record="the same"):
    """Lay down a checkpoint and a record that name these training data; a name of None is left out."""
    said = {} if in_checkpoint is None else {"training": {"train_sha256": in_checkpoint, "n_structures": 400}}
    checkpoint = store(folder, {"model_state_dict": student("painn").state_dict()} | said, "tiny.pt")
    named = in_checkpoint if in_record == "the same" else in_record
    training_record(checkpoint).unlink(missing_ok=True)
    if named is not None:
        training_record(checkpoint).write_text(json.dumps({"train_sha256": named, "n_structures": 400}))


def found(folder, named=False):
    """The domain as the workflow makes it: which description there is, and what it says."""
    checkpoint, part = folder / "tiny.pt", read_shipped_part(folder / "dataset.json")
    description = description_for(checkpoint, part, named)
    files = {
        "own": training_description(checkpoint),
        "shipped": folder / "shipped.npz",
        "named": folder / "shipped.npz",
    }
    return domain_of(checkpoint, description, files.get(description), part)


def flags_acetonitrile(domain, tmp_path):
    """Whether a molecule whose bonds no training structure has is flagged, by the domain as it comes from its file."""
    write_domain(tmp_path / "again.npz", domain)
    [novelty] = read_domain(tmp_path / "again.npz").novelties_of(shaken("CH3CN", 1))
    return novelty.flagged


def test_description_of_all_that_was_given_stands_for_all(folder, shipped):
    """Training wrote it beside the checkpoint, and its hash is that of the record."""
    give(folder, shipped.training_data.sha256)
    record = training_record(folder / "tiny.pt")
    record.write_text(json.dumps(read_json(record) | {"n_structures": 160}))
    write_domain(training_description(folder / "tiny.pt"), shipped)
    domain = found(folder)
    assert domain.training_data.sentence == "Structures are compared with all 160 training structures."
    assert flags_acetonitrile(domain, folder)


def test_shipped_part_stands_for_the_build_that_it_is_a_part_of(folder):
    domain = found(folder)
    assert domain.training_data.sentence == "Structures are compared with 160 of 400 training structures."
    assert domain.training_data.record["n_described"] == 160 and domain.training_data.record["n_training"] == 400
    assert flags_acetonitrile(domain, folder)


def test_description_of_a_part_of_what_was_given_stands_for_a_part(folder, shipped):
    """As of so many structures that not all of them are described."""
    own = replace(shipped, training_data=replace(shipped.training_data, extent="part", sha256=WHOLE))
    write_domain(training_description(folder / "tiny.pt"), own)
    domain = found(folder)
    assert domain.training_data.sentence == "Structures are compared with 160 of 400 training structures."
    assert domain.seen.whole is False


@pytest.mark.parametrize(
    ("in_checkpoint", "in_record", "reason"),
    [
        (None, None, "there is no record of the training of tiny.pt"),
        (WHOLE, None, "there is no record of the training of tiny.pt"),
        ("12" * 32, "the same", "of the 400 structures that tiny.pt was trained on there is no description"),
        (
            None,
            WHOLE,
            "tiny.pt does not say itself what it learned from, so tiny.training.json may be of another file",
        ),
    ],
    ids=["no record", "record that is gone", "other build", "foreign weights beside a record"],
)
def test_nothing_is_flagged_where_the_training_data_are_unknown(folder, in_checkpoint, in_record, reason):
    give(folder, in_checkpoint, in_record)
    domain = found(folder)
    words = f"No structure is flagged as unlike the training data, because these are unknown: {reason}."
    assert domain.training_data.sentence == words
    assert domain.coverage() == {}
    assert not flags_acetonitrile(domain, folder)


def test_other_shipped_structures_than_the_record_tells_of_stand_for_nothing(folder):
    record = folder / "dataset.json"
    record.write_text(json.dumps(read_json(record) | {"parts": {"train": {"content_sha256": "34" * 32}}}))
    domain = found(folder)
    assert "the shipped structures are not those that their own record tells of" in domain.training_data.sentence
    assert not flags_acetonitrile(domain, folder)


def test_what_the_user_names_stands_for_a_checkpoint_without_a_record_alone(folder):
    assert found(folder, named=True).training_data.extent == "part"
    give(folder, None)
    domain = found(folder, named=True)
    expected = "Structures are compared with the 160 structures that the config names as training data."
    assert domain.training_data.sentence == expected
    assert flags_acetonitrile(domain, folder)


def test_description_of_other_data_than_those_of_the_record_is_refused(folder, shipped):
    write_domain(training_description(folder / "tiny.pt"), shipped)
    with pytest.raises(AssayError, match=r"tiny\.domain\.npz describes other data than those that tiny"):
        found(folder)


def test_record_of_another_training_than_that_of_the_checkpoint_is_refused(folder):
    give(folder, "12" * 32, WHOLE)
    with pytest.raises(AssayError, match=r"tiny\.training\.json is the record of another training than that of"):
        found(folder)


def test_shipped_students_are_described_by_what_is_shipped_of_their_training_data():
    path = ROOT / "data/dataset/dataset.json"
    shipped = read_json(path)
    for checkpoint in (ROOT / "data/checkpoints").glob("*.pt"):
        assert description_for(checkpoint, read_shipped_part(path), named=False) in ("own", "shipped")
        record = read_json(training_record(checkpoint))
        assert {"n_structures": record["n_structures"], "sha256": record["train_sha256"]} in shipped["part_of"]


@pytest.mark.slow
def test_predict_reads_what_training_left_beside_a_checkpoint(folder, shipped):
    write_domain(training_description(folder / "tiny.pt"), shipped)
    (folder / "molecule.xyz").write_text("3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n")
    command = [sys.executable, ROOT / "scripts/predict.py", "tiny.pt", "molecule.xyz"]
    refused = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert refused.returncode == 1 and "describes other data than those" in refused.stderr
    give(folder, shipped.training_data.sha256)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert "Structures are compared with all 160 training structures." in done.stdout.splitlines()
