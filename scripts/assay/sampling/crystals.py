"""The shipped periodic dataset: crystals that are rattled, strained or miss an atom, with a teacher's labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ase
import ase.build
import numpy as np

from assay.data.checks import check
from assay.data.dataset import Dataset, from_structures
from assay.data.hdf5 import read_hdf5, write_hdf5
from assay.predictors.interface import Predictor
from assay.sampling.shipping import describe
from assay.sampling.supercells import DECIMALS, KINDS
from assay.structures.structure import Structure
from assay.workflow.files import sha256_file, write_json
from assay.workflow.provenance import header

# Prototype and lattice constant in angstrom by formula; none holds only elements of the shipped molecules.
CRYSTALS = {
    "Al": ("fcc", 4.05), "Cu": ("fcc", 3.61), "Ag": ("fcc", 4.09), "Au": ("fcc", 4.08), "Fe": ("bcc", 2.87),
    "W": ("bcc", 3.17), "Na": ("bcc", 4.29), "Si": ("diamond", 5.43), "Ge": ("diamond", 5.66),
    "NaCl": ("rocksalt", 5.64), "LiF": ("rocksalt", 4.03), "MgO": ("rocksalt", 4.21), "KBr": ("rocksalt", 6.60),
    "TiN": ("rocksalt", 4.24), "GaAs": ("zincblende", 5.65), "ZnS": ("zincblende", 5.41),
    "SiC": ("zincblende", 4.36), "BN": ("zincblende", 3.62), "CsCl": ("cesiumchloride", 4.12),
    "CaF2": ("fluorite", 5.46),
}  # fmt: skip
FEWEST_ATOMS = 8
RATTLE_A, STRAIN = (0.02, 0.15), 0.05


def crystals(per_crystal: int, seed: int) -> Iterator[Structure]:
    """Make so many structures of each crystal, in turn of each kind, in cells of at least ``FEWEST_ATOMS`` atoms."""
    draw = np.random.default_rng(seed)
    for formula, (prototype, a) in CRYSTALS.items():
        perfect = ase.build.bulk(formula, prototype, a=a, cubic=True)
        while len(perfect) < FEWEST_ATOMS:
            perfect = perfect.repeat((1, 1, 2) if len(perfect) * 2 >= FEWEST_ATOMS else (1, 2, 2))
        for index in range(per_crystal):
            kind = KINDS[index % len(KINDS)]
            atoms = _displaced(perfect, kind, draw)
            yield Structure.from_ase(atoms, f"{formula}-{kind}.{index}", formula)


def _displaced(perfect: ase.Atoms, kind: str, draw: np.random.Generator) -> ase.Atoms:
    atoms = perfect.copy()
    if kind == "strained":
        strain = draw.uniform(-STRAIN, STRAIN, (3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    if kind == "vacancy":
        del atoms[int(draw.integers(len(atoms)))]
    moved = atoms.positions + draw.normal(0.0, draw.uniform(*RATTLE_A), atoms.positions.shape)
    atoms.positions = moved.round(DECIMALS)
    return atoms


def labelled(structures: Iterator[Structure], teacher: Predictor) -> Dataset:
    """The structures with the teacher's energy, forces and stress."""
    bare = list(structures)
    found = teacher.predict(bare)
    return from_structures([own.label(structure) for structure, own in zip(bare, found, strict=True)])


def ship(dataset: Dataset, teacher: Mapping[str, Any], record: str | Path) -> None:
    """Write ``crystals.h5`` beside the JSON ``record``, which says what it holds and who labelled it.

    Raises:
        AssayError: the dataset is not sound.
    """
    path = Path(record).with_name("crystals.h5")
    check(dataset, path)
    write_hdf5(path, dataset)
    about = describe(read_hdf5(path)) | {"file_sha256": sha256_file(path)}  # of numbers as the file rounds them
    write_json(record, header(None) | {"teacher": dict(teacher), "parts": {path.stem: about}})
