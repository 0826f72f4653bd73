"""The packaged calculator and `predict` warn of structures outside of what a student was taught, and count them."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError

from assay.checkpoint import normalize
from assay.export import onnx_graphs
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.models import build_model
from assay.predictors.interface import load_predictor
from assay.runtime import scope as packaged
from assay.runtime.calculator import StudentCalculator
from assay.structures.structure import Structure, told_charge_and_spin
from assay.workflow.errors import AssayError
from shared.checkpoint_samples import SHIPPED

ROOT = Path(__file__).parents[1]
INPUTS = ROOT / "../shared/reference/inputs"
TINY = ROOT / "data/checkpoints/tiny.pt"


@pytest.fixture(scope="module")
def calculator(tmp_path_factory):
    """The packaged calculator of a toy that says what ``tiny`` says of itself."""
    torch.manual_seed(0)
    model = build_model("painn", {"hidden": 8, "n_blocks": 1, "n_rbf": 4, "head": [4], "repulsion": True}).eval()
    path = tmp_path_factory.mktemp("calculator") / "model.edges.onnx"
    metadata = export_metadata(model, normalize(TINY).card("tiny"))
    onnx_graphs.save(onnx_graphs.assemble(lower(model), model.cutoff, metadata, search=False), path)
    return lambda: StudentCalculator(path)


def test_packaged_calculator_warns_once_counts_and_flags(calculator):
    student = calculator()
    assert str(student.scope) == SHIPPED
    ion = molecule("CH3COOH")
    ion.calc = student
    ion.get_potential_energy()
    assert not student.outside and not student.n_outside
    for charge in (-1, 1):
        ion.info.update(charge=charge, spin=1)
        if charge < 0:
            with pytest.warns(UserWarning, match="its charge of -1 is ignored.*neutral, closed-shell"):
                ion.get_potential_energy()
        else:
            ion.get_potential_energy()
    assert student.n_outside == 2 and student.outside == [
        "its charge of +1 is ignored, because the student knows no charges"
    ]


def test_packaged_calculator_warns_where_the_stress_that_is_asked_for_is_refused(calculator):
    slab = molecule("CH3CH2OH", cell=[12.0] * 3, pbc=[True, True, False])
    slab.info["charge"] = -1
    slab.calc = calculator()
    with pytest.warns(UserWarning, match="its charge of -1 is ignored"), pytest.raises(PropertyNotImplementedError):
        slab.get_stress()
    assert len(slab.calc.outside) == 2 and slab.calc.n_outside == 1


def test_packaged_calculator_looks_at_distances_again_where_the_elements_are_others(calculator):
    student, said = calculator(), {}
    for name in ("H2", "Br2", "H2"):
        atoms = Atoms(name, [[0.0, 0.0, 0.0], [0.0, 0.0, 0.74]], calculator=student)
        with warnings.catch_warnings(record=True):
            atoms.get_potential_energy()
        said[name] = list(student.outside)
    assert said["H2"] == [] and "0.74 angstrom apart" in said["Br2"][0]


@pytest.mark.parametrize("charge", [-1e-9, np.float32(1e-7), -5.6e-17, "1e-6"])
def test_a_charge_that_is_zero_but_for_rounding_is_none(calculator, charge):
    water = molecule("H2O")
    water.info.update(charge=charge, multiplicity=1.0000002)
    water.calc = calculator()
    water.get_potential_energy()
    assert not water.calc.outside and packaged.charge_and_spin(water) == (0, 1)


@pytest.mark.parametrize("charge", [0.4, "0.4", -2e-3, np.float32(0.4)])
def test_packaged_calculator_warns_of_a_charge_that_is_not_whole(calculator, charge):
    water = molecule("H2O")
    water.calc = calculator()
    water.get_potential_energy()
    water.info["charge"] = charge
    with pytest.warns(UserWarning, match=r"its charge of [+-]0\.\d+ is ignored"):
        water.get_potential_energy()
    assert [*packaged.charge_and_spin(water)] == [float(charge), None]


@pytest.mark.parametrize("name", ["charge", "net_charge", "Total_Charge"])
@pytest.mark.parametrize("charge", [np.array([1]), [1], np.array(1.0), "+1"])
def test_packaged_calculator_reads_a_charge_in_an_array_of_its_own(calculator, name, charge):
    water = molecule("H2O")
    water.calc, water.info[name] = calculator(), charge
    with pytest.warns(UserWarning, match=r"its charge of \+1 is ignored"):
        water.get_potential_energy()
    assert any("charge of +1" in sentence for sentence in water.calc.outside)


@pytest.mark.parametrize(("charge", "read"), [(9e-4, 0), (-1.0009, -1), (2e-3, None)])
def test_a_charge_is_rounded_alike_in_files_and_packages(charge, read):
    water = molecule("H2O")
    water.info |= {"charge": charge}
    assert packaged.charge_and_spin(water)[0] == (charge if read is None else read)
    if read is None:
        with pytest.raises(AssayError, match="a total charge is a whole number"):
            told_charge_and_spin(water.info, {}, "water")
    else:
        assert told_charge_and_spin(water.info, {}, "water")[0] == read


def test_a_total_charge_goes_before_a_partial_one_in_files_and_packages():
    water = molecule("H2O")
    water.info |= {"charge": -0.4, "total_charge": 0}
    assert packaged.charge_and_spin(water)[0] == told_charge_and_spin(water.info, {}, "water")[0] == 0


def test_files_and_packages_know_a_charge_and_a_spin_by_the_same_names():
    for place, names in enumerate((packaged.CHARGES, (*packaged.MULTIPLICITIES, *packaged.SPINS))):
        for name in names:
            water = molecule("H2O")
            water.info[name] = 3
            assert packaged.charge_and_spin(water)[place] == told_charge_and_spin(water.info, {}, "water")[place] == 3
            water.info[name] = True
            assert packaged.charge_and_spin(water) == told_charge_and_spin(water.info, {}, "water") == (None, None)


@pytest.mark.parametrize(("name", "told"), [("charge", "1+"), ("charge", [1, 0, 0]), ("mult", "doublet"), ("spin", {})])
def test_packaged_calculator_warns_of_what_it_cannot_read_until_another_structure_comes(calculator, name, told):
    water = molecule("H2O")
    water.calc, water.info[name] = calculator(), told
    with pytest.warns(UserWarning, match=r"its (charge|spin) .+ is ignored, because it cannot be read as a number"):
        water.get_potential_energy()
    assert len(water.calc.outside) == 1 and packaged.charge_and_spin(water) == (None, None)
    with pytest.raises(ValueError, match="not trained on"):
        water.calc.get_potential_energy(molecule("LiH"))
    assert water.calc.outside == []


@pytest.mark.parametrize(("name", "told"), [("charge", "-"), ("spin", "triplet")])
def test_what_cannot_be_read_is_warned_of_after_an_energy_and_forgotten_when_it_goes(calculator, name, told):
    water = molecule("H2O")
    water.calc = calculator()
    water.get_potential_energy()
    water.info[name] = told
    with pytest.warns(UserWarning, match=f"its {name} '{told}' is ignored, because it cannot be read as a number"):
        water.get_forces()
    assert len(water.calc.outside) == 1
    del water.info[name]
    water.get_forces()
    assert water.calc.outside == []


def test_partial_charges_add_up_to_a_whole_number(calculator):
    water = molecule("H2O")
    water.set_initial_charges([-0.834, 0.417, 0.41701])
    water.calc = calculator()
    water.get_potential_energy()
    assert packaged.charge_and_spin(water) == (0, None) and not water.calc.outside


def test_packaged_calculator_warns_of_liquids(calculator):
    water = molecule("H2O", cell=[3.1] * 3, pbc=True).repeat(4)
    for cutoff_A, tells_density in ((5.0, True), (6.0, False)):  # beyond 5 angstrom other neighbors are counted
        water.calc = calculator()
        water.calc.student.cutoff = cutoff_A
        with pytest.warns(UserWarning) as warned:
            water.get_potential_energy()
        said = " ".join(str(one.message) for one in warned)
        assert all(word in said for word in ("repeats along 3 axes", "192 atoms"))
        assert ("neighbors" in said) == tells_density


def test_packaged_calculator_refuses_untaught_elements(calculator):
    salt = molecule("LiH")
    salt.calc = calculator()
    with pytest.raises(ValueError, match=r"not trained on atomic numbers \[3\], only on \[1, 6, 7"):
        salt.get_potential_energy()


def test_predict_flags_and_counts_charges(tmp_path):
    frames = [molecule("CH3COOH") for _ in range(3)]
    frames[0].info.update(charge=-1, spin=1)
    frames[1].set_initial_charges([1] + [0] * 7)
    ase.io.write(tmp_path / "ions.xyz", frames, format="extxyz")
    command = [sys.executable, "scripts/predict.py", str(TINY), str(tmp_path / "ions.xyz")]
    command += ["--json", str(tmp_path / "out.json"), "--output", str(tmp_path / "out.xyz")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"The scope of the model: {SHIPPED}; 2 of 3 structures lie outside of it." in done.stdout
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row.get("flagged", False) for row in rows] == [True, True, False]
    assert "No structure is flagged as unlike the training data, because" in done.stdout, "as flagged some are"
    assert "charge of -1" in rows[0]["outside_scope"]
    assert "charge of +1" in ase.io.read(tmp_path / "out.xyz", 1).info["outside_scope"]


@pytest.mark.skipif(not INPUTS.is_dir(), reason="there are no files of others beside the repository")
def test_files_of_others_are_warned_of():
    scope = load_predictor(TINY).scope
    kinds = [set(scope.outside(Structure.from_ase(a))) for a in ase.io.read(INPUTS / "11-charge/acetate.xyz", ":")]
    assert kinds == [{"charge"}, {"spin"}, {"charge", "spin"}]
    [lithium] = ase.io.read(INPUTS / "01-untrained-element/li.xyz", ":")
    assert "elements" in scope.outside(Structure.from_ase(lithium))
