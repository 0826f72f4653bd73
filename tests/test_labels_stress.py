"""Stresses in another unit, of zero, or in another order are named; sound ones pass in silence."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.stress import full_3x3_to_voigt_6_stress

from assay.accuracy.label_checks import check_labels
from assay.accuracy.metrics import Errors
from assay.data.dataset import Dataset, from_structures
from assay.structures.structure import Structure
from assay.workflow.units import factor
from shared.label_mistakes import of_student

TURNS = {
    "stresses times the volume": lambda volume: volume,
    "stresses divided by the volume": lambda volume: 1 / volume,
}


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
