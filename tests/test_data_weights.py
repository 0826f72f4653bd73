"""Labels of weight zero: those that MACE fills with zeros where a structure has none, and those with values."""

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
    with pytest.raises(AssayError, match=r"no structure of .*set\.h5 has an energy and forces: all have weight zero"):
        read_dataset(tmp_path / "set.h5")


def test_weights_of_extended_xyz_hold_for_labels_by_any_name(tmp_path):
    zeros = f'"{" ".join("0" * 9)}"'
    (tmp_path / "one.xyz").write_text(
        crystal_line(f"REF_stress={zeros} dft={zeros} config_stress_weight=0.0")
        + crystal_line('REF_stress="1 0 0 0 2 0 0 0 3" dft="1 0 0 0 1 0 0 0 1" config_stress_weight=0.5')
        + crystal_line("config_forces_weight=0 config_weight=1").replace("0.1 0 0", "0 0 0")
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


@pytest.mark.parametrize("filler", ["0", "nan", "None"])
def test_an_energy_of_weight_zero_without_a_value_is_missing(tmp_path, filler):
    comment, columns = "REF_energy={} mace_energy=-7 config_energy_weight={}", "REF_forces:R:3"
    lines = (FRAME.format(comment=comment.format(*told), columns=columns, more="") for told in ((-2, 1), (filler, 0)))
    (tmp_path / "one.xyz").write_text("".join(lines))
    for keys in ({}, {"energy_key": "REF_energy"}, {"forces_key": "REF_forces"}):
        assert read_dataset({"path": tmp_path / "one.xyz", **keys}).energy.tolist() == [-2.0]


@pytest.mark.parametrize("keys", [{}, {"energy_key": "energy", "forces_key": "forces", "stress_key": "REF_stress"}])
def test_values_of_weight_zero_are_read_and_counted(tmp_path, keys, capsys):
    stress = 'REF_stress="1 0 0 0 2 0 0 0 3"'
    (tmp_path / "one.xyz").write_text(
        crystal_line(f"{stress} config_energy_weight=0.0 config_forces_weight=0 config_stress_weight=0")
        + crystal_line(f"{stress} config_energy_weight=0.0")
        + crystal_line(f"{stress} config_stress_weight=0")
        + crystal_line(f"{stress} config_energy_weight=0.5")
    )
    read = read_dataset({"path": tmp_path / "one.xyz", **keys})
    assert read.energy.tolist() == [-2.0] * 4 and read.forces[0].tolist() == [0.1, 0.0, 0.0]
    assert read.stress[:, 2, 2].tolist() == [3.0] * 4
    log = capsys.readouterr().out
    for kind, how in (
        ("energy of 2", "has weight zero and a value, and is read"),
        ("forces of 1", "have weight zero and values, and are read"),
        ("stress of 2", "has weight zero and a value, and is read"),
    ):
        assert f"the {kind} structures of {tmp_path / 'one.xyz'} {how}\n" in log


def test_values_of_weight_zero_in_hdf5_of_mace_are_read(tmp_path, capsys):
    write_mace(tmp_path / "set.h5", {"energy": -2.0, "forces": FORCES, "stress": STRESS})
    with h5py.File(tmp_path / "set.h5", "a") as file:
        file["config_batch_0/config_0/property_weights/stress"][()] = 0.0
    np.testing.assert_allclose(read_dataset(tmp_path / "set.h5").stress, [STRESS])
    log = capsys.readouterr().out
    assert log.count("weight zero") == 1 and "the stress of 1 structures of" in log


def test_a_drawn_part_without_labels_is_no_empty_file(tmp_path):
    missing, whole = {"forces": FORCES}, {"energy": -2.0, "forces": FORCES}
    write_mace(tmp_path / "set.h5", whole, *[missing] * 7)
    with pytest.raises(
        AssayError, match=r"none of the 2 structures of .*set\.h5 that are drawn at random has an energy"
    ):
        read_dataset(tmp_path / "set.h5", at_most=2, seed=0)
    assert read_dataset(tmp_path / "set.h5").energy.tolist() == [-2.0]
    assert len(read_dataset(tmp_path / "set.h5", at_most=2, seed=0, part=(0, 2))) == 0


def test_a_file_of_gaps_is_no_empty_file(tmp_path):
    with h5py.File(tmp_path / "ani.h5", "w") as file:
        file["one/atomic_numbers"], file["one/coordinates"] = [6, 6], np.stack([POSITIONS] * 3)
        file["one/wb97x_dz.energy"], file["one/wb97x_dz.forces"] = np.full(3, np.nan), np.full((3, 2, 3), np.nan)
    with pytest.raises(AssayError, match=r"none of the 3 structures of .*ani\.h5 has an energy and forces: label them"):
        read_dataset(tmp_path / "ani.h5")
