"""Stresses and virials in the forms in which files write them."""

import ase.db
import ase.io
import numpy as np
import pytest

from assay.data import read_dataset
from assay.workflow.errors import AssayError
from shared.label_files import CELL, FRAME, POSITIONS, UNITS, crystal_line, crystal_with, write_groups, write_npz


@pytest.mark.parametrize("stress", ["[[1.0,2.0,3.0],[2.0,4.0,5.0],[3.0,5.0,6.0]]", "1.D0 2d0 3 2 4 5 3 5 6"])
def test_a_stress_may_be_a_nested_list_or_numbers_of_fortran(tmp_path, stress):
    (tmp_path / "one.xyz").write_text(crystal_line(f'stress="{stress}"'))
    assert read_dataset(tmp_path / "one.xyz").stress[0].tolist() == [[1, 2, 3], [2, 4, 5], [3, 5, 6]]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('stress="1 2 3"', r"a stress `stress` of shape \(3,\), which should be six or nine numbers"),
        ('virial="[[1, 0], [0]]"', r"a virial `virial` of shape \(3,\)"),
        ("stress=isotropic", "a stress `stress` of 'isotropic'"),
    ],
)
def test_a_stress_that_cannot_be_one_is_refused_where_there_is_a_cell(tmp_path, more, words):
    path = tmp_path / "one.xyz"
    for frames in (
        crystal_line(more),
        FRAME.format(comment="energy=-1", columns="forces:R:3", more="") + crystal_line(more),
    ):
        path.write_text(frames)
        with pytest.raises(AssayError, match=f"structure . of .* has {words}"):
            read_dataset(path)
    path.write_text(crystal_line(f'{more} dft="1 0 0 0 1 0 0 0 1"'))
    assert read_dataset({"path": path, "stress_key": "dft"}).stress[0, 0, 0] == 1.0


@pytest.mark.parametrize("more", ["stress=None", "stress=nan", "stress=F", 'dft_stress="1 2 3"', "stress_unit=GPa"])
def test_a_stress_that_is_none_or_of_others_is_no_error(tmp_path, more, capsys):
    (tmp_path / "one.xyz").write_text(crystal_line(f'{more} energy_history="1 2 3"'))
    assert read_dataset(tmp_path / "one.xyz").stress is None
    log = capsys.readouterr().out
    assert "`energy_history`" in log and ("`dft_stress`" in log) == ("dft" in more)


def test_a_stress_of_three_atoms_is_read_from_arrays(tmp_path):
    """Where it has the shape of the forces."""
    given = {"numbers": [6, 6, 6], "positions": np.array([np.vstack([POSITIONS, [0.0, 0.0, 5.0]])] * 3)}
    given |= {"forces": np.zeros((3, 3, 3)), "stress": np.stack([np.diag([1.0, 2.0, 3.0])] * 3), "cell": CELL}
    for write, name in ((write_npz, "set.npz"), (write_groups, "set.h5")):
        write(tmp_path / name, **given)
        stress = read_dataset({"path": tmp_path / name, "units": UNITS}).stress
        np.testing.assert_allclose(stress, [np.diag([1.0, 2.0, 3.0])] * 3)


@pytest.mark.parametrize("name", ["stress", "virial"])
@pytest.mark.parametrize(("write", "file"), [(write_npz, "set.npz"), (write_groups, "set.h5")])
def test_a_stress_stays_whole_where_a_structure_is_smaller_than_three_atoms(tmp_path, write, file, name):
    numbers, positions = np.array([[6, 6, 6], [6, 6, 0], [6, 0, 0]]), np.vstack([POSITIONS, [0.0, 0.0, 5.0]])
    given = np.stack([np.diag([1.0, 2.0, 3.0])] * 3)
    columns = {"numbers": numbers, "positions": np.stack([positions] * 3), "forces": np.zeros((3, 3, 3)), name: given}
    write(tmp_path / file, **columns, cell=CELL)
    stress = read_dataset({"path": tmp_path / file, "units": UNITS}).stress
    np.testing.assert_allclose(stress, given if name == "stress" else -given / np.linalg.det(CELL))


@pytest.mark.parametrize("suffix", ["db", "traj"])
@pytest.mark.parametrize(("more", "is_refused"), [(0.0, False), (0.1, True)])
def test_a_stress_may_stand_twice_as_nine_and_as_six_numbers(tmp_path, suffix, more, is_refused):
    """As ASE before 3.23 left it of extended XYZ: nine in ``info``, and six in the calculator."""
    atoms, path = crystal_with(-31.7), tmp_path / f"old.{suffix}"
    atoms.set_cell(CELL)
    atoms.pbc = True
    atoms.calc.results["stress"] = np.array([1.0, 4.0, 6.0, 5.0, 3.0, 2.0 + more])
    atoms.calc.atoms = atoms.copy()
    own = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]])
    if suffix == "db":
        with ase.db.connect(path) as database:
            database.write(atoms, data={"stress": own})
    else:
        atoms.info["stress"] = own
        ase.io.write(path, atoms)
    if is_refused:
        with pytest.raises(AssayError, match="two values of `stress`"):
            read_dataset(path)
    else:
        np.testing.assert_allclose(read_dataset(path).stress, [own])


