"""Training data of DeePMD-kit, written here as the manual of DeePMD-kit and dpdata lay them out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from assay.data import read_dataset
from assay.data.formats import count_structures
from assay.workflow.errors import AssayError

NAMES = ("O", "H", "Na")
TYPES = np.array([1, 0, 1, 2])
ELEMENTS = [1, 8, 1, 11]
COUNT = 5
GATHER = Path(__file__).parents[1] / "scripts/gather.py"


@pytest.fixture
def arrays():
    """Positions on a lattice, cells and labels of five structures of one composition."""
    draw = np.random.default_rng(3)
    corners = np.array([[0, 0, 0], [1.5, 0, 0], [0, 1.6, 0], [0, 0, 2.4]])
    return {
        "coord": (corners + 0.05 * draw.normal(size=(COUNT, 4, 3))).reshape(COUNT, 12),
        "box": (8.0 * np.eye(3) + 0.1 * draw.normal(size=(COUNT, 3, 3))).reshape(COUNT, 9),
        "energy": draw.normal(size=COUNT),
        "force": draw.normal(size=(COUNT, 12)),
        "virial": (np.eye(3) + np.ones((COUNT, 3, 3))).reshape(COUNT, 9),
    }


def write_npy(folder, arrays, names=NAMES, types=TYPES, set_size=2, is_open=False):
    folder.mkdir(parents=True)
    np.savetxt(folder / "type.raw", types, fmt="%d")
    (folder / "type_map.raw").write_text("\n".join(names) + "\n")
    if is_open:
        (folder / "nopbc").touch()
    for number, start in enumerate(range(0, len(arrays["coord"]), set_size)):
        part = folder / f"set.{number:03d}"
        part.mkdir()
        for name, values in arrays.items():
            np.save(part / f"{name}.npy", values[start : start + set_size])
    return folder


def write_raw(folder, arrays):
    folder.mkdir()
    np.savetxt(folder / "type.raw", TYPES, fmt="%d")
    (folder / "type_map.raw").write_text(" ".join(NAMES))
    for name, values in arrays.items():
        np.savetxt(folder / f"{name}.raw", values)
    return folder


def write_hdf5(path, arrays):
    """One system of three structures, and one of the other two, of which the first has two sets."""
    with h5py.File(path, "w") as file:
        for name, rows in (("a", (slice(0, 2), slice(2, 3))), ("b", (slice(3, 5),))):
            group = file.create_group(f"systems/{name}")
            group["type.raw"], group["type_map.raw"] = TYPES, np.array(NAMES, dtype="S")
            for number, own in enumerate(rows):
                for key, values in arrays.items():
                    group[f"set.{number:03d}/{key}.npy"] = values[own]
    return path


def check_same(structures, arrays, rows, tolerance=0.0):
    for structure, row in zip(structures, rows, strict=True):
        assert structure.atomic_numbers.tolist() == ELEMENTS
        cell, virial = arrays["box"][row].reshape(3, 3), arrays["virial"][row].reshape(3, 3)
        for found, given in (
            (structure.positions, arrays["coord"][row].reshape(-1, 3)),
            (structure.forces_eV_per_A, arrays["force"][row].reshape(-1, 3)),
            (structure.cell, cell),
            (structure.stress_eV_per_A3, -virial / abs(np.linalg.det(cell))),
        ):
            np.testing.assert_allclose(found, given, rtol=1e-14, atol=tolerance)
        assert structure.energy_eV == arrays["energy"][row]
        assert structure.pbc.all()


def test_arrays_text_and_groups_hold_the_same_structures(tmp_path, arrays):
    npy, text = write_npy(tmp_path / "npy", arrays), write_raw(tmp_path / "raw", arrays)
    for source in (npy, text, write_hdf5(tmp_path / "all.hdf5", arrays)):
        assert count_structures(source) == COUNT
        check_same(read_dataset(source), arrays, range(COUNT))
    drawn = read_dataset(npy, at_most=3, seed=1)
    check_same(drawn, arrays, [int(name[-1]) for name in drawn.names])
    assert {s.molecule for s in read_dataset(tmp_path / "all.hdf5")} == {"systems/a", "systems/b"}


def test_a_set_that_is_one_structure_of_one_atom_is_read(tmp_path, arrays):
    atom = {name: values[:1, :3] if name in ("coord", "force") else values[:1] for name, values in arrays.items()}
    folder = write_npy(tmp_path / "one", atom, types=[2])
    [structure] = read_dataset(folder)
    assert structure.atomic_numbers.tolist() == [11] and structure.energy_eV == atom["energy"][0]


def test_structures_with_types_of_their_own_may_be_of_several_sizes(tmp_path, arrays):
    own = np.tile(TYPES, (COUNT, 1))
    own[3] = [2, 2, 0, -1]
    folder = write_npy(tmp_path / "mixed", arrays | {"real_atom_types": own}, types=np.zeros(4, int))
    structures = list(read_dataset(folder))
    assert structures[3].atomic_numbers.tolist() == [11, 11, 8]
    np.testing.assert_array_equal(structures[3].positions, arrays["coord"][3].reshape(4, 3)[:3])
    np.testing.assert_array_equal(structures[3].forces_eV_per_A, arrays["force"][3].reshape(4, 3)[:3])
    check_same(structures[:3], arrays, range(3))
    assert {structure.molecule for structure in structures} == {""}


def test_an_open_system_has_no_cell_whatever_its_box(tmp_path, arrays):
    write_npy(tmp_path / "with", arrays, is_open=True)
    write_npy(tmp_path / "without", {k: v for k, v in arrays.items() if k not in ("box", "virial")}, is_open=True)
    for name in ("with", "without"):
        for structure in read_dataset(tmp_path / name):
            assert structure.cell is None and not structure.pbc.any() and structure.stress_eV_per_A3 is None


def test_a_folder_of_systems_becomes_one_file(tmp_path, arrays):
    write_npy(tmp_path / "data/b/b0", arrays)
    write_npy(tmp_path / "data/a", {k: v for k, v in arrays.items() if k not in ("box", "virial")}, is_open=True)
    command = [sys.executable, GATHER, "data", "--output", "all.h5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "holds 10 structures" in done.stdout, done.stderr
    found = list(read_dataset(tmp_path / "all.h5"))
    assert [s.name for s in found[4:6]] == ["data/a, structure 4", "data/b/b0, structure 0"]
    check_same(found[5:], arrays, range(COUNT), tolerance=1e-6)  # it keeps positions and forces in single precision


def test_links_lead_to_systems_and_a_loop_of_them_ends(tmp_path, arrays):
    write_npy(tmp_path / "elsewhere/b", arrays)
    write_npy(tmp_path / "data/a", arrays)
    (tmp_path / "data/b").symlink_to(tmp_path / "elsewhere/b")
    (tmp_path / "data/loop").symlink_to(tmp_path / "data")
    assert {s.molecule for s in read_dataset(tmp_path / "data")} == {str(tmp_path / f"data/{name}") for name in "ab"}


def test_what_no_atom_is_of_and_what_is_no_set_is_passed_over(tmp_path, arrays, capfd):
    folder = write_npy(tmp_path / "data/a", arrays, names=("O", "H", "Na1", "TYPE_3", "X"))
    (folder / "set.sh").write_text("echo")
    (folder / "set.900").mkdir()
    empty = write_npy(tmp_path / "data/b", {name: values[:0] for name, values in arrays.items()})
    check_same(read_dataset(tmp_path / "data"), arrays, range(COUNT))
    assert f"{empty} has no structures" in capfd.readouterr().out


def test_elements_of_types_that_have_no_names(tmp_path, arrays):
    folder = write_npy(tmp_path / "mine", arrays)
    with pytest.raises(AssayError, match="names its types by itself"):
        read_dataset({"path": str(folder), "elements": ["O", "H", "Na"]})
    (folder / "type_map.raw").unlink()
    check_same(read_dataset({"path": str(folder), "elements": ["O", "H", "Na"]}), arrays, range(COUNT))
    with pytest.raises(AssayError, match=r"`elements` beside .* has an atom 'Nx', which is no element"):
        read_dataset({"path": str(folder), "elements": ["O", "H", "Nx"]})


def test_groups_are_found_wherever_they_are(tmp_path, arrays):
    path = write_hdf5(tmp_path / "all.hdf5", arrays)
    with h5py.File(path, "a") as file:
        file["readme"] = "of dpdata"
        file.create_group("0-empty")
        file.copy("systems/b", "systems/a/below")
        file["loop"] = file["systems"]
    check_same(read_dataset(path), arrays, [0, 1, 2, 3, 4, 3, 4])


def test_a_lone_structure_may_have_arrays_without_rows(tmp_path, arrays):
    folder = write_npy(
        tmp_path / "one", {name: values[0] for name, values in arrays.items() if name != "energy"}, set_size=99
    )
    np.save(folder / "set.000/energy.npy", arrays["energy"][:1])
    check_same(read_dataset(folder), arrays, [0])


def without_box(folder):
    for path in folder.glob("set.*/box.npy"):
        path.unlink()


def one_row_less(folder):
    path = folder / "set.001/force.npy"
    np.save(path, np.load(path)[:1])


def cut_off(folder):
    path = folder / "set.001/energy.npy"
    path.write_bytes(path.read_bytes()[:-4])


def archive(folder):
    with (folder / "set.000/energy.npy").open("wb") as file:
        np.savez(file, energy=np.zeros(2))


def own_types_in_part(folder):
    for path in folder.glob("set.*"):
        np.save(path / "real_atom_types.npy", np.tile(TYPES + 0.5, (len(np.load(path / "energy.npy")), 1)))


def objects(folder):
    np.save(folder / "set.000/energy.npy", np.array([{}, {}], dtype=object))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "type_map.raw").unlink(), "has no type_map.raw, and types are no elements"),
        (lambda f: (f / "type_map.raw").write_text("O\nH"), "of type 2, where 2 types have a name, counted from 0"),
        (lambda f: (f / "type_map.raw").write_text("O H Type_2"), "an atom of type 'Type_2', which is no element"),
        (lambda f: (f / "type_map.raw").write_text("8 1 11"), "an atom of type '8', which is no element"),
        (lambda f: (f / "type_map.raw").write_text("O H NA"), "an atom of type 'NA', which is no element"),
        (lambda f: (f / "type.raw").write_text("1 0 1 -1"), "of type -1"),
        (lambda f: (f / "type.raw").write_text("1 0 1 0.5"), "one whole number for each atom"),
        (lambda f: (f / "type.raw").write_text("1 0 1"), "structures of 3 atoms need"),
        (lambda f: (f / "type.raw").write_text("a b"), "cannot be read as a file of DeePMD-kit"),
        (without_box, "has no box in set.000"),
        (one_row_less, "force of .* in set.001 has shape .1, 12., and not .2, 4, 3. as 2 structures"),
        (cut_off, "energy.npy cannot be read"),
        (objects, "energy.npy cannot be read"),
        (lambda f: np.save(f / "set.000/fparam.npy", np.ones((2, 1))), "has fparam, on which its labels depend"),
        (lambda f: np.save(f / "set.000/spin.npy", np.ones((2, 12))), "has spin, on which its labels depend"),
        (lambda f: (f / "type_map.raw").write_text("O H X"), "an atom of type 'X', which is no element"),
        (lambda f: (f / "type_map.raw").write_text("O H Sodium"), "an atom of type 'Sodium', which is no element"),
        (lambda f: (f / "set.001/coord.npy").unlink(), "has no coord in set.001"),
        (archive, "energy.npy cannot be read .*several arrays"),
        (lambda f: np.save(f / "set.000/energy.npy", np.array(1.0)), "energy of .* in set.000 is no array of numbers"),
        (lambda f: np.save(f / "set.000/energy.npy", np.array([True, False])), "is no array of numbers"),
        (lambda f: np.save(f / "set.000/box.npy", np.zeros((2, 9))), "a box without a volume: .* nopbc"),
        (lambda f: np.save(f / "set.000/charge_spin.npy", np.zeros((2, 2))), "has charge_spin, on which"),
        (lambda f: np.save(f / "set.000/real_atom_types.npy", np.tile(TYPES, (2, 1))), "no real_atom_types in set.001"),
        (own_types_in_part, "real_atom_types that are no whole numbers"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(tmp_path, arrays, spoil, said):
    folder = write_npy(tmp_path / "mine", arrays)
    spoil(folder)
    with pytest.raises(AssayError, match=said) as refusal:
        read_dataset(folder)
    assert str(folder) in str(refusal.value)
