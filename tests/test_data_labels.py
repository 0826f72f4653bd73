"""Files of others: their layouts, the names and units of their labels, and what is said where these are not clear."""

import gzip
import tracemalloc
from pathlib import Path

import ase
import ase.db
import ase.io
import h5py
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import Bohr, GPa, Hartree, kcal, kJ, mol

from assay.data import ase_files, hdf5, hdf5_groups, npz, read_dataset, read_examples
from assay.data.dataset import from_structures
from assay.data.hdf5 import write_hdf5
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from assay.workflow.units import _WORDS, factor

KCAL = kcal / mol
SHARED = Path("../shared/reference/inputs")
N = 5


def geometries(atoms: ase.Atoms | None = None, seed: int = 0) -> list[ase.Atoms]:
    """Five geometries with labels in eV and angstrom."""
    rng, frames = np.random.default_rng(seed), []
    for index in range(N):
        frame = (molecule("CH3CH2OH") if atoms is None else atoms).copy()
        frame.positions += rng.normal(0.0, 0.05, frame.positions.shape)
        labels = {"energy": -300.0 - index - rng.random(), "forces": rng.normal(size=frame.positions.shape)}
        frame.calc = SinglePointCalculator(frame, **labels)
        frames.append(frame)
    return frames


def columns(frames):
    """Numbers, positions, energies and forces of geometries of one molecule."""
    stacked = [np.array([f(atoms) for atoms in frames]) for f in (positions_of, energy_of, forces_of)]
    return frames[0].numbers, *stacked


def positions_of(atoms):
    return atoms.positions


def energy_of(atoms):
    return atoms.get_potential_energy()


def forces_of(atoms):
    return atoms.get_forces()


def write_rmd17(path, frames):
    z, r, e, f = columns(frames)
    of_md17 = {"old_energies": e / KCAL - 7.0, "old_forces": 1.1 * f / KCAL, "old_indices": np.arange(len(r))}
    np.savez_compressed(path, nuclear_charges=z, coords=r, energies=e / KCAL, forces=f / KCAL, **of_md17)


def write_md17(path, frames):
    z, r, e, f = columns(frames)
    np.savez(path, z=z, R=r, E=(e / KCAL)[:, None], F=f / KCAL, name="ethanol", md5="", theory=np.array("DFT", object))


def write_sgdml(path, frames):
    z, r, e, f = columns(frames)
    np.savez(path, z=z, R=r / Bohr, E=e / Hartree, F=f / (Hartree / Bohr), r_unit="bohr", e_unit="hartree")


def write_spice(path, frames):
    z, r, e, f = columns(frames)
    with h5py.File(path, "w") as file:
        for name, rows in (("b", slice(0, 2)), ("a", slice(2, None))):
            group = file.create_group(name)
            group["atomic_numbers"], group["conformations"] = z, r[rows] / Bohr
            group["dft_total_energy"], group["formation_energy"] = e[rows] / Hartree, e[rows]
            group["dft_total_gradient"] = -f[rows] / (Hartree / Bohr)
            group["conformations"].attrs["units"] = "bohr"
            group["smiles"] = ["CCO"]


def write_ani(path, frames):
    z, r, e, f = columns(frames)
    r, e, f = np.insert(r, 1, 0.7, axis=0), np.insert(e, 1, np.nan), np.insert(f, 1, np.nan, axis=0)
    with h5py.File(path, "w") as file:
        group = file.create_group("C2H6O1")
        group["atomic_numbers"], group["coordinates"] = z.astype(np.uint8), r.astype(np.float64)
        group["wb97x_dz.energy"], group["wb97x_dz.forces"] = e / Hartree, f / Hartree
        group["wb97x_tz.energy"], group["wb97x_tz.forces"] = e / Hartree - 0.5, 1.1 * f / Hartree
        group["hf_dz.energy"] = e / Hartree + 1.0


