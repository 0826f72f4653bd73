"""Labels that are shuffled, missing, or wrong in a part of the structures are named, with these structures."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from assay.accuracy.label_checks import check_labels
from assay.accuracy.metrics import Errors
from assay.data.dataset import Dataset
from shared.label_mistakes import (
    ENERGY_UNITS,
    FORCE_UNITS,
    MOLECULES,
    cohesive,
    fresh,
    labelled,
    of_student,
    other_reference,
    part,
    relabelled,
)


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


def test_isolated_atoms_that_were_not_labelled_are_named():
    dataset, errors = cohesive({"Cu": -3.4, "Al": -3.1, "Ni": -4.0})
    [suspicion] = check_labels(errors, dataset)["suspicions"]
    assert "energies are zero in 3 of 63 structures: Cu-alone (number 60)" in suspicion
    [suspicion] = check_labels(*reversed(part(dataset, errors, [60])))["suspicions"]
    assert suspicion == "all labelled energies are the same number"
