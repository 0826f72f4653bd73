"""Functions that turn, place, compare and measure the positions of atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ase.data import covalent_radii
from ase.geometry import complete_cell
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from assay.runtime.cells import MIN_HEIGHT_A
from assay.structures.structure import Structure

LIQUID_ATOMS_PER_A3 = 0.1  # density of liquids of organic molecules
STRAIGHT = 1e-3  # what spreads less about an axis than this part of its largest spread is straight
BROKEN_A = 0.5  # a bond that is this much longer or shorter than at the minimum is broken (Fu et al., 2023)
COLLAPSED = 0.7  # of the sum of covalent radii: nearer than this, atoms that were not bonded have collapsed
MULTIPLE = 0.8  # of that sum: metals that begin nearer have a bond of several pairs of electrons
BOND_STRETCH = 1.3  # atoms are bonded up to this multiple of the sum of their covalent radii
NONMETALS = (1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 33, 34, 35, 36, 51, 52, 53, 54, 85, 86)  # semimetals too
CATIONS = (3, 11, 19, 37, 55, 87, 12, 20, 38, 56, 88)  # of groups 1 and 2 but for hydrogen and beryllium


def moved(structure: Structure, positions: np.ndarray, name: str = "") -> Structure:
    """The structure with its atoms at ``positions`` (N, 3), angstrom, and without labels."""
    bare = replace(structure, energy_eV=None, forces_eV_per_A=None, stress_eV_per_A3=None)
    return replace(bare, positions=positions, name=name or structure.name)


def centered(structure: Structure) -> Structure:
    """The structure with the mean of its positions at the origin, and without labels."""
    return moved(structure, structure.positions - structure.positions.mean(0))


def wrapped(structure: Structure) -> np.ndarray:
    """The positions (N, 3), angstrom, with each atom in the cell along the axes that repeat."""
    if structure.cell is None or not structure.pbc.any():
        return structure.positions
    cell = completed_cell(structure.cell, structure.pbc)
    fractional = structure.positions @ np.linalg.inv(cell)
    return (fractional - np.where(structure.pbc, np.floor(fractional), 0.0)) @ cell


def joined(structures: Sequence[Structure], name: str) -> Structure:
    """One open structure with the atoms of several."""
    return Structure(
        name=name,
        atomic_numbers=np.concatenate([structure.atomic_numbers for structure in structures]),
        positions=np.concatenate([structure.positions for structure in structures]),
    )


def shaken(structure: Structure, amplitude_A: float, rng: np.random.Generator) -> Structure:
    """The structure with normal noise added to every coordinate, so that no symmetry hides an error."""
    return moved(structure, structure.positions + rng.normal(0.0, amplitude_A, structure.positions.shape))


def random_rotations(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rotation matrices (count, 3, 3), uniformly over all rotations."""
    return Rotation.random(count, random_state=rng).as_matrix()


def superposed_rmsd(a: np.ndarray, b: np.ndarray) -> float:
    """The root-mean-square distance of positions (N, 3) after the best translation and rotation (Kabsch), angstrom."""
    a, b = a - a.mean(0), b - b.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    s[-1] *= np.sign(np.linalg.det(u @ vt))
    return float(np.sqrt(max(((a**2).sum() + (b**2).sum() - 2.0 * s.sum()) / len(a), 0.0)))


