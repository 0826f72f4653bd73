"""Elements that a student names and its reference lacks: what is added, and what the verdict says of the rest."""

from dataclasses import replace

import ase.build
import numpy as np
import pytest

from assay.data.dataset import from_structures
from assay.data.store import StoreWriter
from assay.physics.base import Subject
from assay.physics.checks import measure
from assay.physics.coverage import completed, gaps, unseen
from assay.physics.crystals import crystals
from assay.physics.reference import DYNAMICS as MOLECULE
from assay.physics.reference import SCALED_CELL, Frame, Reference, geometries, read_reference
from assay.physics.verdict import table, verdict_of
from assay.predictors.interface import Prediction
from assay.structures.structure import Structure
from shared.physics_toys import CONFIG, DYNAMICS, THRESHOLDS, predictor
from shared.workflow_copy import ROOT

GFN2 = CONFIG["teacher"]["name"]
SHIPPED = read_reference(ROOT / CONFIG["physics"]["reference"])
OF_THE_SHIPPED_STUDENTS = {1, 6, 7, 8, 9, 15, 16, 17, 35}
FLAT = np.array([[0.0, 0.0, 0.0], [1.9, 0.0, 0.0], [-1.9, 0.0, 0.0], [1.9, 1.1, 0.0], [-1.9, 1.1, 0.0]])


def labelled(name, numbers, positions):
    return Structure(name, np.array(numbers), positions, energy_eV=-1.0, forces_eV_per_A=np.zeros_like(positions))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """Structures of a student of carbon, hydrogen and calcium, among others."""
    path = tmp_path_factory.mktemp("own") / "validation.h5"
    rock = Structure.from_ase(ase.build.bulk("CaC", "rocksalt", a=4.8, cubic=True))
    with StoreWriter(path) as store:
        store.add(
            from_structures(
                [
                    labelled("methane", [6, 1, 1, 1, 1], FLAT),
                    labelled("calcium", [20, 6, 6, 1, 1], FLAT),
                    labelled("zinc", [30, 6, 6, 1, 1], FLAT),
                    Structure(
                        "rock", rock.atomic_numbers, rock.positions, rock.cell, rock.pbc, -1.0, np.zeros((len(rock), 3))
                    ),
                ]
            )
        )
    return path


@pytest.mark.parametrize(
    ("elements", "missing"),
    [
        (OF_THE_SHIPPED_STUDENTS, []),
        (None, []),
        ({1, 6, 20}, [20]),
        ({1, 6, 9, 20}, [20]),
        ({11, 17}, [11, 17]),
        ({1, 8}, [1, 8]),  # water is a minimum of the reference, of which the checks without a teacher see nothing
    ],
)
def test_every_element_that_a_student_names_is_asked_for(elements, missing):
    assert unseen(SHIPPED, elements) == missing


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_of_each_composition_the_structure_of_the_lowest_energy_is_looked_at(order):
    frames = [replace(labelled(f"{k}", [6, 1, 1, 1, 1], FLAT), energy_eV=e) for k, e in enumerate((-3.0, -7.0, -5.0))]
    [frame] = geometries([frames[k] for k in order]).frames
    assert (frame.structure.name, frame.kind, frame.group) == ("1", MOLECULE, "CH4")


def subject(elements, reference, teacher=GFN2):
    student = predictor()
    student.elements = None if elements is None else frozenset(elements)
    return Subject(student, student, reference, DYNAMICS, teacher=teacher)


@pytest.mark.parametrize("elements", [OF_THE_SHIPPED_STUDENTS, {1, 6}, {1, 6, 9, 17}])
def test_a_molecule_of_the_checks_holds_each_element_that_counts_as_seen(elements):
    asked = subject(elements, SHIPPED)
    for molecules in (asked.molecules, asked.small):
        assert {z for molecule in molecules for z in molecule.atomic_numbers.tolist()} == elements