def write_mace(path, frames, nested=True):
    with h5py.File(path, "w") as file:
        for index, atoms in enumerate(frames):
            group = file.create_group(f"config_batch_{index // 3}/config_{index % 3}")
            group["atomic_numbers"], group["positions"] = atoms.numbers, atoms.positions
            group["cell"], group["pbc"], group["energy_weight"] = np.zeros((3, 3)), np.zeros(3, bool), 1.0
            own = group.create_group("properties") if nested else group
            own["energy"], own["forces"], own["stress"] = energy_of(atoms), forces_of(atoms), "None"
            group["property_weights/energy"] = 7.0


def write_schnetpack(path, frames):
    with ase.db.connect(path) as database:
        units = {"energy": "Hartree", "forces": "kcal/mol/Ang"}
        database.metadata = {"_property_unit_dict": units, "_distance_unit": "Bohr", "atomrefs": {}}
        for atoms in frames:
            data = {"energy": np.array([energy_of(atoms) / Hartree]), "forces": forces_of(atoms) / KCAL}
            database.write(ase.Atoms(atoms.numbers, atoms.positions / Bohr), data=data)


def write_layout(path, frames):
    write_hdf5(path, from_structures([Structure.from_ase(atoms) for atoms in frames]))
    with h5py.File(path, "a") as file:
        for name, scale, unit in (
            ("structures/positions", Bohr, "bohr"),
            ("labels/energy", KCAL, "kcal/mol"),
            ("labels/forces", Hartree / Bohr, "Eh/a0"),
        ):
            values = file[name][()] * file[name].attrs.get("step", 1.0) / scale
            del file[name]
            file[name] = values
            file[name].attrs["unit"] = unit


WRITERS = {
    "rmd17.npz": write_rmd17,
    "md17.npz": write_md17,
    "sgdml.npz": write_sgdml,
    "spice.hdf5": write_spice,
    "ani1x.h5": write_ani,
    "mace.h5": write_mace,
    "old_mace.h5": lambda path, frames: write_mace(path, frames, nested=False),
    "schnetpack.db": write_schnetpack,
    "layout.h5": write_layout,
    "some.traj": ase.io.write,
}


@pytest.mark.parametrize("name", WRITERS)
def test_layouts_of_others_are_read_as_they_come(tmp_path, name, capsys):
    frames = geometries()
    WRITERS[name](tmp_path / name, frames)
    read = read_dataset(tmp_path / name)
    order = [2, 3, 4, 0, 1] if name == "spice.hdf5" else range(N)
    assert len(read) == N
    for structure, atoms in zip(read, [frames[k] for k in order], strict=True):
        assert structure.atomic_numbers.tolist() == atoms.numbers.tolist()
        np.testing.assert_allclose(structure.positions, atoms.positions, atol=1e-4)
        assert structure.energy_eV == pytest.approx(energy_of(atoms), abs=1e-8)
        np.testing.assert_allclose(structure.forces_eV_per_A, forces_of(atoms), atol=1e-4)
    assert read.stress is None
    drawn = read_dataset(tmp_path / name, at_most=3, seed=1)
    assert len(drawn) == (2 if name == "ani1x.h5" else 3) and set(drawn.energy) <= set(read.energy)
    log = capsys.readouterr().out
    assert f"labels of {tmp_path / name}: energy from `" in log
    assert "of the " in log and "are drawn at random" in log


@pytest.mark.parametrize("name", WRITERS)
def test_structures_are_those_of_their_places_wherever_blocks_end(tmp_path, name, monkeypatch):
    path = tmp_path / name
    WRITERS[name](path, geometries())
    whole = read_dataset(path)
    for module in (ase_files, hdf5, hdf5_groups, npz):
        monkeypatch.setattr(module, "_BLOCK", 2)
    for read in (read_dataset(path), *(read_dataset(path, at_most=n, seed=n) for n in (1, 2, 3, 4))):
        those = whole.subset(np.searchsorted(whole.numbers, read.numbers))
        assert read.content_sha256() == those.content_sha256() and list(read.names) == list(those.names)


