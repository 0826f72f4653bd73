"""What breaks in dynamics besides bonds: chains whose ends collapse, and what has no bonds to lose."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from assay.physics.base import Subject
from assay.physics.checks import measure
from assay.physics.reference import DYNAMICS, Frame, Reference
from assay.structures.geometry import bonds, degrees_of_freedom, lasting_bonds, nearest_unbonded
from assay.structures.structure import Structure
from shared import physics_toys
from shared.physics_toys import TEACHER, Springs

CHAIN = Structure(
    "chain", np.array([6, 6, 6, 6]), np.array([[0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [2.0, 1.41, 0.0], [3.5, 1.45, 0.2]])
)
BONDS = bonds(CHAIN)


def springs(pull_eV_per_A2):
    """Bonds that hold, and a pull between the ends of the chain."""
    lengths = np.linalg.norm(np.diff(CHAIN.positions, axis=0), axis=1)
    return Springs([(0, 3, 0.0, pull_eV_per_A2), *((k, k + 1, x, 10.0) for k, x in enumerate(lengths))])


def stability(student, structure, **options):
    settings = physics_toys.DYNAMICS["stability"] | {"duration_fs": 600.0} | options
    reference = Reference([Frame(structure, DYNAMICS, structure.name)], TEACHER)
    subject = Subject(student, student, reference, {"stability": settings}, teacher=TEACHER)
    return measure(subject, ["stability"])["stability"]


@pytest.mark.parametrize(("pull_eV_per_A2", "broken"), [(0.0, 0.0), (0.3, 1.0)])
def test_atoms_that_fall_onto_each_other_break_a_molecule_whose_bonds_hold(pull_eV_per_A2, broken):
    assert BONDS.tolist() == [[0, 1], [1, 2], [2, 3]]
    found = stability(springs(pull_eV_per_A2), CHAIN)
    assert found["values"] == {"broken_fraction": broken}
    [run] = found["raw"]["runs"]
    assert run["largest_stretch_A"] < 0.5 and (run["nearest_unbonded"] < 0.7) == bool(broken)


def test_each_molecule_is_run_at_each_temperature_and_said_to_be():
    settings = physics_toys.DYNAMICS["stability"] | {"temperatures_K": [1.0, 900.0], "duration_fs": 30.0}
    asked = physics_toys.subject(physics_toys.predictor())
    asked.dynamics = asked.dynamics | {"stability": settings}
    runs = measure(asked, ["stability"])["stability"]["raw"]["runs"]
    names = ["alpha", "beta", "gamma"]
    assert [(run["molecule"], run["temperature_K"]) for run in runs] == [(n, t) for t in (1.0, 900.0) for n in names]
    stretches = [run["largest_stretch_A"] for run in runs]
    assert max(stretches[:3]) < 0.02 < 0.05 < min(stretches[3:])


def test_the_nearest_atoms_are_those_without_a_bond():
    ends = np.linalg.norm(CHAIN.positions[0] - CHAIN.positions[2])
    assert nearest_unbonded(CHAIN.positions[None], CHAIN) == pytest.approx(ends / 1.52)
    hydrogen = Structure("hydrogen", np.array([1, 1]), np.array([[0.0, 0.0, 0.0], [0.74, 0.0, 0.0]]))
    assert nearest_unbonded(hydrogen.positions[None], hydrogen) == np.inf


def test_what_has_no_bond_loses_none():
    far = Structure("argon", np.array([18, 18]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 3.8]]))
    assert stability(physics_toys.predictor(), far)["values"] == {"broken_fraction": 0.0}


def test_the_end_of_a_run_that_keeps_no_frame_is_looked_at():
    found = stability(springs(30.0), CHAIN, duration_fs=9.0)
    assert found["values"] == {"broken_fraction": 1.0}


def test_bonds_of_metals_and_salts_may_change_and_those_of_molecules_may_not():
    def lasting(atoms):
        structure = Structure.from_ase(atoms, "it")
        return sorted({"".join(atoms.symbols[list(pair)]) for pair in lasting_bonds(structure)})

    triangle = [[0.0, 0.0, 0.0], [2.6, 0.0, 0.0], [1.3, 2.25, 0.0]]
    assert lasting(Atoms("Al3", triangle)) == lasting(Atoms("NaCl", triangle[:2])) == []
    assert lasting(Atoms("ZnCH", [[0.0, 0.0, 0.0], [1.95, 0.0, 0.0], [3.0, 0.0, 0.0]])) == ["CH", "ZnC"]
    assert lasting(Atoms("LiCH", [[0.0, 0.0, 0.0], [1.95, 0.0, 0.0], [3.0, 0.0, 0.0]])) == ["CH"]
    oxide = Atoms("ZnOH", [[0.0, 0.0, 0.0], [1.9, 0.0, 0.0], [2.8, 0.0, 0.0]], cell=[9.0, 9.0, 9.0], pbc=True)
    assert lasting(oxide) == ["OH"]


def test_a_cluster_that_flows_is_whole_until_it_collapses():
    triangle = Structure("Al3", np.array([13] * 3), np.array([[0.0, 0.0, 0.0], [2.6, 0.0, 0.0], [1.3, 2.25, 0.0]]))
    sides = [(0, 1), (0, 2), (1, 2)]

    def judged(length_A, strength=2.0):
        return stability(Springs([(*side, length_A, strength) for side in sides]), triangle)["values"]

    assert judged(3.4) == {"broken_fraction": 0.0} and judged(0.9) == {"broken_fraction": 1.0}


@pytest.mark.parametrize(("name", "expected"), [("CO2", 4), ("H2O", 3), ("N2", 1), ("CH4", 9), ("N", 0)])
def test_degrees_of_freedom_leave_out_shifts_and_turns(name, expected):
    atoms = molecule(name)
    atoms.rotate(40.0, (1.0, 2.0, 3.0))
    atoms.translate([900.0, 0.0, 0.0])
    assert degrees_of_freedom(Structure.from_ase(atoms, name)) == expected
    atoms.set_cell([20.0] * 3)
    atoms.pbc = True
    assert degrees_of_freedom(Structure.from_ase(atoms, name)) == 3 * len(atoms) - 3