def test_an_element_of_a_crystal_alone_is_cut_out_beside_the_molecules():
    salt = Structure.from_ase(ase.build.bulk("NaCl", "rocksalt", a=5.64, cubic=True), "salt")
    found = Reference([*SHIPPED.frames, Frame(salt, SCALED_CELL, "salt", 1.0)], GFN2)
    asked = subject(OF_THE_SHIPPED_STUDENTS | {11}, found)
    assert unseen(found, asked.elements) == []
    assert asked.molecules[-1].name == "13 atoms of salt" and asked.molecules[-1].atomic_numbers[0] == 11


class Planted:
    """The faultless student of the elements of the shipped ones, and a fault wherever there are atoms of one element.

    ``fault`` takes the displacements (N, N, 3) and a mask (N, N) of pairs whose first atom is of the element, and
    returns an energy and forces (N, 3) to add, and a factor of the stress.
    """

    name, runtime, device, dtype, cutoff_A, max_z = "planted", "eager", "cpu", "float64", 5.0, 35
    elements = frozenset(OF_THE_SHIPPED_STUDENTS)

    def __init__(self, z, fault):
        self.z, self.fault, self.inner = z, fault, predictor()

    def predict(self, structures):
        known = [replace(s, atomic_numbers=np.minimum(s.atomic_numbers, 20)) for s in structures]
        return [self._one(s, p) for s, p in zip(structures, self.inner.predict(known), strict=True)]

    def _one(self, structure, found):
        gaps = structure.positions[:, None] - structure.positions[None]
        ours = (structure.atomic_numbers[:, None] == self.z) & ~np.eye(len(gaps), dtype=bool)
        energy, forces, factor = self.fault(gaps, ours)
        stress = found.stress_eV_per_A3
        scaled = None if stress is None else stress * (factor if ours.any() else 1.0)
        return Prediction(found.energy_eV + energy, found.forces_eV_per_A + forces, scaled)


def oriented(gaps, ours):
    """An energy for the direction of bonds, with forces that are its gradient."""
    up = 0.1 * np.where(ours & (np.linalg.norm(gaps, axis=-1) < 2.2), gaps[..., 2], 0.0)
    return 5.0 * float((up**2).sum()), (up.sum(0) - up.sum(1))[:, None] * np.array([0.0, 0.0, 1.0]), 1.0


def pushing(gaps, ours):
    """A force of 0.1 eV/angstrom between bonded atoms, without an energy."""
    distance = np.linalg.norm(gaps, axis=-1, keepdims=True)
    push = np.where(ours[..., None] & (distance < 2.2), 0.1 * gaps / np.maximum(distance, 1e-9), 0.0)
    return 0.0, push.sum(1) - push.sum(0), 1.0


def jumping(gaps, ours):
    """An energy that pairs of two atoms of the element lose by a jump at the cutoff."""
    return 0.05 * float((ours & ours.T & (np.linalg.norm(gaps, axis=-1) < 5.0)).sum()), 0.0, 1.0


def overstressed(gaps, ours):
    """A stress of twice its size in any structure with the element."""
    return 0.0, 0.0, 2.0


@pytest.mark.parametrize("z", [9, 15, 17, 35])  # those in the fewest molecules
@pytest.mark.parametrize(
    ("fault", "checks"),
    [
        (oriented, ["rotation"]),
        (pushing, ["work", "force_consistency"]),
        (jumping, ["cutoff"]),
        (overstressed, ["stress"]),
    ],
)
def test_a_fault_of_one_element_alone_fails(fault, checks, z):
    student = Planted(z, fault)
    judged = verdict_of(measure(Subject(student, student, SHIPPED, DYNAMICS, teacher=GFN2), checks), THRESHOLDS)
    assert {name: check["outcome"] for name, check in judged["checks"].items()} == dict.fromkeys(checks, "fail")