def test_arrays_of_several_sizes_need_units(tmp_path):
    z, r, e, f = columns(geometries())
    z = np.tile(np.append(z, 0), (N, 1))
    pad = ((0, 0), (0, 1), (0, 0))
    np.savez(tmp_path / "padded.npz", Z=z, R=np.pad(r, pad) / Bohr, E=e / Hartree, F=np.pad(f, pad) / (Hartree / Bohr))
    with pytest.raises(AssayError, match=r"padded\.npz does not say its units"):
        read_dataset(tmp_path / "padded.npz")
    given = {"path": tmp_path / "padded.npz", "units": {"energy": "hartree", "length": "bohr"}}
    read = read_dataset(given)
    assert read.sizes.tolist() == [9] * N
    np.testing.assert_allclose(read.energy, e)
    np.testing.assert_allclose(read.positions, r.reshape(-1, 3))
    np.testing.assert_allclose(read.forces, f.reshape(-1, 3))


def test_one_molecule_may_lie_at_the_top_of_its_file(tmp_path):
    z, r, e, f = columns(geometries())
    with h5py.File(tmp_path / "top.h5", "w") as file:
        file["species"], file["coordinates"], file["energies"], file["forces"] = z, r, e, f
        file["coordinates"].attrs["units"] = "angstrom"
    read = read_dataset({"path": tmp_path / "top.h5", "units": {"energy": "eV"}})
    np.testing.assert_allclose(read.energy, e)
    np.testing.assert_allclose(read.forces, f.reshape(-1, 3))


def xyz(path, frames, energy="energy", forces="forces", more=(), scale=(1.0, 1.0)):
    """Extended XYZ with labels under any names."""
    written = []
    for atoms in frames:
        copy = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        copy.info[energy], copy.arrays[forces] = energy_of(atoms) / scale[0], forces_of(atoms) / scale[1]
        copy.info.update({key: value(atoms) for key, value in dict(more).items() if np.ndim(value(atoms)) != 2})
        written.append(copy)
        copy.arrays.update({key: value(atoms) for key, value in dict(more).items() if np.ndim(value(atoms)) == 2})
    ase.io.write(path, written, format="extxyz")
    return path


def test_labels_under_any_name_and_in_any_unit(tmp_path, capsys):
    frames = geometries()
    path = xyz(tmp_path / "a.xyz", frames, "dft_energy", "dft_grad", scale=(Hartree, -Hartree / Bohr))
    with pytest.raises(
        AssayError, match=r"structure 0 of .*a\.xyz has labels .*`dft_energy` and `dft_grad`.*energy_key"
    ):
        read_dataset(path)
    for units in ({"energy": "hartree", "forces": "hartree/bohr"}, {"energy": "Eh", "forces": "-hartree/bohr"}):
        read = read_dataset({"path": path, "energy_key": "dft_energy", "units": units})
        np.testing.assert_allclose(read.energy, [energy_of(atoms) for atoms in frames])
        np.testing.assert_allclose(read.forces, np.concatenate([forces_of(a) for a in frames]), atol=1e-5)
    assert "`dft_grad` (-hartree/bohr)" in capsys.readouterr().out
    with pytest.raises(AssayError, match=r"no energy `REF_energy`.*it holds `dft_energy`, `dft_grad`"):
        read_dataset({"path": path, "energy_key": "REF_energy"})
    with pytest.raises(AssayError, match=r"a\.xyz.*'furlong' is no unit of energy"):
        read_dataset({"path": path, "energy_key": "dft_energy", "units": {"energy": "furlong"}})


def test_a_unit_of_length_holds_for_positions_cells_and_forces(tmp_path):
    crystal = bulk("SiC", "zincblende", 4.36)
    frames = geometries(crystal)
    path = xyz(tmp_path / "a.xyz", frames)
    read = read_dataset({"path": path, "units": {"energy": "kJ/mol", "length": "bohr"}})
    np.testing.assert_allclose(read.positions, Bohr * np.concatenate([a.positions for a in frames]), atol=1e-7)
    np.testing.assert_allclose(read.cells[0], Bohr * np.array(crystal.cell), atol=1e-7)
    np.testing.assert_allclose(read.energy, [kJ / mol * energy_of(atoms) for atoms in frames])
    np.testing.assert_allclose(read.forces[:2], kJ / mol / Bohr * forces_of(frames[0]), atol=1e-5)
    per_atom = read_dataset({"path": path, "units": {"energy": "eV/atom"}})
    np.testing.assert_allclose(per_atom.energy, [2 * energy_of(atoms) for atoms in frames])