TENSOR = '"1 0 0 0 1 0 0 0 1"'


@pytest.mark.parametrize(
    ("comment", "columns", "keys"),
    [
        ("energy=-10 free_energy=-10.1", "forces:R:3", {"energy_key": "free_energy"}),
        ("E_pbe=-10.1", "forces:R:3", {"energy_key": "E_pbe"}),
        ("energy=-10 corrected_energy=-10.1", "forces:R:3", {"energy_key": "corrected_energy"}),
        ("dft_energy=-10.1", "dft_forces:R:3", {"energy_key": "dft_energy"}),
        ("REF_energy=-10.1", "REF_forces:R:3", {}),
        ("energy=-10.1", "raw_forces:R:3", {"forces_key": "raw_forces"}),
    ],
)
def test_a_stress_is_that_of_the_energy_or_of_the_forces_beside_it(tmp_path, comment, columns, keys):
    """What stands beside it may have a key, and a name with which it shares no more."""
    path = tmp_path / "one.xyz"
    path.write_text(
        FRAME.format(comment=f'{comment} stress={TENSOR} Lattice="9 0 0 0 9 0 0 0 9"', columns=columns, more="")
    )
    read = read_dataset({"path": path, **keys})
    assert read.energy.tolist() == [-10.1] and read.stress[0].tolist() == np.eye(3).tolist()


@pytest.mark.parametrize(("method", "other"), [("", "dft_"), ("dft_", "")])
def test_a_stress_of_other_labels_is_not_read(tmp_path, method, other):
    comment = f'energy=-10 dft_energy=-10 {other}stress={TENSOR} Lattice="9 0 0 0 9 0 0 0 9"'
    text = FRAME.format(comment=comment, columns="forces:R:3:dft_forces:R:3", more=" 0.1 0 0")
    (tmp_path / "one.xyz").write_text(text)
    keys = {"energy_key": f"{method}energy", "forces_key": f"{method}forces"}
    assert read_dataset({"path": tmp_path / "one.xyz", **keys}).stress is None


def test_a_stress_by_another_name_in_a_later_structure_is_read(tmp_path, capsys):
    """As where files of several programs were put together."""
    lines = [crystal_line(f"{name}={TENSOR}") for name in ("virial", "virials", "Virial", "virials", "stresses")]
    (tmp_path / "set.xyz").write_text("".join(lines))
    stress = read_dataset(tmp_path / "set.xyz").stress
    volume = np.linalg.det(CELL)
    np.testing.assert_allclose(stress, [*[-np.eye(3) / volume] * 4, np.eye(3)])
    assert capsys.readouterr().out.count("virial from `virials`") == 2


@pytest.mark.parametrize("rows", [[0, 1, 2], [1, 0, 2]])
def test_a_virial_is_minus_volume_times_stress_whatever_the_hand_of_the_cell(tmp_path, rows):
    lattice = " ".join(map(str, CELL[rows].ravel()))
    comment = f'energy=-2 virial={TENSOR} Lattice="{lattice}"'
    (tmp_path / "one.xyz").write_text(FRAME.format(comment=comment, columns="forces:R:3", more=""))
    np.testing.assert_allclose(read_dataset(tmp_path / "one.xyz").stress, [-np.eye(3) / 140.0])


def test_a_stress_of_nan_in_a_later_structure_is_none(tmp_path):
    (tmp_path / "set.xyz").write_text("".join(crystal_line(f"stress={own}") for own in (TENSOR, "nan", "None")))
    stress = read_dataset(tmp_path / "set.xyz").stress
    assert stress[0].tolist() == np.eye(3).tolist() and np.isnan(stress[1:]).all()


@pytest.mark.parametrize("label", ["stress", "virial"])
def test_the_log_counts_stresses_of_what_does_not_repeat_along_all_axes(tmp_path, label, capsys):
    """Such as a slab without a third vector, which has no volume."""
    slab = f'energy=-1 Lattice="9 0 0 0 9 0 0 0 {{}}" pbc="T T F" {label}={{}}'
    comments = [slab.format(0, TENSOR), slab.format(9, TENSOR), slab.format(9, TENSOR.replace("1", "0"))]
    (tmp_path / "set.xyz").write_text(
        "".join(FRAME.format(comment=own, columns="forces:R:3", more="") for own in comments) + crystal_line("")
    )
    assert read_dataset(tmp_path / "set.xyz").stress is None
    assert "the stress of 2 structures of " in capsys.readouterr().out
