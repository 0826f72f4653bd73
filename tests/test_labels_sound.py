"""Sound labels pass in silence, whatever the student and the structures; files of others are seen through."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from assay.accuracy.label_checks import check_labels
from assay.accuracy.metrics import Errors
from assay.data import read_dataset
from assay.data.dataset import Dataset, from_structures
from assay.predictors.interface import load_predictor
from assay.structures.structure import Structure
from shared.label_mistakes import cohesive, fresh, labelled, of_student, other_reference, part, relabelled
from shared.predict_labelled import predict_labelled

ROOT = Path(__file__).parents[1]
INPUTS = ROOT / "../shared/reference/inputs"
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