@pytest.mark.parametrize("other", ["REF", "mace"])
def test_two_sets_of_labels_that_differ_need_a_key(tmp_path, other, capsys):
    frames = geometries()
    more = {f"{other}_energy": lambda atoms: energy_of(atoms) + 7.0, f"{other}_forces": lambda a: 2 * forces_of(a)}
    path = xyz(tmp_path / "two.xyz", frames, more=more)
    listed = f"`energy` and `forces` and `{other}_energy` and `{other}_forces`"
    with pytest.raises(AssayError, match=rf"structure 0 of .*two\.xyz has two sets of labels that differ, {listed}"):
        read_dataset(path)
    read = read_dataset({"path": path, "energy_key": f"{other}_energy"})
    np.testing.assert_allclose(read.energy, [energy_of(atoms) + 7.0 for atoms in frames])
    np.testing.assert_allclose(read.forces[:9], 2 * forces_of(frames[0]), atol=1e-5)
    assert "not read: `energy`, `forces`" in capsys.readouterr().out
    same = xyz(tmp_path / "same.xyz", frames, more={f"{other}_energy": energy_of, f"{other}_forces": forces_of})
    assert len(read_dataset(same)) == N


def test_a_rival_in_a_later_frame_is_seen(tmp_path):
    frames = geometries()
    path = tmp_path / "late.xyz"
    xyz(path, frames[:3], more={"REF_energy": energy_of})
    text = path.read_text()
    path.write_text(text + xyz(tmp_path / "b.xyz", frames[3:], more={"REF_energy": lambda a: -1.0}).read_text())
    with pytest.raises(AssayError, match=r"structure 3 of .*`REF_energy`"):
        read_dataset(path)


def test_names_that_are_there_are_told(tmp_path):
    atoms = molecule("H2O")
    atoms.info["note"], atoms.arrays["charges_of_others"] = 3, np.zeros(3)
    ase.io.write(tmp_path / "bare.xyz", atoms, format="extxyz")
    with pytest.raises(AssayError, match=r"structure 0 of .*no energy and no forces.*`charges_of_others`, `note`"):
        read_dataset(tmp_path / "bare.xyz")


def with_stress(value, name="stress"):
    crystal = bulk("SiC", "zincblende", 4.36)
    return geometries(crystal), {name: lambda atoms: value}, abs(np.linalg.det(crystal.cell))


@pytest.mark.parametrize("name", ["stress", "REF_stress", "virial", "REF_virials"])
@pytest.mark.parametrize("numbers", [6, 9])
def test_stress_and_virials_have_one_sign_and_order(tmp_path, name, numbers, capsys):
    full = np.array([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])
    frames, more, volume = with_stress(np.arange(1.0, 7.0) if numbers == 6 else full.ravel(), name)
    prefix = "REF_" if name.startswith("REF") else ""
    path = tmp_path / "stressed.xyz"
    xyz(path, frames, f"{prefix}energy", f"{prefix}forces")
    text = " ".join(map(str, more[name](None)))
    path.write_text(path.read_text().replace(" pbc=", f' {name}="{text}" pbc='))
    read = read_dataset(path)
    np.testing.assert_allclose(read.stress, np.tile(-full / volume if "virial" in name else full, (N, 1, 1)))
    log = capsys.readouterr().out
    assert f"from `{name}`" in log and "xx, yy, zz, yz, xz, xy" in log
    if name == "stress":
        in_gpa = read_dataset({"path": path, "stress_key": "stress", "units": {"stress": "-GPa"}})
        np.testing.assert_allclose(in_gpa.stress[0], -full * GPa)


