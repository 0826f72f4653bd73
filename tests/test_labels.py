"""Label mistakes: each kind is planted in sound labels and must be named; sound labels must pass in silence."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.stress import full_3x3_to_voigt_6_stress

from assay.accuracy.label_checks import check_labels
from assay.accuracy.metrics import Errors
from assay.data import read_dataset
from assay.data.dataset import Dataset, from_structures
from assay.predictors.interface import load_predictor
from assay.structures.structure import Structure
from assay.workflow.units import factor, of_structure
from shared.predict_labelled import predict_labelled

ROOT = Path(__file__).parents[1]
INPUTS = ROOT / "../shared/reference/inputs"
MOLECULES = ("CH3CH2OH", "CH3COOH", "C6H6", "CH3CN", "H2O", "CH3CH2NH2")
FORCE_UNITS = {
    "kcal/mol/angstrom": units.mol / units.kcal,
    "kJ/mol/angstrom": units.mol / units.kJ,
    "kJ/mol/nm": units.nm * units.mol / units.kJ,
    "hartree/bohr": units.Bohr / units.Hartree,
    "hartree/angstrom": 1 / units.Hartree,
    "rydberg/bohr": units.Bohr / units.Rydberg,
    "eV/nm": units.nm,
    "eV/bohr": units.Bohr,
}
ENERGY_UNITS = {
    "hartree": 1 / units.Hartree,
    "rydberg": 1 / units.Rydberg,
    "kcal/mol": units.mol / units.kcal,
    "kJ/mol": units.mol / units.kJ,
}
TURNS = {
    "stresses times the volume": lambda volume: volume,
    "stresses divided by the volume": lambda volume: 1 / volume,
}


def labelled(names=MOLECULES, frames=10, spread_A=0.08, seed=0) -> Dataset:
    """Distorted molecules with a reference of atoms and the forces of EMT, which knows C, N, O and H."""
    generator, structures = np.random.default_rng(seed), []
    for k in range(frames):
        for name in names:
            atoms = molecule(name)
            atoms.positions += generator.normal(0, spread_A, atoms.positions.shape)
            atoms.calc = EMT()
            energy = atoms.get_potential_energy() - 13.0 * (atoms.numbers**1.5).sum()
            structures.append(
                Structure(f"{name}-{k}", atoms.numbers.astype(np.int64), atoms.positions, energy_eV=energy,
                          forces_eV_per_A=atoms.get_forces(), molecule=name)
            )  # fmt: skip
    return from_structures(structures)


def of_student(dataset: Dataset, error=0.1, slope=1.0, seed=1) -> Errors:
    """A student whose forces are off by ``error`` of their size, and whose energies are off by as much of theirs."""
    generator = np.random.default_rng(seed)
    size = np.sqrt((dataset.forces**2).mean())
    energy = dataset.energy + error * 0.5 * generator.normal(size=len(dataset))
    forces = slope * (dataset.forces + error * size * generator.normal(size=dataset.forces.shape))
    return Errors(dataset.atomic_numbers, dataset.sizes, energy, dataset.energy, forces, dataset.forces)


def relabelled(errors: Errors, energy=None, forces=None) -> Errors:
    return Errors(
        errors.atomic_numbers,
        errors.n_atoms,
        errors.energy,
        errors.energy_teacher if energy is None else energy,
        errors.forces,
        errors.forces_teacher if forces is None else forces,
    )


@pytest.fixture(scope="module")
def sound() -> tuple[Dataset, Errors]:
    dataset = labelled()
    return dataset, of_student(dataset)


def other_reference(errors: Errors) -> np.ndarray:
    """Energies of another teacher: hundreds of eV an atom, and a constant."""
    return errors.energy_teacher - 7.0 - np.bincount(errors.owner, 17.3 * errors.atomic_numbers**1.9)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", FORCE_UNITS)
def test_force_units_are_named(sound, name, sign):
    dataset, errors = sound
    found = check_labels(relabelled(errors, forces=sign * FORCE_UNITS[name] * errors.forces_teacher), dataset)
    turned = ", with the sign turned" if sign < 0 else ""
    assert found["force_unit"] == name + turned
    assert len(found["suspicions"]) == 1 and f"as {name}{turned} would be, in " in found["suspicions"][0]
    assert found["energy_unit"] == "eV" and not found["outliers"]


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("per_atom", [False, True])
@pytest.mark.parametrize("name", ["eV", *ENERGY_UNITS])
def test_energy_units_are_named_whatever_the_reference(sound, name, per_atom, sign, reference):
    dataset, errors = sound
    label = other_reference(errors) if reference else errors.energy_teacher
    label = sign * label * ENERGY_UNITS.get(name, 1.0) / (errors.n_atoms if per_atom else 1)
    found = check_labels(relabelled(errors, label), dataset)
    assert found["energy_unit"] == name + " per atom" * per_atom + ", with the sign turned" * (sign < 0)
    assert bool(found["suspicions"]) == (found["energy_unit"] != "eV")
    assert found["force_unit"] == "eV/angstrom" and not found["outliers"]


@pytest.mark.parametrize("named", ["eV/angstrom", *FORCE_UNITS, "-hartree/bohr", "au", "mHa/pm"])
@pytest.mark.parametrize("true", ["eV/angstrom", *FORCE_UNITS])
def test_forces_that_a_config_names_in_another_unit_are_seen_through(sound, true, named):
    dataset, errors = sound
    ratio = factor(named, "forces") / factor(true, "forces")
    wrong = relabelled(errors, forces=ratio * errors.forces_teacher)
    found = check_labels(wrong, replace(dataset, read_as={"forces": named}))
    if abs(np.log(abs(ratio))) < 0.1 and ratio > 0:  # hartree/angstrom and rydberg/bohr, eV/nm and kJ/mol/nm
        assert not found["suspicions"] and factor(found["force_unit"], "forces") == pytest.approx(
            factor(named, "forces")
        )
    else:
        turned = ", with the sign turned" if named.startswith("-") else ""
        assert found["force_unit"] == true
        [suspicion] = found["suspicions"]
        name = {"-hartree/bohr": "hartree/bohr" + turned, "au": "hartree/bohr"}.get(named, named)
        assert f"forces, read as {name}, are " in suspicion and f", as {true} would be" in suspicion


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("named", ["eV", *ENERGY_UNITS, "eV/atom", "hartree/atom"])
@pytest.mark.parametrize("true", ["eV", *ENERGY_UNITS, "eV/atom", "hartree/atom"])
def test_energies_that_a_config_names_in_another_unit_are_seen_through(sound, true, named, reference):
    dataset, errors = sound
    in_file, as_read = (
        factor(of_structure(unit), "energy") * (errors.n_atoms if unit.endswith("/atom") else 1)
        for unit in (true, named)
    )
    label = as_read / in_file * (other_reference(errors) if reference else errors.energy_teacher)
    found = check_labels(relabelled(errors, label), replace(dataset, read_as={"energy": named}))
    in_words, said = (unit.replace("/atom", " per atom") for unit in (true, named))
    assert found["energy_unit"] == in_words
    assert (
        found["suspicions"]
        == [f"labelled energies, read as {said}, agree with the predicted ones if they are in {in_words}"][
            : true != named
        ]
    )


def test_arrays_in_eV_with_the_names_of_kcal_are_seen_through(tmp_path, sound):
    dataset, errors = part(*sound, np.arange(2, 60, 6))
    rows = np.stack([dataset.positions.reshape(10, -1, 3), dataset.forces.reshape(10, -1, 3)])
    arrays = {"R": rows[0], "F": rows[1], "E": dataset.energy, "z": dataset[0].atomic_numbers}
    np.savez(tmp_path / "a.npz", **arrays)
    read = read_dataset(tmp_path / "a.npz")
    found = check_labels(relabelled(errors, read.energy, read.forces), read)
    assert (found["energy_unit"], found["force_unit"]) == ("eV", "eV/angstrom")
    assert ["read as kcal/mol" in suspicion for suspicion in found["suspicions"]] == [True, True]
    right = {"path": tmp_path / "a.npz", "units": {"energy": "eV"}}
    assert not check_labels(errors, read_dataset(right))["suspicions"]


def shuffled(values: np.ndarray) -> np.ndarray:
    return np.random.default_rng(3).permutation(values)


@pytest.mark.parametrize(
    ("what", "energy", "forces"),
    [
        ("energies are unrelated", lambda e: shuffled(e.energy_teacher), None),
        ("energies are unrelated", lambda e: shuffled(other_reference(e)), None),
        ("same number", lambda e: 0 * e.energy_teacher, None),
        ("forces are as large as predicted ones but point elsewhere", None, lambda e: shuffled(e.forces_teacher)),
        ("forces are zero in all", None, lambda e: 0 * e.forces_teacher),
    ],
)
def test_shuffled_and_missing_labels_are_named(sound, what, energy, forces):
    dataset, errors = sound
    wrong = relabelled(errors, energy and energy(errors), forces and forces(errors))
    [suspicion] = check_labels(wrong, dataset)["suspicions"]
    assert what in suspicion


@pytest.mark.parametrize("unit", ["eV", *ENERGY_UNITS])
@pytest.mark.parametrize("eV_per_atom", [-100.0, -150_000.0])
def test_total_energies_in_single_precision_are_named_where_it_shows(sound, unit, eV_per_atom):
    dataset, errors = sound
    exact, scale = errors.energy_teacher + eV_per_atom * errors.n_atoms, ENERGY_UNITS.get(unit, 1.0)
    assert not check_labels(relabelled(errors, exact), dataset)["suspicions"]
    single = (scale * exact).astype(np.float32).astype(np.float64) / scale
    found = check_labels(relabelled(errors, single), dataset)["suspicions"]
    if eV_per_atom > -1000.0:
        assert not found
        return
    [said] = re.findall(r"^labelled energies are in single precision, .* by up to (\S+) meV/atom, so", "".join(found))
    off = 1e3 * np.abs(single - exact) / errors.n_atoms
    assert off.max() <= 1.03 * float(said) < 4.0 * off.max()


@pytest.mark.parametrize("name", [*FORCE_UNITS, "zero", "eV/angstrom, with the sign turned"])
def test_a_tenth_of_the_forces_is_named(sound, name):
    dataset, errors = sound
    factor = {"zero": 0.0, "eV/angstrom, with the sign turned": -1.0}.get(name) if name not in FORCE_UNITS else None
    some = np.arange(60) % 10 == 3
    factors = np.where(some, FORCE_UNITS[name] if factor is None else factor, 1.0)
    found = check_labels(relabelled(errors, forces=factors[errors.owner][:, None] * errors.forces_teacher), dataset)
    [suspicion] = found["suspicions"]
    count = 5 if name == "eV/bohr" else 6  # so near to eV/angstrom that the student's error hides one
    assert name in suspicion and f"{count} of 60 structures: {dataset.names[3]} (number 3)" in suspicion
    assert found["force_unit"] == "eV/angstrom" and not found["outliers"]


@pytest.mark.parametrize("name", [*ENERGY_UNITS, "zero"])
def test_a_tenth_of_the_energies_is_named(sound, name):
    dataset, errors = sound
    factors = np.where(np.arange(60) % 10 == 3, ENERGY_UNITS.get(name, 0.0), 1.0)
    found = check_labels(relabelled(errors, factors * errors.energy_teacher), dataset)
    [suspicion] = found["suspicions"]
    assert name in suspicion and "6 of 60 structures" in suspicion
    assert found["energy_unit"] == "eV" and not found["outliers"]


@pytest.mark.parametrize("share", [0.25, 0.4, 0.5])
@pytest.mark.parametrize("read_as", ["eV", "kcal/mol"])
@pytest.mark.parametrize("step", ["other functional", "other reference"])
def test_two_levels_of_theory_are_named(sound, share, read_as, step):
    dataset, errors = sound
    second = np.random.default_rng(2).random(60) < share
    other = errors.energy_teacher + 2.0 + 0.3 * np.bincount(errors.owner, np.sqrt(errors.atomic_numbers))
    other = other_reference(errors) if step == "other reference" else other
    found = check_labels(relabelled(errors, np.where(second, other, errors.energy_teacher)),
                         replace(dataset, read_as={"energy": read_as}))  # fmt: skip
    [suspicion] = found["suspicions"]
    smaller = second if second.sum() <= 30 else ~second
    assert "two levels of theory" in suspicion and f"the smaller part is {smaller.sum()} of 60" in suspicion
    assert f": {dataset.names[np.flatnonzero(smaller)[0]]} (number" in suspicion
    assert found["energy_unit"] == read_as and not found["outliers"]


@pytest.mark.parametrize("unknown", [("CH3CN",), ("CH3CH2OH", "C6H6"), ("CH3OCH3",)])
def test_molecules_that_a_student_does_not_know_are_no_level_of_theory(unknown):
    dataset, errors = fresh(names=(*MOLECULES, "CH3OCH3"))
    wrong = relabelled(errors, errors.energy_teacher + 3.0 * np.isin(dataset.molecules, unknown))
    assert "two levels" not in check_labels(wrong, dataset)["sentence"]


@pytest.mark.parametrize("far_A", [0.0, 4.0])
def test_broken_bonds_that_a_student_misses_by_one_amount_are_no_level_of_theory(far_A):
    dataset, broken = labelled(), np.arange(60) % 10 >= 7
    torn = dataset.positions.copy()
    torn[dataset.offsets[1:][broken] - 1] += far_A  # the last atom of each
    dataset = replace(dataset, positions=torn)
    errors = of_student(dataset)
    wrong = relabelled(errors, errors.energy_teacher + 3.0 * broken)
    assert ("two levels" in check_labels(wrong, dataset)["sentence"]) == (far_A == 0.0)


@pytest.mark.parametrize("column", ["charge", "spin"])
def test_ions_that_a_student_takes_for_molecules_are_no_level_of_theory(sound, column):
    dataset, errors = sound
    ions = np.random.default_rng(2).random(60) < 0.4
    wrong = relabelled(errors, errors.energy_teacher + 8.0 * ions)
    assert "two levels" in check_labels(wrong, dataset)["sentence"]
    told = replace(dataset, **{column: np.where(ions, 2.0, 0.0)})
    assert "two levels" not in check_labels(wrong, told)["sentence"]


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("name", ENERGY_UNITS)
def test_half_of_the_energies_in_another_unit_is_named(sound, name, share):
    dataset, errors = sound
    other = np.random.default_rng(2).permutation(60) < 60 * share
    found = check_labels(relabelled(errors, np.where(other, ENERGY_UNITS[name], 1.0) * errors.energy_teacher), dataset)
    assert found["energy_unit"] == "eV" or (share > 0.5 and found["energy_unit"] == name)
    rest = f"{name} in {60 * share:.0f} of 60" if found["energy_unit"] == "eV" else "eV in 18 of 60"
    *others, suspicion = found["suspicions"]
    assert f"are as if in {rest} structures" in suspicion and not found["outliers"]
    assert len(others) == (found["energy_unit"] != "eV")


def in_other_order(errors: Errors, dataset: Dataset, order: Callable) -> Errors:
    forces = errors.forces_teacher.reshape(-1, 3).copy()
    frames = [np.flatnonzero(errors.owner == k) for k in np.flatnonzero(dataset.molecules == "CH3CN")]
    stacked = np.stack([forces[rows] for rows in frames])
    for rows, values in zip(frames, order(stacked), strict=True):
        forces[rows] = values
    return relabelled(errors, forces=forces)


@pytest.mark.parametrize(
    "order",
    [
        lambda forces: np.roll(forces, 1, axis=0),
        lambda forces: forces[:, ::-1],
        lambda forces: [np.random.default_rng(k).permutation(frame) for k, frame in enumerate(forces)],
    ],
)
def test_one_molecule_with_rows_in_another_order_is_named(sound, order):
    dataset, errors = sound
    found = check_labels(in_other_order(errors, dataset, order), dataset)
    [suspicion] = found["suspicions"]
    assert "in another order" in suspicion and "10 of 60 structures: CH3CN-0 (number 3)" in suspicion
    assert found["force_unit"] == "eV/angstrom" and not found["outliers"]


def test_one_molecule_with_energies_in_another_order_is_named(sound):
    dataset, errors = sound
    energy, mask = errors.energy_teacher.copy(), dataset.molecules == "C6H6"
    energy[mask] = np.roll(energy[mask], 3)
    [suspicion] = check_labels(relabelled(errors, energy), dataset)["suspicions"]
    assert "another order: 10 of 60 structures: C6H6-0" in suspicion


@pytest.mark.parametrize("order", [lambda forces: np.roll(forces, 1, axis=0), lambda forces: forces[:, ::-1]])
def test_a_steep_structure_hides_no_labels_in_another_order(sound, order):
    dataset, errors = sound
    first = int(np.flatnonzero(dataset.molecules == "CH3CN")[0])
    generator, steep = np.random.default_rng(4), errors.owner == first
    wrong = in_other_order(errors, dataset, lambda forces: [forces[0], *order(forces[1:])])
    wrong = Errors(wrong.atomic_numbers, wrong.n_atoms, wrong.energy.copy(), wrong.energy_teacher.copy(),
                   wrong.forces.copy(), wrong.forces_teacher.copy())  # fmt: skip
    wrong.forces[steep] = 100.0 * generator.normal(size=(steep.sum(), 3))
    wrong.forces_teacher[steep] = 0.9 * wrong.forces[steep] + 30.0 * generator.normal(size=(steep.sum(), 3))
    [suspicion] = check_labels(wrong, dataset)["suspicions"]
    assert "in another order of 9 of 60 structures: CH3CN-1 " in suspicion
    others = np.flatnonzero(dataset.molecules == "CH3CN")[1:]
    energy, predicted = errors.energy_teacher.copy(), errors.energy.copy()
    energy[others] = np.roll(energy[others], 1)
    energy[first], predicted[first] = energy[first] + 100.0, predicted[first] + 90.0
    columns = (predicted, energy, errors.forces, errors.forces_teacher)
    [suspicion] = check_labels(Errors(errors.atomic_numbers, errors.n_atoms, *columns), dataset)["suspicions"]
    assert "as if rows were in another order: 9 of 60 structures: CH3CN-1 " in suspicion


@pytest.mark.parametrize("kind", ["forces", "energy", "unit"])
def test_one_outlier_is_named_and_the_others_are_not_blamed(sound, kind):
    dataset, errors = sound
    energy, forces = errors.energy_teacher.copy(), errors.forces_teacher.copy()
    rows = errors.owner == 8
    if kind == "energy":
        energy[8] += 40.0
    else:
        forces[rows] = (
            23.06 * forces[rows] if kind == "unit" else np.random.default_rng(0).normal(0, 60, (rows.sum(), 3))
        )
    found = check_labels(relabelled(errors, energy, forces), replace(dataset, numbers=np.arange(60) + 100))
    assert not found["suspicions"] and found["force_unit"] == "eV/angstrom" and found["energy_unit"] == "eV"
    [outlier] = found["outliers"]
    assert (outlier["name"], outlier["number"]) == (dataset.names[8], 108)


def test_what_is_not_finite_is_left_out(sound):
    dataset, errors = sound
    energy = errors.energy_teacher.copy()
    energy[4] = np.nan
    found = check_labels(relabelled(errors, energy), dataset)
    assert not found["suspicions"] and found["energy_unit"] == "eV"


HELD = {
    "lowest third": lambda d, e: lowest_third(d)[:, None],
    "one element": lambda d, e: (e.atomic_numbers == 1)[:, None],
    "a tenth": lambda d, e: (np.random.default_rng(0).random(len(e.owner)) < 0.1)[:, None],
    "along z": lambda d, e: np.array([[False, False, True]]),
    "along x and y": lambda d, e: np.array([[True, True, False]]),
    "lowest third of every other": lambda d, e: lowest_third(d)[:, None] & (e.owner % 2 == 0)[:, None],
}  # fmt: skip


def lowest_third(dataset: Dataset) -> np.ndarray:
    height = dataset.positions[:, 2]
    parts = [height[a:b] for a, b in zip(dataset.offsets, dataset.offsets[1:], strict=False)]
    return np.concatenate([part <= np.quantile(part, 0.34) for part in parts])


@pytest.mark.parametrize("unit", ["eV/angstrom", "kcal/mol/angstrom"])
@pytest.mark.parametrize("which", HELD)
def test_forces_that_a_constraint_set_to_zero_are_named_and_left_out(sound, which, unit):
    dataset, errors = sound
    held = HELD[which](dataset, errors)
    forces = np.where(held, 0.0, FORCE_UNITS.get(unit, 1.0) * errors.forces_teacher)
    found = check_labels(relabelled(errors, forces=forces), dataset)
    *others, suspicion = found["suspicions"]
    counted = re.fullmatch(
        r"labelled forces are exactly zero (on (\d+) atoms|.*) and predicted .* constraint .*", suspicion
    )
    if counted and counted[2]:
        assert 0.85 * held.sum() < int(counted[2]) <= held.sum()  # the student feels little on a few of them
    else:
        assert counted and counted[1] == which
    assert found["force_unit"] == unit and len(others) == (unit != "eV/angstrom") and not found["outliers"]


HEALTHY = {
    "sound": lambda d, e: (d, e),
    "other reference": lambda d, e: (d, relabelled(e, other_reference(e))),
    "constant offset": lambda d, e: (d, relabelled(e, e.energy_teacher + 5000.0)),
    "mean of zero": lambda d, e: (d, relabelled(e, e.energy_teacher - e.energy_teacher.mean())),
    "zero at each minimum": lambda d, e: (d, relabelled(e, relative(d, e))),
    "other teacher": lambda d, e: (d, relabelled(e, other_reference(e), 1.06 * e.forces_teacher + noise(e, 0.15))),
    "poor student": lambda d, e: (d, of_student(d, 0.6)),
    "very poor student": lambda d, e: (d, of_student(d, 2.0)),
    "student of half the slope": lambda d, e: (d, of_student(d, 0.1, 0.5)),
    "student of twice the slope": lambda d, e: (d, of_student(d, 0.1, 2.0)),
    "student of noise": lambda d, e: (d, guess(d, 0.3)),
    "student of zeros": lambda d, e: (d, guess(d, 0.0)),
    "one structure": lambda d, e: part(d, e, [7]),
    "five structures": lambda d, e: part(d, e, [0, 7, 14, 21, 28]),
    "a molecule": lambda d, e: part(d, e, np.arange(2, 60, 6)),
    "water": lambda d, e: part(d, e, np.arange(4, 60, 6)),
    "without repeats": lambda d, e: part(d, e, np.arange(6)),
    "nearly minima": lambda d, e: fresh(spread_A=0.01),
    "far from minima": lambda d, e: fresh(spread_A=0.2),
    "minima in few digits": lambda d, e: in_few_digits(fresh(spread_A=0.005)),
    "forces in few digits": lambda d, e: in_few_digits((d, of_student(d, 0.6))),
    "zero by symmetry": lambda d, e: symmetric(of_student),
    "zero by symmetry for a student without it": lambda d, e: symmetric(lambda d: of_student(d, 0.3)),
    "two atoms": lambda d, e: fresh(names=("H2", "CO", "N2", "OH")),
    "one atom": lambda d, e: fresh(names=("H", "C", "O")),
    "cohesive energies and isolated atoms": lambda d, e: cohesive({"Cu": 0.0, "Al": 0.0, "Ni": 0.0}),
    "an isolated atom alone": lambda d, e: part(*cohesive({"Cu": 0.0, "Al": 0.0, "Ni": 0.0}), [60]),
    "isolated atoms alone": lambda d, e: part(*cohesive({"Cu": 0.0, "Al": 0.0, "Ni": 0.0}), [60, 61, 62]),
    "radicals and rings": lambda d, e: fresh(names=("C4H4O", "CH3", "C5H5N", "NH2", "C3H8", "CH3NO2")),
    "a poor element": lambda d, e: (d, relabelled(e, None, e.forces_teacher + noise(e, 0.8) * of_nitrogen(e))),
}  # fmt: skip


def noise(errors: Errors, share: float) -> np.ndarray:
    size = np.sqrt((errors.forces_teacher**2).mean())
    return share * size * np.random.default_rng(5).normal(size=errors.forces.shape)


def of_nitrogen(errors: Errors) -> np.ndarray:
    return (errors.atomic_numbers == 7)[:, None]


def relative(dataset: Dataset, errors: Errors) -> np.ndarray:
    lowest = {name: errors.energy_teacher[dataset.molecules == name].min() for name in set(dataset.molecules)}
    return errors.energy_teacher - np.array([lowest[name] for name in dataset.molecules])


def guess(dataset: Dataset, size: float) -> Errors:
    generator = np.random.default_rng(6)
    energy, forces = size * generator.normal(size=len(dataset)), size * generator.normal(size=dataset.forces.shape)
    return Errors(dataset.atomic_numbers, dataset.sizes, energy, dataset.energy, forces, dataset.forces)


def part(dataset: Dataset, errors: Errors, indices) -> tuple[Dataset, Errors]:
    mask = np.isin(np.arange(len(dataset)), indices)
    return dataset.subset(mask), errors.subset(mask)


def fresh(**options) -> tuple[Dataset, Errors]:
    dataset = labelled(**options)
    return dataset, of_student(dataset)


def in_few_digits(pair: tuple[Dataset, Errors]) -> tuple[Dataset, Errors]:
    dataset, errors = pair
    return dataset, relabelled(errors, forces=np.round(errors.forces_teacher, 1))


def symmetric(student: Callable) -> tuple[Dataset, Errors]:
    """Linear molecules, and crystals with one layer moved, whose forces are zero along some axes or on some atoms."""
    structures = list(labelled(("CO", "N2")))
    for k in range(20):
        atoms = molecule(("CO", "C2H2")[k % 2]) if k < 10 else bulk("Cu", cubic=True) * (1, 1, 6)
        atoms.positions[:2, 2] += 0.05 + 0.01 * k
        atoms.calc = EMT()
        atoms.calc.results["forces"] = np.round(atoms.get_forces(), 6)
        structures.append(Structure.from_ase(atoms, f"symmetric-{k}"))
    dataset = from_structures(structures)
    return dataset, student(dataset)


def cohesive(isolated_eV: dict[str, float]) -> tuple[Dataset, Errors]:
    """Crystals with energies less those of isolated atoms, these atoms with the label zero, and what is predicted."""
    structures, generator = [], np.random.default_rng(7)
    for k in range(20):
        for element in isolated_eV:
            atoms = bulk(element, cubic=True) * (2, 1, 1)
            atoms.positions += generator.normal(0, 0.05, atoms.positions.shape)
            atoms.calc = EMT()
            atoms.calc.results["energy"] = atoms.get_potential_energy() - 3.5 * len(atoms)
            structures.append(Structure.from_ase(atoms, f"{element}-{k}"))
    for element in isolated_eV:
        alone = {"energy_eV": 0.0, "forces_eV_per_A": np.zeros((1, 3))}
        structures.append(replace(Structure.from_ase(Atoms(element), f"{element}-alone"), **alone))
    dataset = from_structures(structures)
    errors = of_student(dataset)
    errors.energy[60:] = np.array(list(isolated_eV.values())) + generator.normal(0, 0.003, 3)
    errors.forces[-3:] = 0.0
    return dataset, errors


def test_isolated_atoms_that_were_not_labelled_are_named():
    dataset, errors = cohesive({"Cu": -3.4, "Al": -3.1, "Ni": -4.0})
    [suspicion] = check_labels(errors, dataset)["suspicions"]
    assert "energies are zero in 3 of 63 structures: Cu-alone (number 60)" in suspicion
    [suspicion] = check_labels(*reversed(part(dataset, errors, [60])))["suspicions"]
    assert suspicion == "all labelled energies are the same number"


@pytest.mark.parametrize(
    ("energy", "forces"), [("eV", "eV/angstrom"), ("kcal/mol", "kcal/mol/angstrom"), ("hartree", "hartree/bohr")]
)
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_splits_pass_in_silence(sound, name, energy, forces):
    if energy == "hartree" and name == "student of half the slope":
        pytest.skip("labels in rydberg that are read as hartree look the same")
    dataset, errors = HEALTHY[name](*sound)
    found = check_labels(errors, replace(dataset, read_as={"energy": energy, "forces": forces}))
    assert not found["suspicions"] and not found["outliers"], found["sentence"]
    assert found["energy_unit"] in (energy, None) and found["force_unit"] in (forces, None)


@pytest.mark.parametrize(("n_structures", "seed"), [(5, seed) for seed in range(8)] + [(8, seed) for seed in range(8)])
def test_few_structures_of_one_element_tell_no_unit_by_chance(n_structures, seed):
    generator, structures = np.random.default_rng(seed), []
    for k in range(n_structures):
        atoms = bulk("Cu", cubic=True).repeat((1, 1, 1 + k))
        atoms.rattle(0.02, seed=1000 * seed + k)
        atoms.calc = EMT()
        atoms.get_forces()
        structures.append(Structure.from_ase(atoms, f"crystal-{k}"))
    dataset = from_structures(structures)
    energy = dataset.energy + dataset.sizes * (3.0 + 0.003 * generator.normal(size=n_structures))
    errors = of_student(dataset)
    errors.energy[:] = energy
    found = check_labels(errors, dataset)
    assert found["energy_unit"] in ("eV", None) and not found["suspicions"], found["sentence"]


@pytest.mark.parametrize("names", [("CH3CH2OH",), ("CH3CH2OH", "CH4")])
@pytest.mark.parametrize("n_structures", [5, 6, 8])
def test_a_unit_that_is_plain_is_named_of_few_structures_too(names, n_structures):
    dataset = labelled(names, frames=n_structures // len(names) + 1, spread_A=0.05)
    dataset = dataset.subset(np.arange(n_structures))
    errors = of_student(dataset, error=0.02)
    differences = np.std(dataset.energy) if len(names) == 1 else 1.0
    noise = 0.02 * differences * np.random.default_rng(0).normal(size=n_structures)
    errors.energy[:] = dataset.energy - 1000.0 * dataset.sizes + noise
    for unit in ("kcal/mol", "kJ/mol"):
        wrong = relabelled(errors, energy=dataset.energy * ENERGY_UNITS[unit])
        assert check_labels(wrong, dataset)["energy_unit"] == unit


@pytest.fixture(scope="module")
def strained() -> Dataset:
    """Crystals of copper and gold in strained and rattled cells, with energies, forces and stresses of EMT."""
    generator, structures = np.random.default_rng(0), []
    for k in range(16):
        atoms = bulk("Cu", cubic=True) * (2, 2, 1 + k % 2)
        atoms.numbers[::3] = 79
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.03 * generator.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.08, rng=generator)
        atoms.calc = EMT()
        atoms.get_forces(), atoms.get_stress()
        structures.append(Structure.from_ase(atoms, f"crystal-{k}"))
    return from_structures(structures)


def with_stress(dataset: Dataset, predict: Callable, label: Callable) -> Errors:
    """A student with what ``predict`` makes of the stresses (S, 6), beside what ``label`` makes of them."""
    true, generator = full_3x3_to_voigt_6_stress(dataset.stress), np.random.default_rng(2)
    stress, labels = predict(true, generator.normal(size=true.shape) * np.sqrt((true**2).mean())), label(true)
    errors = of_student(dataset)
    errors.stress, errors.stress_teacher = stress, labels
    return errors


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", ["eV/angstrom^3", "GPa", "kbar", *TURNS])
def test_stresses_in_another_unit_are_named(strained, name, sign):
    volumes = np.linalg.det(strained.cells)[:, None]
    size = {"GPa": 1 / units.GPa, "kbar": 10 / units.GPa} | {what: turn(volumes) for what, turn in TURNS.items()}
    what = name + ", with the sign turned" * (sign < 0)

    def label(stress):
        wrong = sign * size.get(name, 1.0) * stress
        wrong[3] = np.nan
        wrong[5] *= 1e4
        return wrong

    found = check_labels(with_stress(strained, lambda s, noise: 0.9 * s + 0.1 * noise, label), strained)
    if what == "eV/angstrom^3":
        assert not found["suspicions"]
    else:
        [suspicion] = found["suspicions"]
        assert f"times the predicted ones, as {what} would be, in 14 of 16 structures: crystal-0 " in suspicion


@pytest.mark.parametrize("named", ["eV/angstrom^3", "GPa", "kbar", "Pa", "-GPa"])
@pytest.mark.parametrize("true", ["eV/angstrom^3", "GPa", "kbar"])
def test_stresses_that_a_config_names_in_another_unit_are_seen_through(strained, true, named):
    ratio = factor(named, "stress") / factor(true, "stress")
    errors = with_stress(strained, lambda s, noise: 0.9 * s + 0.1 * noise, lambda s: ratio * s)
    suspicions = check_labels(errors, replace(strained, read_as={"stress": named}))["suspicions"]
    assert len(suspicions) == (true != named)
    assert all(f"stresses, read as {named}, are " in one and f", as {true} would be" in one for one in suspicions)


@pytest.mark.parametrize(
    ("n_zero", "words"), [(16, "all 16 structures"), (4, "4 of 16 structures: crystal-0 "), (2, "")]
)
def test_stresses_of_zero_are_named(strained, n_zero, words):
    label = lambda s: s * (np.arange(16) >= n_zero)[:, None]  # noqa: E731
    suspicions = check_labels(with_stress(strained, lambda s, noise: s, label), strained)["suspicions"]
    assert len(suspicions) == bool(words) and all(f"labelled stresses are zero in {words}" in one for one in suspicions)


def test_stresses_of_zero_in_large_boxes_pass_in_silence(strained):
    errors = with_stress(strained, lambda s, noise: 1e-3 * s, lambda s: 0.0 * s)
    assert not check_labels(errors, strained)["suspicions"]


STRESS_ORDERS = {
    "VASP": ("xx", "yy", "zz", "xy", "yz", "xz"),
    "LAMMPS": ("xx", "yy", "zz", "xy", "xz", "yz"),
    "xx, xy, xz, yy, yz, zz": ("xx", "xy", "xz", "yy", "yz", "zz"),
    "right": ("xx", "yy", "zz", "yz", "xz", "xy"),
}


@pytest.mark.parametrize("unit", ["eV/angstrom^3", "kbar"])
@pytest.mark.parametrize("order", STRESS_ORDERS)
def test_stresses_in_another_order_are_named(strained, order, unit):
    places = [STRESS_ORDERS["right"].index(name) for name in STRESS_ORDERS[order]]
    label = lambda s: s[:, places] / factor(unit, "stress")  # noqa: E731
    errors = with_stress(strained, lambda s, noise: 0.9 * s + 0.1 * noise, label)
    suspicions = check_labels(errors, strained)["suspicions"]
    of_order = [one for one in suspicions if "if their six numbers are" in one]
    assert len(of_order) == (order != "right") and all(order in one and ", or " not in one for one in of_order)
    assert len(suspicions) == len(of_order) + (unit != "eV/angstrom^3" and order != "xx, xy, xz, yy, yz, zz")


@pytest.mark.parametrize("order", STRESS_ORDERS)
@pytest.mark.parametrize("shear", [0.0, 1e-4])
def test_stresses_without_shear_tell_no_order(strained, order, shear):
    places = [STRESS_ORDERS["right"].index(name) for name in STRESS_ORDERS[order]]
    hydrostatic = lambda s: s * np.array([1, 1, 1, shear, shear, shear])  # noqa: E731
    label = lambda s: hydrostatic(s)[:, places if order in ("VASP", "LAMMPS") else slice(None)]  # noqa: E731
    errors = with_stress(strained, lambda s, noise: hydrostatic(0.9 * s + 0.1 * noise), label)
    assert not check_labels(errors, strained)["suspicions"]


@pytest.mark.parametrize(
    "predict",
    [
        lambda s, noise: s + 0.6 * noise,
        lambda s, noise: 0.5 * s,
        lambda s, noise: 2.0 * s,
        lambda s, noise: 0.0 * s,
        lambda s, noise: noise,
        lambda s, noise: s - 2.0 * np.median(s[:, :3]) * np.array([1, 1, 1, 0, 0, 0]),
        lambda s, noise: np.full_like(s, np.nan),
    ],
    ids=["poor", "half", "twice", "zeros", "noise", "other pressure", "none"],
)
def test_sound_stresses_pass_in_silence_whatever_the_student(strained, predict):
    pressed = lambda s: s - 0.1 * np.array([1, 1, 1, 0, 0, 0])  # noqa: E731
    for base in (lambda s: s, pressed):
        errors = with_stress(strained, lambda s, noise, base=base: predict(base(s), noise), base)
        assert not check_labels(errors, strained)["suspicions"]


@pytest.mark.parametrize("student", ["tiny", "ultra_tiny"])
@pytest.mark.parametrize("split", ["seen_molecules", "unseen_molecules", "larger_molecules", "new_molecules"])
def test_shipped_splits_pass_in_silence(student, split):
    dataset = read_dataset(ROOT / f"data/dataset/{split}.h5")
    dataset = dataset.subset(np.arange(0, len(dataset), 8))
    found = check_labels(
        predict_labelled(load_predictor(ROOT / f"data/checkpoints/{student}.pt"), dataset).errors, dataset
    )
    assert found["sentence"] == "Energies are taken for eV; forces are taken for eV/angstrom."


@pytest.mark.skipif(not INPUTS.is_dir(), reason="there are no files of others beside the repository")
@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("10-labels-not-suspected/E_hartree.xyz", "Energies are taken for hartree"),
        ("10-labels-not-suspected/gradients_hartree_bohr.xyz", "taken for hartree/bohr, with the sign turned"),
        ("10-labels-not-suspected/tenth_kcal.xyz", "as kcal/mol/angstrom would be, in 6 of 60 structures"),
        ("10-one-outlier-blames-all/contact_0.3.xyz", "Stands apart: structure-3 (forces off by"),
    ],
)
def test_files_of_others_are_seen_through(file, words):
    dataset = read_dataset(INPUTS / file)
    found = check_labels(predict_labelled(load_predictor(ROOT / "data/checkpoints/tiny.pt"), dataset).errors, dataset)
    assert words in found["sentence"]
    assert bool(found["suspicions"]) == ("Stands apart" not in words)
