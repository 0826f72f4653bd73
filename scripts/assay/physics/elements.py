"""Whether the model tells its elements apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
from ase.data import chemical_symbols

from assay.physics.base import Check, Measurement, Subject

ALIKE_eV_per_A = 1e-5  # no two elements bond so much alike


def elements(subject: Subject) -> Measurement:
    """Put each element that the model was taught in one and the same place, and compare the forces around it.

    Where nobody says which these are, those of the reference's molecules stand for them. Energies would not do, because
    elements that the network confuses may still differ by a constant of their own.
    """
    molecule = min(subject.molecules, key=len)
    met = np.concatenate([molecule.atomic_numbers for molecule in subject.molecules])
    known = sorted(subject.predictor.elements or set(met.tolist()))
    heaviest = int(molecule.atomic_numbers.argmax())
    copies = []
    for number in known:
        numbers = molecule.atomic_numbers.copy()
        numbers[heaviest] = number
        copies.append(
            replace(molecule, atomic_numbers=numbers, name=f"{molecule.name} with {chemical_symbols[number]}")
        )
    forces = [prediction.forces_eV_per_A for prediction in subject.predictor.predict(copies)]
    alike = [
        f"{chemical_symbols[a]} and {chemical_symbols[b]}"
        for (a, x), (b, y) in combinations(zip(known, forces, strict=True), 2)
        if not np.abs(x - y).max() > ALIKE_eV_per_A
    ]
    return Measurement({"alike_pairs": float(len(alike))}, {"elements": known, "alike": alike})


CHECKS = [Check("elements", "each element that the model knows acts in its own way", elements)]