def test_a_stress_that_is_not_its_virial_is_refused(tmp_path):
    frames, _, volume = with_stress(None)
    path = xyz(tmp_path / "both.xyz", frames)
    six, text = np.arange(1.0, 7.0), path.read_text()
    for sign, matches in ((-1.0, True), (1.0, False)):
        both = f'stress="{" ".join(map(str, six))}" virial="{" ".join(map(str, sign * volume * six))}"'
        path.write_text(text.replace(" pbc=", f" {both} pbc="))
        if matches:
            assert read_dataset(path).stress is not None
        else:
            with pytest.raises(AssayError, match="`stress` and a virial `virial` that differ"):
                read_dataset(path)


def test_stress_survives_our_own_file(tmp_path):
    frames = geometries(bulk("SiC", "zincblende", 4.36))
    frames[1].calc.results["stress"] = np.arange(1.0, 7.0)
    dataset = from_structures([Structure.from_ase(atoms) for atoms in frames])
    write_hdf5(tmp_path / "set.h5", dataset)
    read = read_dataset(tmp_path / "set.h5")
    assert np.isnan(read.stress[0]).all()
    np.testing.assert_array_equal(read.stress[1], dataset.stress[1])


COLUMNS = "Properties=species:S:1:pos:R:3:forces:R:"
FRAME = "energy=-1.0 Properties=species:S:1:pos:R:3:forces:R:3 {more}\nO 0 0 0 1 0 0\n{symbol} 0 0 1 0 0 1\n"


@pytest.mark.parametrize(
    ("more", "symbol", "number", "pbc"),
    [
        ("name=12", "H", 1, False),
        ('Lattice="0 0 0 0 0 0 0 0 0"', "D", 1, False),
        ('Lattice="9 0 0 0 9 0 0 0 0"', "CL", 17, (1, 1, 0)),
        ('Lattice="9 0 0 0 9 0 0 0 9"', "6", 6, True),
    ],
)
def test_odd_frames_that_are_clear_are_read(tmp_path, more, symbol, number, pbc):
    frame = f"2\n{FRAME.format(more=more, symbol=symbol)}"
    for opener, path in ((open, tmp_path / "odd.xyz"), (gzip.open, tmp_path / "odd.xyz.gz")):
        with opener(path, "wt", encoding="utf-8-sig") as file:  # with a byte order mark
            file.write(frame + "\n" + frame)
        read = read_dataset(path)
        assert read.atomic_numbers.tolist() == [8, number] * 2
        assert read.pbc.tolist() == [np.broadcast_to(np.array(pbc, bool), 3).tolist()] * 2
        assert read.names[0] == ("12" if "name" in more else "structure-0")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0\nenergy=1.0\n", "structure 1 of {} has no atoms"),
        (
            f'1\nLattice="0 0 0 0 0 0 0 0 0" pbc="T T T" energy=1 {COLUMNS}3\nH 0 0 0 0 0 0\n',
            "structure 1 (structure-1) of {} is periodic along lattice vectors that are zero",
        ),
        (f"1\nenergy=1.0 {COLUMNS}3\nQ 0 0 0 0 0 0\n", "structure 1 of {} has an atom 'Q'"),
        (
            "2\nenergy=1.0 Properties=species:S:1:pos:R:3\nH 0 0 0\nH 0 0 1\n",
            "structure 1 of {} has no forces `forces`",
        ),
        (f"1\nenergy=1.0 {COLUMNS}2\nH 0 0 0 0 0\n", "structure 1 of {} has forces `forces` of shape"),
        (f"2\nenergy=1.0 {COLUMNS}3\nH 0 0 0 0 0 0\n", "structure 1 of {} is not"),
        ("two\n", "structure 1 of {} is not extended XYZ: 'two'"),
    ],
)
def test_a_bad_frame_is_one_sentence_with_file_and_frame(tmp_path, text, words):
    path = tmp_path / "bad.xyz"
    path.write_text(f"2\n{FRAME.format(more='', symbol='H')}{text}")
    with pytest.raises(AssayError) as error:
        read_dataset(path)
    assert words.format(path) in str(error.value) and "\n" not in str(error.value)


