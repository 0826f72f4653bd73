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
from assay.physics.reference import SCALED_CELL, Frame, Reference, read_reference
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


def subject(elements, reference, teacher=GFN2):
    student = predictor()
    student.elements = None if elements is None else frozenset(elements)
    return Subject(student, student, reference, DYNAMICS, teacher=teacher)


@pytest.mark.parametrize("elements", [OF_THE_SHIPPED_STUDENTS, {1, 6}, {1, 6, 9, 17}])
def test_a_molecule_of_the_checks_holds_each_element_that_counts_as_seen(elements):
    asked = subject(elements, SHIPPED)
    assert {z for molecule in asked.molecules for z in molecule.atomic_numbers.tolist()} == elements


def test_an_element_of_a_crystal_alone_is_cut_out_beside_the_molecules():
    salt = Structure.from_ase(ase.build.bulk("NaCl", "rocksalt", a=5.64, cubic=True), "salt")
    found = Reference([*SHIPPED.frames, Frame(salt, SCALED_CELL, "salt", 1.0)], GFN2)
    asked = subject(OF_THE_SHIPPED_STUDENTS | {11}, found)
    assert unseen(found, asked.elements) == []
    assert asked.molecules[-1].name == "13 atoms of salt" and asked.molecules[-1].atomic_numbers[0] == 11


class Oriented:
    """The faultless student, with an energy for the direction of the bonds of one element; forces are its gradient."""

    def __init__(self, z):
        self.z, self.inner = z, predictor()
        self.elements, self.cutoff_A, self.max_z = frozenset(OF_THE_SHIPPED_STUDENTS), 5.0, 35
        self.name, self.runtime, self.device, self.dtype = "oriented", "eager", "cpu", "float64"

    def predict(self, structures):
        lighter = [replace(s, atomic_numbers=np.minimum(s.atomic_numbers, 20)) for s in structures]
        return [self._one(s, p) for s, p in zip(structures, self.inner.predict(lighter), strict=True)]

    def _one(self, structure, found):
        gaps = structure.positions[:, None] - structure.positions[None]
        rows, columns = np.nonzero((np.linalg.norm(gaps, axis=-1) < 2.2) & ~np.eye(len(gaps), dtype=bool))
        energy, forces = found.energy_eV, found.forces_eV_per_A.copy()
        for i, j in zip(rows, columns, strict=True):
            if structure.atomic_numbers[i] == self.z:
                energy += 0.05 * gaps[i, j, 2] ** 2
                push = np.array([0.0, 0.0, 0.1 * gaps[i, j, 2]])
                forces[i], forces[j] = forces[i] - push, forces[j] + push
        return Prediction(energy, forces)


@pytest.mark.parametrize("z", sorted(OF_THE_SHIPPED_STUDENTS))
def test_a_fault_of_one_element_alone_fails(z):
    student = Oriented(z)
    results = measure(Subject(student, student, SHIPPED, DYNAMICS, teacher=GFN2), ["rotation"])
    assert verdict_of(results, THRESHOLDS)["checks"]["rotation"]["outcome"] == "fail"


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
        outcomes = {"pass"} if name == "beside" else {"pass", "not applicable"}  # only calcium's molecule is small
        with StoreWriter(tmp_path / f"{name}.h5") as store:
            for structure in structures:
                store.add(from_structures([structure]))
        found = completed(SHIPPED, known, [tmp_path / f"{name}.h5"])
        assert unseen(found, known) == left
        results = measure(subject(known, found), ["elements", "jacobian_symmetry", "force_consistency"])
        judged = verdict_of(results, THRESHOLDS)
        assert {check["outcome"] for check in judged["checks"].values()} == outcomes


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
