"""The shipped crystals, teachers in processes of their own, and students outside their scope."""

import json
import sys
from pathlib import Path

import ase.build
import numpy as np
import pytest
from ase.calculators.emt import EMT

from assay.accuracy.evaluation import OutsideScope
from assay.benchmark.run import teacher_calls
from assay.data import read_dataset
from assay.predictors.calculators import CalculatorModel, CalculatorPredictor, CallInWorker
from assay.quantize.samples import sample_known
from assay.sampling.crystals import crystals, labelled, ship
from assay.sampling.teacher import Labels, Teacher
from assay.structures.structure import Structure
from assay.workflow.config import load_config
from assay.workflow.errors import AssayError
from assay.workflow.files import sha256_file
from assay.workflow.teachers import labelled_by
from shared.predict_labelled import predict_labelled

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "data/crystals/crystals.h5"
FOUNDATION = ROOT / "config/examples/foundation.yaml"
EMT_METALS = {"Al", "Cu", "Ag", "Au"}


def teacher():
    return Teacher("EMT", "ase.calculators.emt.EMT", {}, sys.executable)


def metals():
    return (structure for structure in crystals(3, 0) if structure.molecule in EMT_METALS)


def test_shipped_crystals_are_those_of_their_record_and_recipe():
    config = load_config(ROOT / "config", FOUNDATION)
    dataset, made = read_dataset(SHIPPED), list(crystals(**config["dataset"]["recipe"]["crystals"]))
    record = json.loads(SHIPPED.with_name("dataset.json").read_text())
    assert record["parts"]["crystals"]["file_sha256"] == sha256_file(SHIPPED)
    assert record["parts"]["crystals"]["content_sha256"] == dataset.content_sha256()
    assert labelled_by(SHIPPED) == config["teacher"]["name"] == "SevenNet-0"
    assert SHIPPED.stat().st_size < 3e6
    assert len(made) == len(dataset)
    for own, structure in zip(dataset, made, strict=True):
        np.testing.assert_allclose(own.positions, structure.positions, atol=1e-9)
        np.testing.assert_allclose(own.cell, structure.cell, atol=1e-9)
        assert own.pbc.all()
        assert np.isfinite(own.stress_eV_per_A3).all()


def test_example_replaces_the_teacher_and_all_its_arguments():
    config = load_config(ROOT / "config", FOUNDATION)
    assert config["teacher"]["arguments"] == {"model": "7net-0", "device": "cpu"}
    for variant in (config["variants"]["chgnet"], config["teacher"]):
        assert (ROOT / variant["environment"]).is_file()


def test_teacher_in_a_process_labels_like_itself(tmp_path):
    dataset = labelled(metals(), teacher().process())
    ship(dataset, {"name": "EMT"}, tmp_path / "dataset.json")
    assert labelled_by(tmp_path / "crystals.h5") == "EMT"
    for structure in read_dataset(tmp_path / "crystals.h5"):
        atoms = Structure(structure.name, structure.atomic_numbers, structure.positions, structure.cell, structure.pbc)
        atoms = atoms.to_ase()
        atoms.calc = EMT()
        assert structure.energy_eV == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(structure.stress_eV_per_A3, atoms.get_stress(voigt=False), atol=1e-9)
        energy, forces = Labels(teacher())(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
        assert energy == pytest.approx(structure.energy_eV, abs=1e-9)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-9)


def test_teacher_in_a_process_is_timed_there():
    calls = teacher_calls(teacher(), list(metals())[:2])
    assert all(isinstance(call, CallInWorker) for call in calls.values())
    assert all(call.seconds() > 0.0 and call.transfer_s[0] > 0.0 for call in calls.values())


class Molecules(CalculatorPredictor):
    """EMT that says it knows hydrogen, carbon, nitrogen and oxygen only."""

    def __init__(self):
        super().__init__(CalculatorModel("ase.calculators.emt.EMT", {}), "molecules")
        self.elements = frozenset({1, 6, 7, 8})


def test_split_of_unknown_elements_is_outside_the_scope_and_others_are_judged_in_part():
    copper = Structure.from_ase(ase.build.bulk("Cu"), "Cu")
    water = Structure.from_ase(ase.build.molecule("H2O"), "H2O")
    both = labelled(iter([copper, water]), CalculatorPredictor(CalculatorModel("ase.calculators.emt.EMT", {})))
    assert len(predict_labelled(Molecules(), both).dataset) == 1
    with pytest.raises(OutsideScope, match=r"every structure of metals holds elements that it does not know: Cu"):
        predict_labelled(Molecules(), both.subset([0]), "metals")


def test_eight_bits_are_judged_on_the_first_file_that_has_structures_for_them():
    molecules = str(ROOT / "data/dataset/validation.h5")
    chosen = sample_known([str(SHIPPED), molecules], 5, 0, ["H", "C", "N", "O"])
    assert len(chosen) == 5
    assert all({*structure.atomic_numbers} <= {1, 6, 7, 8} and not structure.pbc.any() for structure in chosen)
    with pytest.raises(AssayError, match=r"name one as dataset\.validation"):
        sample_known([str(SHIPPED)], 5, 0, ["H", "C"])