def test_a_drawn_structure_is_named_by_its_place_in_the_file(tmp_path):
    frame = f"2\n{FRAME.format(more='', symbol='H')}"
    path = tmp_path / "many.xyz"
    path.write_text(frame * 50 + frame.replace("0 0 1 0 0 1", "0 0 0 0 0 1") * 50)
    with pytest.raises(AssayError) as error:
        read_dataset(path, at_most=20)
    place = int(str(error.value).split()[1])
    assert place >= 50 and f"structure {place} (structure-{place}) of {path} has two atoms" in str(error.value)


def test_structures_that_no_student_can_judge_are_no_examples(tmp_path, capsys):
    """One in nanometers, and one with an atom astray, neither of which may end a benchmark."""
    frames = geometries()
    frames[1].positions *= 0.1
    frames[3].positions[0, 2] += 1e6
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, **atoms.calc.results)
    path = xyz(tmp_path / "some.xyz", frames)
    assert len(read_dataset(path)) == N
    kept = read_examples([path])
    assert [structure.energy_eV for structure in kept] == [pytest.approx(energy_of(frames[k])) for k in (0, 2, 4)]
    assert "2 structures have atoms astray or inside of each other" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["big.xyz", "big.h5", "big.npz", "big.db"])
def test_memory_does_not_grow_with_the_file(tmp_path, name, monkeypatch):
    """Twenty structures of 1,500 take as little as twenty of 150."""
    for module in (ase_files, hdf5, npz):
        monkeypatch.setattr(module, "_BLOCK", 50)
    frames, peaks = geometries(), {}
    for count in (150, 1500):
        path = tmp_path / f"{count}-{name}"
        many = (frames * count)[:count]
        if path.suffix == ".xyz":
            path.write_text("".join([xyz(tmp_path / "f.xyz", frames).read_text()] * (count // N)))
        elif path.suffix == ".h5":
            write_layout(path, many)
        elif path.suffix == ".npz":
            write_rmd17(path, many)
        else:
            with ase.db.connect(path) as database:
                for atoms in many:
                    database.write(atoms)
        tracemalloc.start()
        assert len(read_dataset(path, at_most=20)) == 20
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[1500] < 2 * peaks[150]


@pytest.mark.parametrize(
    ("unit", "kind", "value"),
    [
        ("kcal/mol", "energy", KCAL),
        ("kcal mol^-1", "energy", KCAL),
        ("meV", "energy", 1e-3),
        ("Hartree/Bohr", "forces", Hartree / Bohr),
        ("kJ/(mol nm)", "forces", kJ / mol / 10),
        ("eV/Å", "forces", 1.0),
        ("-eV/Ang", "forces", -1.0),
        ("au", "stress", Hartree / Bohr**3),
        ("kbar", "stress", 0.1 * GPa),
        ("eV/angstrom**3", "stress", 1.0),
        ("nm", "length", 10.0),
        ("eV/Å³", "stress", 1.0),
        ("kcal mol⁻¹ Å⁻¹", "forces", KCAL),
        ("Ångström", "length", 1.0),
        ("electronvolts per angstrom", "forces", 1.0),
        ("kJ/mole", "energy", kJ / mol),
        ("nanometers", "length", 10.0),
        ("electron_volt", "energy", 1.0),
        ("electron volt / angstrom ** 3", "stress", 1.0),
        ("kilocalorie / mole", "energy", KCAL),
        ("kilojoules_per_mole", "energy", kJ / mol),
        ("kilojoule / mole / nanometer", "forces", kJ / mol / 10),
        ("gigapascal", "stress", GPa),
        ("mEh", "energy", 1e-3 * Hartree),
        ("Ry/au", "forces", 0.5 * Hartree / Bohr),
        ("Ha/a.u.", "forces", Hartree / Bohr),
        ("au/angstrom", "forces", Hartree),
        ("eV/AA", "forces", 1.0),
        ("eV/Ang.", "forces", 1.0),
    ],
)
def test_units_are_converted(unit, kind, value):
    assert factor(unit, kind) == pytest.approx(value, rel=1e-12)


# The value of each unit in eV and angstrom by CODATA 2018, and how it is spelled.
SPELLINGS = {
    ("energy", 1.0): "eV electronvolt",
    ("energy", 1e-3): "meV millielectronvolt",
    ("energy", 27.2113862): "hartree Ha Eh",
    ("energy", 0.0272113862): "mHa mEh mhartree millihartree",
    ("energy", 13.6056931): "rydberg Ry",
    ("energy", 0.0433641042): "kcal/mol kilocalorie/mole",
    ("energy", 0.0103642697): "kJ/mol kilojoule/mole",
    ("energy", 1.03642697e-5): "J/mol joule/mole",
    ("length", 1.0): "angstrom Ang AA A",
    ("length", 0.529177211): "bohr a0",
    ("length", 10.0): "nm nanometer nanometre",
    ("length", 0.01): "pm picometer picometre",
    ("stress", 6.24150907e-3): "GPa gigapascal",
    ("stress", 6.24150907e-6): "MPa megapascal",
    ("stress", 6.24150907e-12): "Pa pascal",
    ("stress", 6.24150907e-7): "bar",
    ("stress", 6.24150907e-4): "kbar kilobar kB",
}


def test_every_spelling_of_a_unit_has_its_value():
    for (kind, value), spellings in SPELLINGS.items():
        for unit in spellings.split():
            assert factor(unit, kind) == pytest.approx(value, rel=1e-7), unit
    words = {word.lower() for spellings in SPELLINGS.values() for word in spellings.replace("/", " ").split()}
    assert words == _WORDS.keys(), "each has a value here"


@pytest.mark.parametrize(
    ("unit", "kind"),
    [
        *(
            ("eV", "forces"),
            ("kcal", "energy"),
            ("", "energy"),
            ("eV/", "energy"),
            ("GPa", "virial"),
            ("eV²", "energy"),
        ),
        *(("kilojoule", "energy"), ("Ry/au", "energy"), ("Ry au", "forces"), ("_", "energy")),
    ],
)
def test_units_of_something_else_are_refused(unit, kind):
    with pytest.raises(AssayError, match=f"is no unit of {kind}"):
        factor(unit, kind)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the inputs of others lie outside the repository")
def test_inputs_of_others():
    expected = read_dataset(SHARED / "08-zero-lattice/zero_lattice.xyz")
    assert not expected.pbc.any()
    for name in ("09-hdf5-unit-attribute/layout_unit_attr_kcal.h5", "09-schnetpack-db/schnetpack.db"):
        read = read_dataset(SHARED / name)
        np.testing.assert_allclose(read.energy, expected.energy, atol=1e-5)
        np.testing.assert_allclose(read.forces, expected.forces, atol=1e-5)
    for name in ("09-foreign-formats/rmd17.npz", "09-foreign-formats/spice.hdf5"):
        read = read_dataset(SHARED / name)
        assert len(read) == 4 and read.energy[0] == pytest.approx(expected.energy[0], abs=1e-5)
        np.testing.assert_allclose(read.forces[:9], expected.forces[:9], atol=1e-5)
    assert read_dataset(SHARED / "08-stress6/stress6.xyz").stress[0, 0].tolist() == [1.0, 6.0, 5.0]
    both = SHARED / "08-REF-loses-to-energy/REF_is_label_energy_is_model.xyz"
    with pytest.raises(AssayError, match=r"`energy` and `forces` and `REF_energy` and `REF_forces`"):
        read_dataset(both)
    only = SHARED / "08-dft-keys/dft_only.xyz"
    with pytest.raises(AssayError, match=r"`dft_energy` and `dft_forces`"):
        read_dataset(only)
    for path, key in ((both, "REF_energy"), (only, "dft_energy")):
        assert read_dataset({"path": path, "energy_key": key}).energy[0] == pytest.approx(expected.energy[0])
