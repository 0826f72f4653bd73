"""The geometries of molecules, and of other matter, that are labelled."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from ase import units
from rdkit import Chem
from rdkit.Chem.rdMolTransforms import GetDihedralDeg
from scipy.spatial.distance import cdist, pdist

from assay.dynamics.langevin import langevin
from assay.sampling.distortion import (
    element_pairs,
    nanodiamond,
    place_dimer,
    stretch_bonds,
    turn_torsions,
    turning_torsions,
)
from assay.sampling.elements import ELEMENTS
from assay.sampling.mechanics import Mechanics, MechanicsError, embed
from assay.sampling.recipes import (
    Geometry,
    Skipped,
    clusters,
    diamonds,
    diatomics,
    droplets,
    facing,
    sampled,
    scans,
    student_md,
)
from assay.structures.geometry import contact, superposed_rmsd
from shared.molecules import shaken

ROOT = Path(__file__).parents[1]
STUDENT = ROOT / "data/dataset/driver.pt"


@pytest.mark.parametrize("smiles", ["OCC(N)=O", "CP(C)(C)=C", "Clc1ccoc1Br"])
def test_classical_forces_belong_to_the_positions_asked_for(smiles):
    """A cached distance matrix would give the forces of older positions."""
    mechanics = Mechanics(embed(smiles, 1, 3))
    start = mechanics.molecule.GetConformer().GetPositions()
    moved = start + np.random.default_rng(0).normal(0.0, 0.1, start.shape)
    mechanics.forces(start)
    forces = mechanics.forces(moved)
    np.testing.assert_allclose(forces, Mechanics(embed(smiles, 1, 3)).forces(moved), atol=1e-10)
    assert np.abs(forces - mechanics.forces(start)).max() > 0.5
    assert np.abs(mechanics.forces(mechanics.minimize(start, 2000))).max() < 1e-2


def test_what_rdkit_cannot_build_is_skipped_not_fatal():
    with pytest.raises(MechanicsError):
        embed("C1#CC1", 1, 1)
    outcomes = list(sampled([("x", "C1#CC1")], 1, {"thermal": 1.0}, 1, (300.0, 400.0)))
    assert [outcome.reason for outcome in outcomes] == ["mechanics"]


def test_a_minimizer_that_gives_up_costs_one_geometry(monkeypatch):
    """The force field of RDKit gives up like this where two atoms coincide."""
    minimize, calls = Mechanics.minimize, []

    def giving_up(self, positions, max_steps=200):
        calls.append(positions)
        if len(calls) == 2:
            positions = np.concatenate([positions[:1], positions[:1], positions[2:]])
        return minimize(self, positions, max_steps)

    monkeypatch.setattr(Mechanics, "minimize", giving_up)
    outcomes = list(sampled([("x", "CCO")], 1, {"relaxed": 1.0}, 3, (300.0, 400.0)))
    assert [isinstance(outcome, Skipped) for outcome in outcomes] == [False, True, False]


def test_langevin_keeps_the_temperature_and_verlet_the_energy():
    masses, stiffness = np.linspace(1.0, 16.0, 40), 5.0
    rng = np.random.default_rng(2)
    start = np.zeros((40, 3))
    steps = islice(langevin(lambda x: -stiffness * x, masses, start, 400.0, rng, 0.5, 0.05), 500, 8000)
    energies = np.array([(0.5 * stiffness * x**2).sum() for x, _ in steps])
    assert energies.mean() == pytest.approx(60 * units.kB * 400.0, rel=0.03)
    steps = islice(langevin(lambda x: -stiffness * x, masses, start, 400.0, rng, 0.1, 0.0), 500)
    total = [0.5 * stiffness * (x**2).sum() + 0.5 * (masses[:, None] * v**2).sum() for x, v in steps]
    assert np.ptp(total) < 1e-3 * np.mean(total)


def test_distortions_reach_what_they_promise():
    rng = np.random.default_rng(4)
    butanol = embed("CCCCO", 1, 1)
    positions = butanol.GetConformer().GetPositions()
    bonds = np.array([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in butanol.GetBonds()])

    def lengths(x):
        return np.linalg.norm(x[bonds[:, 0]] - x[bonds[:, 1]], axis=1)

    ratios = np.array([lengths(stretch_bonds(butanol, positions, rng)) / lengths(positions) for _ in range(40)])
    assert ratios.min() < 0.85 and ratios.max() > 1.35 and ratios.min() > 0.74 and ratios.max() < 1.51
    assert set((np.abs(ratios - 1.0) > 1e-6).sum(axis=1)) <= {1, 2, 3}
    turned = turn_torsions(butanol, positions, rng)
    np.testing.assert_allclose(lengths(turned), lengths(positions), atol=1e-6)
    assert np.abs(pdist(turned) - pdist(positions)).max() > 0.1
    for distance in (1.5, 4.0):
        pair = place_dimer(positions, positions, distance, rng)
        assert cdist(pair[: len(positions)], pair[len(positions) :]).min() == pytest.approx(distance, abs=1e-6)


def test_molecules_that_face_each_other_are_no_mirror_images():
    first, second = shaken("CH3CH2OH", 1)[0], shaken("CH3CH2OH", 1, seed=1)[0]
    pair = contact(first, 3, second, 5, 2.5).positions
    for own, placed in ((first, pair[:9]), (second, pair[9:])):
        assert superposed_rmsd(own.positions, placed) < 1e-7 < superposed_rmsd(own.positions, -placed)
    np.testing.assert_allclose(pair[9 + 5] - pair[3], [0.0, 0.0, 2.5], atol=1e-12)
    assert np.delete(pair[:9], 3, 0)[:, 2].mean() < 0.0 and np.delete(pair[9:], 5, 0)[:, 2].mean() > 2.5


def test_both_atoms_of_a_bond_in_a_ring_move_by_half_of_what_it_stretches():
    ring = embed("C1CCCC1", 1, 0)
    positions, rng = ring.GetConformer().GetPositions()[:5], np.random.default_rng(0)
    ring = Chem.RemoveHs(ring)
    for _ in range(20):
        moved = stretch_bonds(ring, positions, rng)
        assert np.abs(moved - positions).max() > 1e-3
        np.testing.assert_allclose(moved.mean(axis=0), positions.mean(axis=0), atol=1e-12)


def test_a_scan_turns_each_bond_through_all_angles():
    smiles = {"ethane": "CC", "glycol": "OCCO", "broken": "C1#CC1", "amide": "CNC(C)=O"}
    angles: dict[tuple[str, ...], list[float]] = {}
    for scanned in scans(list(smiles.items()), 1, 4):
        if isinstance(scanned, Skipped):
            continue
        molecule = Chem.AddHs(Chem.MolFromSmiles(smiles[scanned.molecule]))
        molecule.AddConformer(Chem.Conformer(molecule.GetNumAtoms()))
        molecule.GetConformer().SetPositions(scanned.positions)
        bond, asked = scanned.name.split("-scan-")[1].split("deg")[0].split("-", 1)
        (torsion,) = (t for t in turning_torsions(molecule) if bond == f"{t[1]}.{t[2]}")
        angle = GetDihedralDeg(molecule.GetConformer(), *torsion)
        angles.setdefault((scanned.molecule, bond), []).append(float(asked))
        assert abs((angle - float(asked) + 180.0) % 360.0 - 180.0) < 12.0, "apart from noise, it stands at its angle"
    assert [molecule for molecule, _ in angles] == ["glycol"] * 3 + ["amide"]
    for scan in angles.values():
        assert (np.floor((np.array(scan) + 180.0) / 90.0) == np.arange(4)).all(), "one angle in each quarter of a turn"


def test_facing_molecules_meet_with_atoms_of_any_element():
    small = [("fluoride", "CF"), ("nitrile", "CC#N"), ("broken", "C1#CC1")]
    outcomes = list(facing(small, 2, count=150, distances_A=(1.2, 1.6)))
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, Skipped)} == {"mechanics"}
    pairs, met = [outcome for outcome in outcomes if isinstance(outcome, Geometry)], set()
    for pair in pairs:
        whole = cdist(pair.positions, pair.positions)
        distance = float(pair.name.split("-")[-2][:-1])
        met |= {frozenset(pair.atomic_numbers[list(ends)]) for ends in np.argwhere(np.abs(whole - distance) < 0.006)}
    assert {frozenset({7}), frozenset({7, 9}), frozenset({1, 7})} <= met


def test_every_pair_of_elements_is_scanned():
    pairs = {tuple(numbers) for numbers, _ in element_pairs(5)}
    assert len(pairs) == len(ELEMENTS) * (len(ELEMENTS) + 1) // 2
    assert len(list(diatomics(5))) == 5 * len(pairs)
    close = list(diatomics(100, [15], [1.33, 1.76], 3))
    assert len(close) == 3 * 21 and {g.name for g in close} <= {g.name for g in diatomics(100)}
    assert all(g.molecule == "pair:PP" and 1.33 <= g.positions[1, 2] <= 1.76 for g in close)
    hydrogens = [x[1, 2] for numbers, x in element_pairs(5) if set(numbers) == {1}]
    assert hydrogens[0] < 0.35 and hydrogens[-1] == pytest.approx(6.0)


def test_a_nanodiamond_is_saturated_and_uncrowded():
    """Every carbon has four bonds, every hydrogen one, and no two hydrogens share a site."""
    for radius, center in ((2.5, [0.3, -0.2, 0.1]), (3.4, [0.0, 0.5, -0.4]), (4.2, [0.7, 0.1, 0.2])):
        numbers, positions = nanodiamond(radius, np.array(center))
        distances = cdist(positions, positions) + 9.0 * np.eye(len(numbers))
        assert ((distances < 1.7).sum(1) == np.where(numbers == 6, 4, 1)).all()
        hydrogens = numbers == 1
        assert 10 <= hydrogens.sum() < 110 and distances[np.ix_(hydrogens, hydrogens)].min() > 1.7
    assert len(nanodiamond(0.2, np.array([0.8, 0.8, 0.8]))[0]) == 0


def test_dense_matter_is_denser_than_molecules():
    small = [("water", "O"), ("broken", "C1#CC1"), ("methanol", "CO"), ("ammonia", "N")]
    drops = list(droplets(small, 1, count=8, n_molecules=2, n_atoms=(50, 60), over_liquid=(1.5, 1.5)))
    made = [drop for drop in drops if isinstance(drop, Geometry)]
    assert made and {drop.reason for drop in drops if isinstance(drop, Skipped)} <= {"mechanics"}
    for drop in made:
        middle = np.linalg.norm(drop.positions - drop.positions.mean(0), axis=1) < 4.0
        assert middle.sum() / (4 / 3 * np.pi * 4.0**3) > 0.11
    pieces = [piece for piece in diamonds(1, 6, (3.0, 4.2), (0.92, 0.92)) if isinstance(piece, Geometry)]
    neighbors = [(cdist(piece.positions, piece.positions) < 5.0).sum(1).max() - 1 for piece in pieces]
    assert max(neighbors) > 70, "as many as in a solid under pressure"


def test_clusters_are_of_all_elements_and_no_two_alike():
    made = list(clusters(1, 30, n_atoms=(2, 20), spacings_A=(1.8, 2.4)))
    assert len({cluster.name for cluster in made}) == len({cluster.positions.tobytes() for cluster in made}) == 30
    assert set(np.concatenate([cluster.atomic_numbers for cluster in made])) == set(ELEMENTS)
    for cluster in made:
        nearest = (cdist(cluster.positions, cluster.positions) + 9.0 * np.eye(len(cluster.positions))).min(1)
        assert 0.75 * 1.8 < nearest.min() and nearest.max() < 1.5 * 2.4


def test_forces_of_a_student_move_molecules_at_their_temperature():
    student = {"checkpoint": str(STUDENT), "sha256": ""}
    motion = {"frames": 4, "temperatures_K": (300.0, 300.0), "thermalization_fs": 60.0, "interval_fs": 20.0}
    molecules = [("alcohol", "CCCCO"), ("broken", "C1#CC1"), ("amide", "CCC(=O)N")]

    def outcomes(turned, seed=1):
        return list(student_md(molecules, seed, student, turned=turned, time_step_fs=1.0, **motion))

    skipped, *frames = outcomes(0.0)
    assert skipped.reason == "mechanics"
    assert [frame.molecule for frame in frames] == ["alcohol"] * 4 + ["amide"] * 4
    bonds = np.argwhere(np.triu(cdist(frames[0].positions, frames[0].positions) < 1.7, 1))
    lengths = np.array(
        [np.linalg.norm(f.positions[bonds[:, 0]] - f.positions[bonds[:, 1]], axis=1) for f in frames[:4]]
    )
    assert 0.01 < lengths.std(0).mean() < 0.1, "bonds should swing as at 300 K"
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(frames, outcomes(0.0)[1:], strict=True))
    turned, straight = (pdist(outcomes(share, seed=2)[1].positions) for share in (1.0, 0.0))
    assert np.abs(turned - straight).max() > 1.0
