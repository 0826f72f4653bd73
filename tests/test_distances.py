"""Positions in another unit are asked about, and none that may be so in angstrom."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.collections import g2
from ase.units import Bohr

from assay.runtime import VerletList
from assay.runtime.distances import strange_distances

CRYSTALS = [
    bulk("Cu"),
    bulk("Cr"),
    bulk("Ti"),
    bulk("W"),
    bulk("NaCl", "rocksalt", 5.64),
    bulk("CsCl", "cesiumchloride", 4.12),
    bulk("ZnO", "wurtzite", 3.25, c=5.2),
]
CORNERS = np.indices((2, 2, 2)).reshape(3, 8).T
VAPOR = Atoms("Na8", 9.0 * CORNERS - [[0, 0, 4.2]] * (np.arange(8) == 1)[:, None])
HYDROGEN = Atoms("H8", 4.5 * CORNERS, cell=[9.0] * 3, pbc=True)


def kinds(atoms, cutoff_A=5.0):
    found = VerletList(cutoff_A, 0.0).update(atoms.positions, atoms.cell.array, atoms.pbc)
    return set(strange_distances(atoms.numbers, *found))


def in_line(formula, *places_A):
    return Atoms(formula, [[0.0, 0.0, z] for z in places_A])


def test_no_structure_with_usual_bonds_is_strange():
    for atoms in [*map(molecule, g2.names), *(crystal * (2, 2, 2) for crystal in CRYSTALS), bulk("Ar", "fcc", 5.26)]:
        assert kinds(atoms) == set(), atoms


@pytest.mark.parametrize(
    "atoms",
    [
        *(in_line("H2", 0.0, far) for far in (0.5, 1.5, 2.0, 4.0, 9.0)),
        *(in_line("Na2", 0.0, far) for far in (3.1, 4.7, 6.0)),
        *(in_line(pair, 0.0, far) for pair, far in (("LiF", 3.2), ("Cl2", 3.0), ("ArH", 3.6), ("NaAr", 4.0))),
        *(in_line(pair, 0.0, far) for pair, far in (("Zn2", 4.19), ("Hg2", 3.7), ("Mg2", 3.95), ("HgAr", 4.0))),
        *(in_line(pair, 0.0, far) for pair, far in (("Cr2", 1.66), ("V2", 1.7), ("Mo2", 1.9))),
        in_line("Hg3", 0.0, 3.9, 7.8),
        in_line("Hg3Na", 0.0, 3.9, 7.8, 20.0),
        in_line("ArNaAr", -4.0, 0.0, 4.0),
        in_line("Ar3", 0.0, 20.0, 40.0),
        VAPOR,
        HYDROGEN,
    ],
    ids=lambda atoms: f"{atoms.symbols}-{np.ptp(atoms.positions):.2g}",
)
def test_atoms_that_are_not_bonded_in_angstrom_are_not_strange(atoms):
    assert kinds(atoms) == set()


def test_molecules_of_three_atoms_and_more_are_strange_in_bohr_and_in_nm():
    for atoms in (atoms for atoms in map(molecule, g2.names) if len(atoms) > 2):
        for scale, kind in ((1.0 / Bohr, "alone"), (0.1, "contact")):
            scaled = atoms.copy()
            scaled.positions *= scale
            assert kinds(scaled) == {kind}, (atoms, scale)


@pytest.mark.parametrize("crystal", CRYSTALS, ids=lambda crystal: str(crystal.symbols))
def test_crystals_are_strange_in_other_units(crystal):
    for scale, kind in ((1.0 / Bohr, "alone"), (0.1, "contact"), (10.0, "alone")):
        scaled = crystal * (3, 3, 3)
        scaled.set_cell(scale * scaled.cell, scale_atoms=True)
        assert kinds(scaled) == {kind}, scale


@pytest.mark.parametrize(
    "crystal",
    [*map(bulk, ("Ti", "V", "Cr", "Mo", "Ta", "W", "Fe", "Cu")), bulk("MnO", "rocksalt", 4.44)],
    ids=lambda crystal: str(crystal.symbols),
)
def test_crystals_with_metals_that_were_divided_by_a_bohr_too_often_are_strange(crystal):
    metal = crystal * (2, 2, 2)
    metal.set_cell(Bohr * metal.cell, scale_atoms=True)
    assert kinds(metal) == {"contact"}