def completed_cell(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Replace the lattice vectors along which nothing repeats, which may be zero, by perpendicular unit vectors.

    Args:
        cell: (3, 3), lattice vectors in rows, angstrom; those of the periodic axes must be independent.
        pbc: bool (3,), which axes are periodic.

    Returns:
        (3, 3), angstrom; the vectors of the periodic axes are those of ``cell``.
    """
    periodic = np.asarray(pbc, dtype=bool)[:, None]
    return np.where(periodic, cell, complete_cell(np.where(periodic, cell, 0.0)))


def periodic_heights(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """The distances, in angstrom, between neighboring images along each periodic axis; zeros if they are dependent.

    Args:
        cell: (3, 3), lattice vectors in rows, angstrom.
        pbc: bool (3,), which axes are periodic.
    """
    vectors = np.asarray(cell, dtype=np.float64)[np.asarray(pbc, dtype=bool)]
    lengths = np.linalg.norm(vectors, axis=1)
    if not lengths.all() or np.linalg.svd(vectors / lengths[:, None], compute_uv=False).min(initial=1.0) < 1e-6:
        return np.zeros(len(vectors))
    return 1.0 / np.linalg.norm(np.linalg.pinv(vectors), axis=0)


def lattice_fault(structure: Structure) -> str | None:
    """What is wrong with the lattice vectors of the periodic axes, as the end of a sentence; None if nothing is."""
    if not structure.pbc.any() or (
        structure.cell is not None and periodic_heights(structure.cell, structure.pbc).min() >= MIN_HEIGHT_A
    ):
        return None
    return (
        f"is periodic along lattice vectors that are zero, dependent or closer than {MIN_HEIGHT_A:g} angstrom: correct "
        "its cell, or the axes that repeat"
    )


def bonds(structure: Structure) -> np.ndarray:
    """The pairs of bonded atoms, int64 (B, 2), the smaller index first."""
    radii = covalent_radii[structure.atomic_numbers]
    distance = np.linalg.norm(structure.positions[:, None] - structure.positions[None], axis=-1)
    first, second = np.nonzero(distance < BOND_STRETCH * (radii[:, None] + radii[None]))
    return np.stack([first, second], 1)[first < second]


def lasting_bonds(structure: Structure) -> np.ndarray:
    """The ``bonds`` that hold as long as a molecule does, int64 (B, 2).

    Clusters of metals, salts and melts flow: atoms change their neighbors, and nothing is broken. So bonds between two
    metals and those of the metals of groups 1 and 2 do not count; in what is periodic those of no metal do.
    """
    pairs = bonds(structure)
    numbers = structure.atomic_numbers[pairs]
    metals = ~np.isin(numbers, NONMETALS)
    flows = metals.any(1) if structure.pbc.any() else metals.all(1) | np.isin(numbers, CATIONS).any(1)
    return pairs[~flows]


def degrees_of_freedom(structure: Structure) -> int:
    """The number of ways to move that neither shift nor turn a structure: 3N - 6, or 3N - 5 of a straight molecule and
    3N - 3 of what is periodic, whose turns are no motion of its own.
    """
    centered = structure.positions - structure.positions.mean(0)
    spanned = np.linalg.matrix_rank(centered, tol=STRAIGHT * np.abs(centered).max())
    turns = 0 if structure.pbc.any() else (0, 2, 3, 3)[spanned]
    return 3 * len(structure) - 3 - turns


def fragments(structure: Structure, pairs: np.ndarray | None = None) -> np.ndarray:
    """Number the molecules that bonds hold together: for each atom, int64 (N,), the number of its own.

    Args:
        structure: the atoms.
        pairs: int64 (B, 2), the bonds; None for those of ``bonds``.
    """
    first, second = (bonds(structure) if pairs is None else pairs).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(structure), len(structure)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def cut_out(crystal: Structure, n_atoms: int, around: int = 0) -> Structure:
    """The ``n_atoms`` atoms of a crystal around one of its atoms, as an open structure."""
    cell, steps = np.asarray(crystal.cell), np.arange(-3, 4)
    images = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3) @ cell
    positions = (crystal.positions[None] - crystal.positions[around] + images[:, None]).reshape(-1, 3)
    nearest = np.argsort(np.linalg.norm(positions, axis=1), kind="stable")[:n_atoms]
    numbers = np.tile(crystal.atomic_numbers, len(images))[nearest]
    return Structure(f"{n_atoms} atoms of {crystal.name}", numbers, positions[nearest])


def bond_lengths(frames: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The distances (..., B) of bonded pairs in frames (..., N, 3), angstrom."""
    return np.linalg.norm(frames[..., pairs[:, 0], :] - frames[..., pairs[:, 1], :], axis=-1)


def nearest_unbonded(frames: np.ndarray, structure: Structure) -> float:
    """The smallest distance in frames (F, N, 3) of two atoms that have no lasting bond in ``structure``.

    It is a multiple of the sum of their covalent radii, and infinite where there are none. Metals that begin as near to
    each other as in V2 or Cr2 are left out.
    """
    first, second = np.triu_indices(len(structure), 1)
    pairs = lasting_bonds(structure)
    apart = ~np.isin(first * len(structure) + second, pairs[:, 0] * len(structure) + pairs[:, 1])
    radii = covalent_radii[structure.atomic_numbers]
    touching = radii[first] + radii[second]
    apart &= pdist(structure.positions) > MULTIPLE * touching
    touching = touching[apart]
    return min((float((pdist(x)[apart] / touching).min(initial=np.inf)) for x in frames), default=np.inf)


def out_of_plane(frames: np.ndarray) -> np.ndarray:
    """The root-mean-square distances (...,) of ring atoms (..., R, 3) from their best plane, angstrom."""
    centered = frames - frames.mean(-2, keepdims=True)
    return np.linalg.svd(centered, compute_uv=False)[..., -1] / np.sqrt(frames.shape[-2])


def facing(structure: Structure, atom: int) -> np.ndarray:
    """Positions (N, 3), angstrom, turned so that ``atom`` is at the origin and its molecule lies towards -z."""
    positions = structure.positions - structure.positions[atom]
    others = np.delete(positions, atom, axis=0)
    outward = -others.mean(0) if len(others) else np.array([0.0, 0.0, 1.0])
    rotation, _ = Rotation.align_vectors([[0.0, 0.0, 1.0]], [outward / np.linalg.norm(outward)])
    return rotation.apply(positions)


def contact(a: Structure, atom_a: int, b: Structure, atom_b: int, distance_A: float) -> Structure:
    """Two molecules that face each other with one atom each; these two are on the z axis, ``distance_A`` apart."""
    upper = facing(b, atom_b) * np.array([1.0, -1.0, -1.0]) + np.array([0.0, 0.0, distance_A])
    return joined([moved(a, facing(a, atom_a)), moved(b, upper)], f"{a.name} + {b.name}")


def random_cluster(rng: np.random.Generator, elements: Sequence[int], n_atoms: int, spacing_A: float) -> Structure:
    """Atoms on a jittered lattice: without symmetry, and no two closer than about 0.8 of the spacing."""
    side = int(np.ceil(n_atoms ** (1 / 3)))
    sites = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    sites = sites[np.argsort(np.linalg.norm(sites - (side - 1) / 2, axis=1), kind="stable")[:n_atoms]]
    positions = (sites + rng.uniform(-0.1, 0.1, sites.shape)) * spacing_A
    return Structure(f"{n_atoms} atoms", rng.choice(elements, n_atoms), positions)


def droplet(molecules: Sequence[Structure], min_atoms: int, atoms_per_A3: float, rng: np.random.Generator) -> Structure:
    """Molecules on a cubic lattice of the given density, filled from its middle, each turned away from the others."""
    mean_size = float(np.mean([len(molecule) for molecule in molecules]))
    count = int(np.ceil(min_atoms / mean_size))
    side = int(np.ceil(0.62 * count ** (1.0 / 3.0))) + 1  # of a cube around the sphere that they fill
    reach = np.arange(-side, side + 1)
    sites = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3) + 0.1
    sites = sites[np.argsort((sites**2).sum(1), kind="stable")][:count] * (mean_size / atoms_per_A3) ** (1.0 / 3.0)
    placed: list[Structure] = []
    for k, site in enumerate(sites):
        molecule = molecules[k % len(molecules)]
        centered = molecule.positions - molecule.positions.mean(0)
        choices = [centered @ turn.T + site for turn in random_rotations(12, rng)]
        others = np.concatenate([np.full((1, 3), np.inf), *[structure.positions for structure in placed]])
        away = np.linalg.norm(others - site, axis=1)
        width_A = 2.0 * np.linalg.norm(centered, axis=1).max()
        others = others[away <= away.min() + width_A]  # no other atom can be the nearest to one of the molecule
        gaps = [np.linalg.norm(x[:, None] - others[None], axis=-1).min() for x in choices]
        placed.append(moved(molecule, choices[int(np.argmax(gaps))]))
    return joined(placed, "droplet")
