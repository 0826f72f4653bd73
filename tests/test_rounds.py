"""Rounds of active learning and supercells in the config, and the way from a crystal and a teacher to a student."""

import json

import pytest
import yaml

from assay.data.store import StoredDataset
from assay.workflow.config import complete_config
from assay.workflow.errors import AssayError
from shared.workflow_copy import ROOT, lay_out, snakemake

COPPER = {"formula": "Cu", "prototype": "fcc", "a_A": 3.61, "repeat": [2, 1, 1], "vacancy": "Cu"}
MADE = {"crystals": [COPPER], "count": 40, "rattle_A": [0.02, 0.2], "scale": [0.95, 1.05], "shear": 0.02, "seed": 0}
EMT = {"name": "EMT", "calculator": "ase.calculators.emt.EMT"}
STUDENTS = {"small": {"parameters": 4_000, "steps": 40}}
ROUNDS = {
    "count": 2, "committee": {"parameters": 4_000, "minutes": 1e-3}, "trajectories": 3, "temperatures_K": [300, 600],
    "duration_ps": 0.1, "step_fs": 2.0, "frame_every_fs": 20, "label": 6, "agree_eV_per_A": 1e-4,
}  # fmt: skip


def completed(**given):
    return complete_config({"students": STUDENTS, **given}, ROOT / "config")


def test_supercells_take_the_place_of_a_file_of_structures():
    config = completed(data={"supercells": MADE, "teacher": EMT}, rounds={"count": 1})
    assert config["data"]["structures"].endswith("supercells.xyz")
    assert config["teacher"]["name"] == "EMT" and "structures" not in config["physics"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"train": "my.xyz"}, "`rounds` find structures that have no labels, and no calculator is to label them"),
        ({"supercells": MADE}, "no calculator is to label them"),
        ({"supercells": MADE, "structures": "my.xyz", "teacher": EMT}, "one of the three"),
        ({"supercells": MADE | {"crystals": [{"formula": "Cu", "repeat": [1, 1, 1]}]}, "teacher": EMT}, "`prototype`"),
        ({"supercells": MADE | {"scale": [1.1, 0.9]}, "teacher": EMT}, "the smaller number first"),
    ],
)
def test_what_cannot_be_made_or_labelled_is_one_sentence(data, sentence):
    with pytest.raises(AssayError, match=sentence):
        completed(data=data, rounds={"count": 1})


@pytest.mark.parametrize(
    ("rounds", "sentence"),
    [
        ({"duration_ps": 0.05}, "no trajectory has a frame"),
        ({"duration_ps": 0.05, "step_fs": 200, "frame_every_fs": 40}, "no trajectory has a frame"),
        ({"trajectories": 2}, "as many `trajectories` of all rounds as `temperatures_K`, or more"),
    ],
)
def test_rounds_that_can_find_nothing_are_refused(rounds, sentence):
    data = {"supercells": MADE, "teacher": EMT}
    with pytest.raises(AssayError, match=sentence):
        completed(data=data, rounds={"count": 1, **rounds})
    assert completed(data=data, rounds={"count": 2, "trajectories": 2})["rounds"]["trajectories"] == 2


@pytest.mark.slow
def test_a_crystal_and_a_teacher_become_a_student_by_rounds(tmp_path):
    lay_out(tmp_path)
    given = {"data": {"supercells": MADE, "teacher": EMT}, "students": STUDENTS, "rounds": ROUNDS, "device": "cpu"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(given))
    done = snakemake(tmp_path, "-j", "2", "distill", "--configfile", "mine.yaml")
    assert done.returncode == 0, done.stdout
    build = tmp_path / "data/build/own"
    rounds = [json.loads((build / f"rounds/{n}/round.json").read_text()) for n in (1, 2)]
    assert [found["n_frames_chosen"] for found in rounds] == [6, 6]
    names = [str(name) for part in ("train", "validation") for block in StoredDataset(build / f"{part}.h5").blocks()
             for name in block.names]  # fmt: skip
    assert len(names) == 40 + 6 + 6 and sum("-student_md-" in name for name in names) == 12
    second = json.loads((build / "rounds/2/member1.training.json").read_text())
    assert second["from"]["path"].endswith("rounds/1/member1.pt")
    weights = [(build / f"rounds/1/member{k}.pt").read_bytes() for k in (0, 1)]
    assert weights[0] != weights[1]
    record = json.loads((tmp_path / "students/small.training.json").read_text())
    assert record["teacher"]["name"] == "EMT" and (tmp_path / "students/small.pt").is_file()
