"""Structures to begin with: supercells of crystals that are rattled, and strained or short of some atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ase.build
import numpy as np
from ase.formula import Formula

from assay.predictors.structure_files import read_frames
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

KINDS = ("rattled", "strained", "vacancy")
DECIMALS = 4  # of positions and lattice vectors in angstrom: what a file keeps of positions


def supercells(
    crystals: Sequence[Mapping[str, Any]],
    count: int,
    rattle_A: Sequence[float],
    scale: Sequence[float],
    shear: float,
    seed: int,
) -> list[Structure]:
    """Make ``count`` structures of each crystal, in turn of each kind; atoms of all of them are rattled.

    Args:
        crystals: what ``unit_cell`` reads, and of each ``repeat``, how often its cell is repeated along its lattice
            vectors, and ``vacancy``, the formula of what a structure of the kind vacancy lacks.
        count: the number of structures of each crystal.
        rattle_A: the range of the amplitudes, one for each structure: standard deviation of normal noise, angstrom.
        scale: the range of the factor of all lengths of the kinds strained and vacancy.
        shear: the largest strain besides, of either sign, in each of the six components.
        seed: the seed of all draws.

    Raises:
        AssayError: a crystal is not known, its vacancy is no formula, or it lacks an atom of that or has no other.
    """
    draw = np.random.default_rng(seed)
    made = []
    for crystal in crystals:
        whole = unit_cell(crystal).repeat(tuple(crystal["repeat"]))
        name = whole.get_chemical_formula(empirical=True)
        kinds = KINDS if "vacancy" in crystal else KINDS[:2]
        for index in range(count):
            kind, atoms = kinds[index % len(kinds)], whole.copy()
            if kind != "rattled":
                strain = draw.uniform(-shear, shear, (3, 3))
                stretched = draw.uniform(scale[0], scale[1]) * np.eye(3) + (strain + strain.T) / 2
                atoms.set_cell((atoms.cell.array @ stretched).round(DECIMALS), scale_atoms=True)
            if kind == "vacancy":
                del atoms[_lacking(atoms, crystal["vacancy"], draw)]
            noise = draw.normal(0.0, draw.uniform(rattle_A[0], rattle_A[1]), atoms.positions.shape)
            atoms.positions = (atoms.positions + noise).round(DECIMALS)
            made.append(Structure.from_ase(atoms, f"{name}-{kind}.{index}", name))
    return made


def unit_cell(crystal: Mapping[str, Any]) -> ase.Atoms:
    """The cell of a crystal: the first structure of its ``path``, or ``formula``, ``prototype`` and ``a_A`` of ASE.

    Raises:
        AssayError: the file cannot be read or has no cell, or ASE makes no such crystal.
    """
    if "path" in crystal:
        atoms = next(read_frames(crystal["path"]))()
        if atoms.cell.rank < 3 or not atoms.pbc.any():
            raise AssayError(
                f"{crystal['path']} has no cell that repeats, of three lattice vectors: name the file of a crystal in "
                "`data: supercells`"
            )
        return atoms
    for cubic in (True, False):  # crystals such as hcp have no cubic cell
        try:
            return ase.build.bulk(crystal["formula"], crystal["prototype"], a=crystal["a_A"], cubic=cubic)
        except (ValueError, RuntimeError, KeyError, AssertionError) as error:
            reason = str(error)
    raise AssayError(
        f"there is no crystal {crystal['formula']} of the prototype {crystal['prototype']} ({reason}): name another "
        "prototype of ase.build.bulk, or the `path` of a file with its cell"
    )


def _lacking(atoms: ase.Atoms, formula: str, draw: np.random.Generator) -> list[int]:
    """Draw the indices of the atoms of a formula."""
    try:
        wanted = Formula(formula).count()
    except ValueError:
        raise AssayError(
            f"the vacancy {formula} is no formula: name the atoms that are to lack, such as NaCl"
        ) from None
    chosen: list[int] = []
    for symbol, number in wanted.items():
        places = [index for index, own in enumerate(atoms.symbols) if own == symbol]
        if len(places) < number:
            raise AssayError(
                f"{atoms.get_chemical_formula()} lacks the atoms of the vacancy {formula}: repeat the cell more often"
            )
        chosen += draw.choice(places, number, replace=False).tolist()
    if len(chosen) == len(atoms):
        raise AssayError(f"the vacancy {formula} takes every atom of its cell: repeat the cell more often")
    return chosen
