"""Labels that MACE fills with zeros where a structure has none, and marks by a weight of zero."""

import h5py
import numpy as np
import pytest

from assay.data import read_dataset
from assay.workflow.errors import AssayError
from shared.label_files import CELL, FORCES, FRAME, POSITIONS, crystal_line

STRESS = np.diag([1.0, 2.0, 3.0])
MISSING = {"energy": 0.0, "forces": np.zeros((2, 3)), "stress": np.zeros(6), "virials": np.zeros((3, 3))}


def write_mace(path, *structures, nested=True):
    """As MACE writes them: what a structure lacks is zero, and so is its weight."""
    with h5py.File(path, "w") as file:
        for index, labels in enumerate(structures):
            group = file.create_group(f"config_batch_0/config_{index}")
            group["atomic_numbers"], group["positions"], group["cell"] = [6, 6], POSITIONS, CELL
            group["pbc"], group["weight"] = np.ones(3, dtype=bool), 1.0
            for name, missing in MISSING.items():
                group[f"properties/{name}" if nested else name] = labels.get(name, missing)
                group[f"property_weights/{name}" if nested else f"{name}_weight"] = float(name in labels)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("told", [{}, {"stress": STRESS}, {"virials": -np.linalg.det(CELL) * STRESS}])
def test_a_stress_that_mace_fills_with_zeros_is_none(tmp_path, told, nested):
    labels = {"energy": -2.0, "forces": FORCES}
    write_mace(tmp_path / "set.h5", labels, labels | told, nested=nested)
    read = read_dataset(tmp_path / "set.h5")
    np.testing.assert_allclose(read.forces, np.concatenate([FORCES, FORCES]))
    if told:
        assert np.isnan(read.stress[0]).all()
        np.testing.assert_allclose(read.stress[1], STRESS)
    else:
        assert read.stress is None


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("missing", ["energy", "forces"])
def test_structures_whose_energy_or_forces_mace_fills_are_left_out(tmp_path, missing, nested, capsys):
    whole, part = {"energy": -2.0, "forces": FORCES}, {"energy": -3.0, "forces": FORCES}
    part.pop(missing)
    write_mace(tmp_path / "set.h5", part, whole, part, nested=nested)
    read = read_dataset(tmp_path / "set.h5")
    assert read.energy.tolist() == [-2.0] and read.numbers.tolist() == [1]
    assert "2 structures of " in capsys.readouterr().out
    write_mace(tmp_path / "set.h5", part, part, nested=nested)
    with pytest.raises(AssayError, match=r"no structure of .*set\.h5 has an energy and forces whose weights are not z"):
        read_dataset(tmp_path / "set.h5")


def test_weights_of_extended_xyz_hold_for_labels_by_any_name(tmp_path):
    (tmp_path / "one.xyz").write_text(
        crystal_line('REF_stress="1 0 0 0 2 0 0 0 3" dft="1 0 0 0 1 0 0 0 1" config_stress_weight=0.0')
        + crystal_line('REF_stress="1 0 0 0 2 0 0 0 3" dft="1 0 0 0 1 0 0 0 1" config_stress_weight=0.5')
        + crystal_line("config_forces_weight=0 config_weight=1")
        + "1\nenergy=-7 config_forces_weight=0.0 Properties=species:S:1:pos:R:3:forces:R:3\nH 0 0 0 0 0 0\n"
    )
    for key in ("REF_stress", "dft"):
        read = read_dataset({"path": tmp_path / "one.xyz", "stress_key": key})
        assert read.numbers.tolist() == [0, 1, 3] and read.forces[-1].tolist() == [0.0, 0.0, 0.0]
        assert np.isnan(read.stress[0]).all() and read.stress[1, 0, 0] == 1.0


def test_units_beside_a_label_without_weight_still_hold(tmp_path):
    line = FRAME.format(comment="energy=-2 stress_unit=GPa energy_unit=hartree {}", columns="forces:R:3", more="")
    (tmp_path / "one.xyz").write_text(line.format("config_stress_weight=0") + line.format(""))
    assert read_dataset(tmp_path / "one.xyz").energy == pytest.approx([-2 * 27.2113862] * 2)