def test_each_crystal_with_an_element_of_its_own_is_strained():
    metals = [Structure.from_ase(ase.build.bulk(symbol, cubic=True), symbol) for symbol in ("Al", "Cu", "Ni", "Pd")]
    found = Reference([Frame(metal, SCALED_CELL, metal.name, 1.0) for metal in metals])
    asked = subject({13, 28, 29, 46}, found)
    asked.predictor.predict = lambda structures: []
    assert {crystal.name for crystal in crystals(asked)} == {"Al", "Cu", "Ni", "Pd"}


def test_held_out_structures_with_a_missing_element_come_before_the_reference(held_out):
    found = completed(SHIPPED, {1, 6, 20}, [held_out])
    assert (found.teacher, unseen(found, {1, 6, 20})) == (GFN2, [])
    names = [molecule.name for molecule in subject({1, 6, 20}, found).molecules]
    assert names == ["calcium", "benzene", "hexane"]
    assert [structure.name for structure in subject({1, 6, 20}, found).crystals] == ["rock"]
    results = measure(subject({1, 6, 20}, found), ["rotation", "stability", "bonds", "equation_of_state"])
    outcomes = {name: (row["status"], row["lacks"]) for name, row in results.items()}
    measured = ("measured", None)
    assert outcomes == {
        "rotation": measured, "stability": measured, "bonds": measured,
        "equation_of_state": ("not applicable", "reference"),
    }  # fmt: skip
    assert set(results["bonds"]["raw"]["bonds"]) == {"benzene"}


def test_a_bare_atom_is_no_structure_of_the_checks(tmp_path):
    atom = labelled("atom", [20], np.zeros((1, 3)))
    boxed = replace(atom, cell=12.0 * np.eye(3), pbc=np.ones(3, dtype=bool))
    salt = labelled("calcium", [20, 6, 6, 1, 1], FLAT)
    known = {1, 6, 20}
    for name, structures, left in (("beside", [atom, boxed, salt], []), ("alone", [boxed, atom], [20])):
        with StoreWriter(tmp_path / f"{name}.h5") as store:
            for structure in structures:
                store.add(from_structures([structure]))
        found = completed(SHIPPED, known, [tmp_path / f"{name}.h5"])
        assert unseen(found, known) == left
        results = measure(subject(known, found), ["elements", "jacobian_symmetry", "force_consistency"])
        judged = verdict_of(results, THRESHOLDS)
        assert {check["outcome"] for check in judged["checks"].values()} == {"pass"}


def test_nothing_is_added_where_the_reference_has_all_elements(held_out):
    assert completed(SHIPPED, OF_THE_SHIPPED_STUDENTS, [held_out]) is SHIPPED
    assert completed(SHIPPED, {1, 6, 20}, []) is SHIPPED
    assert completed(SHIPPED, {1, 6}, [held_out]).groups(SCALED_CELL) == {}


def test_an_element_that_no_check_saw_caps_the_verdict(held_out):
    known = {1, 6, 20, 21}
    found = completed(SHIPPED, known, [held_out])
    seen_by_none, by_no_teacher = (
        "no structure of the checks holds Sc", f"the reference of {GFN2} has no molecule or crystal with Ca",
    )  # fmt: skip
    assert gaps(SHIPPED, found, known, GFN2) == [seen_by_none, by_no_teacher]
    assert gaps(SHIPPED, found, known, "another") == [seen_by_none]
    assert gaps(SHIPPED, SHIPPED, {1, 6, 20}, GFN2) == ["no structure of the checks holds Ca"]
    assert gaps(SHIPPED, SHIPPED, OF_THE_SHIPPED_STUDENTS, GFN2) == gaps(SHIPPED, SHIPPED, None, GFN2) == []
    results = measure(subject(known, found), ["rotation", "reflection"])
    assert verdict_of(results, THRESHOLDS)["verdict"] == "md-ready"
    judged = verdict_of(results, THRESHOLDS, [seen_by_none, by_no_teacher])
    assert judged["verdict"] == "screening-only"
    assert judged["capped"] == f"screening-only at most, because {seen_by_none}; {by_no_teacher}"
    assert judged["capped"] in table(judged)
