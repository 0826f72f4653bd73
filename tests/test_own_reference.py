"""A reference of somebody's own molecules: what is asked of them, and how the workflow makes and takes it."""

from dataclasses import replace
from functools import partial

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from scipy.spatial.distance import pdist

from assay.physics.base import Subject
from assay.physics.checks import CHECKS, measure
from assay.physics.labelling import Entry, TeacherPredictor, finished_part, make_reference, minimum, moved_by_teacher
from assay.physics.own_structures import _faces, make_own_reference, own_crystals, own_molecules
from assay.physics.reference import DYNAMICS as DYNAMICS_FRAME
from assay.physics.reference import SCALED_CELL, Frame, Reference, geometries, read_reference
from assay.physics.verdict import verdict_of
from assay.predictors.interface import Prediction
from assay.sampling.teacher import Teacher
from assay.structures.geometry import contact
from assay.structures.structure import Structure
from assay.workflow.config import load_config
from assay.workflow.errors import AssayError
from assay.workflow.teachers import own_reference, reference_files
from shared.physics_toys import DYNAMICS, THRESHOLDS, Springs
from shared.workflow_copy import ROOT, lay_out, snakemake

CONFIG = load_config(ROOT / "config")
GFN2 = Teacher(**CONFIG["teacher"])
EMT = {"name": "EMT of ASE", "calculator": "ase.calculators.emt.EMT", "arguments": {}}
DISTANCES = {"from": 0.8, "to": 4.0, "count": 9}
QUICK = CONFIG["physics"]["reference_recipe"] | {
    "conformers": 2,
    "dynamics": {"temperature_K": 300.0, "step_fs": 1.0, "n_steps": 120, "friction_per_fs": 0.02, "seed": 0},
    "contact_distances_A": {"from": 1.5, "to": 5.0, "count": 8},
    "dimer_distances": DISTANCES,
}
CRYSTAL = ["equation_of_state", "elastic_constants", "rattled_cells", "phonons", "vacancies"]
AGAINST_A_TEACHER = [name for name, check in CHECKS.items() if check.against_teacher]


def write(path, *frames):
    ase.io.write(path, list(frames), format="extxyz")
    return path


def charged(name, **info):
    atoms = molecule(name)
    atoms.info |= info
    return atoms


def apart(one, other):
    both = molecule(other)
    both.translate([8.0, 0.0, 0.0])
    return molecule(one) + both


def test_molecules_are_what_bonds_hold_together_each_of_them_once(tmp_path):
    shaken = molecule("CH3OH")
    shaken.rattle(0.03)
    ion = molecule("C2H6")
    ion.set_initial_charges([1.0] + [0.0] * 7)
    frames = [apart("H2O", "C6H6"), molecule("CH3OH"), shaken, molecule("H2O"), charged("OH", charge=-1)]
    frames += [
        charged("NO", multiplicity=2),
        charged("O2", Spin_Multiplicity=3),
        ion,
        bulk("C"),
        molecule("CH3CH2OH"),
        molecule("CH3OCH3"),
    ]
    found = own_molecules(write(tmp_path / "my.xyz", *frames))
    assert [each.name for each in found] == ["H2O", "CH4O", "C2H6O", "C2H6O 2", "C6H6"]
    assert [each.entry.smiles for each in found] == ["O", "CO", "CCO", "COC", "c1ccccc1"]
    assert [each.turnable is not None for each in found] == [False, True, True, True, False]


def test_an_atom_in_the_middle_of_its_molecule_faces_nothing(tmp_path):
    alone = own_molecules(write(tmp_path / "alone.xyz", molecule("CO2"), molecule("CH4"), molecule("CF4")))
    assert set(_faces(alone)) == {"O", "H", "F"}
    with_another = own_molecules(write(tmp_path / "another.xyz", molecule("CO2"), molecule("CH3OH")))
    face, atom = _faces(with_another)["C"]
    assert face.name == "CH4O" and face.atomic_numbers[atom] == 6
    assert np.isfinite(contact(face, atom, face, atom, 3.0).positions).all()


def test_what_vacuum_surrounds_is_no_crystal(tmp_path):
    boxed = molecule("CH3OH", vacuum=6.0, pbc=True)
    boxed.positions += [0.0, 7.0, 0.0]  # so that its cell cuts it in two
    boxed.wrap()
    atom = Atoms("O", cell=[12.0, 12.0, 12.0], pbc=True)
    slab = fcc111("Cu", (2, 2, 3), vacuum=8.0)
    slab.pbc = True
    wire = Atoms("Cu", cell=[15.0, 15.0, 2.5], pbc=True)
    dense = [bulk("Xe", a=6.2), bulk("Cs", a=6.14), bulk("NaCl", "rocksalt", a=5.6, cubic=True)]
    path = write(tmp_path / "boxes.xyz", boxed, atom, slab, wire, *dense)
    assert {crystal.name for crystal in own_crystals(path, TeacherPredictor(GFN2))} == {
        "Xe crystal",
        "Cs crystal",
        "Cl4Na4 crystal",
    }
    [found] = own_molecules(path)
    assert found.name == "CH4O" and not found.structure.pbc.any() and found.structure.cell is None
    assert pdist(found.structure.positions) == pytest.approx(pdist(molecule("CH3OH").positions))
    structures = [Structure.from_ase(atoms, str(k)) for k, atoms in enumerate((boxed, atom, slab, wire, *dense))]
    frames = geometries(structures).frames
    assert {(frame.kind, frame.structure.name) for frame in frames} == {
        (DYNAMICS_FRAME, "0"), (SCALED_CELL, "4"), (SCALED_CELL, "5"), (SCALED_CELL, "6"),
    }  # fmt: skip


def test_of_a_scan_of_volumes_the_crystal_of_lowest_energy_is_taken(tmp_path):
    scan = []
    for scale in np.linspace(0.9, 1.06, 9):
        crystal = bulk("Al", cubic=True)
        crystal.set_cell(scale * crystal.cell, scale_atoms=True)
        scan.append(crystal)
    [found] = own_crystals(write(tmp_path / "scan.xyz", *scan), TeacherPredictor(Teacher(**EMT)))
    assert found.cell[0, 0] == pytest.approx(bulk("Al", cubic=True).cell[0, 0], rel=0.02)


class FailsOnce(Springs):
    """Springs whose label number ``at`` does not converge."""

    def __init__(self, at):
        super().__init__([(0, 1, 1.1, 20.0)])
        self.at, self.calls = at, 0

    def _one(self, positions):
        self.calls += 1
        found = super()._one(positions)
        return Prediction(np.nan, np.full_like(positions, np.nan)) if self.calls == self.at else found


def test_where_the_teacher_fails_once_nothing_is_made_of_what_it_said(caplog):
    nitrogen = Structure("N2", np.array([7, 7]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.1]]))
    [moved] = moved_by_teacher([nitrogen], [[]], FailsOnce(at=-1), QUICK["dynamics"])
    assert moved.known["mean_bond_lengths_A"] == pytest.approx([1.1], abs=0.03)
    assert list(moved_by_teacher([nitrogen], [[]], FailsOnce(at=40), QUICK["dynamics"])) == []
    assert len(minimum(nitrogen, FailsOnce(at=-1))) == 1 and minimum(nitrogen, FailsOnce(at=4)) == []
    assert caplog.text.count("N2: the teacher fails") == 2


def test_the_bond_that_turns_most_is_turned(tmp_path):
    (butane,) = own_molecules(write(tmp_path / "my.xyz", molecule("trans-butane")))
    assert [butane.structure.atomic_numbers[k] for k in butane.turnable] == [6, 6, 6, 6]


def test_what_has_no_bond_orders_is_still_a_molecule(tmp_path):
    untold = molecule("CH3")
    untold.set_initial_magnetic_moments(None)
    (radical,) = own_molecules(write(tmp_path / "my.xyz", untold))
    assert (radical.chemistry, radical.entry, radical.turnable) == (None, None, None)


@pytest.mark.parametrize("frames", [[bulk("Cu")], [charged("OH", charge=-1)], [molecule("O")]])
def test_a_file_without_molecules_is_one_sentence(tmp_path, frames):
    with pytest.raises(AssayError, match=r"my.xyz holds no molecule among 1 structures"):
        own_molecules(write(tmp_path / "my.xyz", *frames))


def test_each_teacher_has_a_reference_of_its_own(tmp_path):
    """Also where names differ in what no name of a file should hold."""
    path = write(tmp_path / "my.xyz", molecule("H2O"))
    names = [
        "GFN2-xTB",
        "B97X-D",
        "ωB97X-D",
        "PBE-D3",
        "PBE D3",
        "PBE+U",
        "PBE-U",
        "PBE-",
        "DFT (PBE)",
        "DFT, PBE!",
        "教師",
    ]
    places = [own_reference(path, name) for name in names]
    assert len(set(places)) == len(names) and places[0].name.endswith(".gfn2-xtb.xyz.gz")
    assert all(place.name.isascii() and " " not in place.name for place in places)
    assert own_reference(path, " Dft (pbe)") == own_reference(path, "DFT (PBE)")


def test_crystals_are_scaled_strained_and_rattled(tmp_path):
    frames = [bulk("Cu", cubic=True), bulk("Cu", cubic=True), bulk("Al"), bulk("Ni", "fcc", a=3.52) * (5, 5, 5)]
    path, teacher = write(tmp_path / "my.xyz", *frames), Teacher(**EMT)
    made = Reference(make_own_reference(path, teacher, QUICK, tmp_path / "parts"), EMT["name"])
    for kind in ("scaled cell", "strained cell", "rattled cell"):
        assert set(made.groups(kind)) == {"Al crystal", "Cu4 crystal"}
    itself = Subject(TeacherPredictor(teacher), TeacherPredictor(teacher), made, DYNAMICS, teacher=EMT["name"])
    measured = measure(itself, CRYSTAL)
    assert [row["status"] for row in measured.values()] == ["measured"] * 5
    assert all(abs(value) < 1e-6 for row in measured.values() for value in row["values"].values())
    copper = measured["equation_of_state"]["raw"]["crystals"]["Cu4 crystal"]
    assert copper["volume_A3"] / 4 == pytest.approx(11.57, abs=0.05)  # 3.59 angstrom, as ASE's EMT has it
    assert copper["bulk_modulus_GPa"] == pytest.approx(134.0, abs=8.0)


class Holed(TeacherPredictor):
    """A teacher as a student, whose energy falls into a hole where two atoms come close."""

    cutoff_A = 8.0

    def predict(self, structures):
        found = super().predict(structures)
        return [replace(f, energy_eV=f.energy_eV - self._hole_eV(s)) for f, s in zip(found, structures, strict=True)]

    @staticmethod
    def _hole_eV(structure):
        return float(100.0 * np.exp(-((pdist(structure.positions) / 1.5) ** 4)).sum())


def test_elements_of_crystals_alone_are_pushed_into_each_other(tmp_path):
    path, teacher = write(tmp_path / "my.xyz", bulk("Al"), bulk("Cu")), Teacher(**EMT)
    settings = QUICK | {"dimer_distances": DISTANCES | {"from": 0.5}}
    made = Reference(make_own_reference(path, teacher, settings, tmp_path / "parts"), EMT["name"])
    assert set(made.groups("dimer")) == {"Al-Al", "Al-Cu", "Cu-Cu"}
    for student, outcome in ((TeacherPredictor(teacher), "pass"), (Holed(teacher), "fail")):
        measured = measure(Subject(student, student, made, DYNAMICS, teacher=EMT["name"]), ["short_range"])
        assert verdict_of(measured, THRESHOLDS)["checks"]["short_range"]["outcome"] == outcome


def test_a_teacher_that_relaxes_nothing_is_one_sentence(tmp_path):
    nowhere = Teacher("LJ", "ase.calculators.lj.LennardJones", {"sigma": 9.0, "rc": 30.0})
    with pytest.raises(AssayError, match="LJ relaxes no molecule of"):
        list(make_own_reference(write(tmp_path / "my.xyz", molecule("H2O")), nowhere, QUICK, tmp_path / "parts"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """What GFN2-xTB says of water and methanol."""
    folder = tmp_path_factory.mktemp("own")
    path = write(folder / "my.xyz", molecule("H2O"), molecule("CH3OH"))
    return Reference(list(make_own_reference(path, GFN2, QUICK, folder / "parts")), GFN2.name)


def judged(predictor, reference):
    subject = Subject(predictor, predictor, reference, DYNAMICS, seed=0, teacher=GFN2.name)
    return verdict_of(measure(subject, AGAINST_A_TEACHER), THRESHOLDS)


def asked(factor=1.0):
    """The teacher as a student, with energies and forces that are too large by a factor."""

    class Student(TeacherPredictor):
        cutoff_A = 5.0

        def predict(self, structures):
            found = super().predict(structures)
            return [Prediction(factor * each.energy_eV, factor * each.forces_eV_per_A) for each in found]

    return Student(GFN2)


def test_every_question_that_the_molecules_allow_is_asked(reference):
    kinds = {kind: set(reference.groups(kind)) for kind in ("minimum", "dynamics", "torsion", "conformer", "tautomer")}
    both, turned = {"H2O", "CH4O"}, {"CH4O"}
    assert list(kinds.values()) == [both, both, turned, turned, set()]
    pairs = {"C-C", "C-H", "C-O", "H-H", "H-O", "O-O"}
    assert set(reference.groups("dimer")) == pairs == set(reference.groups("contact"))
    assert all(np.isfinite(frame.structure.energy_eV) for frame in reference.frames)


def test_the_teacher_agrees_with_itself_and_what_is_not_there_costs_nothing(reference):
    result = judged(asked(), reference)
    assert result["failed"] == []
    assert set(result["not_applicable"]) == {"rings", "conformers", "tautomers", *CRYSTAL}
    assert (result["verdict"], result["without_reference"]) == ("md-ready", [])


def test_a_student_that_is_a_fifth_too_stiff_is_caught(reference):
    assert "vibrations" in judged(asked(1.5), reference)["failed"]


def test_a_stopped_run_goes_on(tmp_path):
    made = []

    def frames():
        made.append(1)
        yield Frame(Structure.from_ase(molecule("H2O")), "minimum", "H2O")

    part = partial(finished_part, tmp_path, TeacherPredictor(Teacher(**EMT)), "relaxed H2O", frames)
    first, again = part(), part()
    assert made == [1] and first[0].structure.energy_eV == pytest.approx(again[0].structure.energy_eV)


def test_parts_of_another_teacher_or_other_settings_are_not_taken(tmp_path):
    few = QUICK | {"elements": [1]}
    water = Entry("water", "O", "dynamics", "")
    emt = Teacher(**EMT)

    def made(teacher, settings=few, entry=water):
        frames = make_reference([entry], teacher, settings, tmp_path)
        return {frame.kind: frame.structure.energy_eV for frame in frames}

    first = made(emt)
    assert made(emt) == first
    assert made(replace(emt, arguments={"asap_cutoff": True}))["dimer"] != first["dimer"]
    assert made(emt, few | {"dimer_distances": DISTANCES | {"to": 1.5}})["dimer"] != first["dimer"]
    assert made(emt, entry=replace(water, smiles="N"))["dynamics"] != first["dynamics"]
    assert len(list(tmp_path.iterdir())) == 4


def test_own_references_go_first_and_belong_to_the_content_of_the_structures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    physics = {"reference": ["shipped.xyz"], "structures": str(write(tmp_path / "my.xyz", molecule("H2O")))}
    path = own_reference(physics["structures"], EMT["name"])
    assert reference_files(physics, [EMT["name"]]) == ["shipped.xyz"]
    path.parent.mkdir(parents=True)
    path.touch()
    assert reference_files(physics, [EMT["name"], None, "other"]) == [str(path), "shipped.xyz"]
    write(tmp_path / "my.xyz", molecule("CH4"))
    assert reference_files(physics, [EMT["name"]]) == ["shipped.xyz"]
    with pytest.raises(AssayError, match=r"`physics\.structures` in the config"):
        reference_files(physics | {"structures": "none.xyz"}, ["A"])


@pytest.mark.slow
def test_one_command_makes_the_reference_and_the_checks_take_it(tmp_path):
    lay_out(tmp_path)
    write(tmp_path / "my.xyz", molecule("H2O"))
    variants = dict.fromkeys(CONFIG["variants"]) | {
        "mine": {"checkpoint": "data/checkpoints/tiny.pt", "teacher": EMT},
        "other": {"checkpoint": "data/checkpoints/original.pt", "teacher": "CHGNet"},
    }
    physics = {"structures": "my.xyz", "reference_recipe": QUICK}
    (tmp_path / "mine.yaml").write_text(ase.io.jsonio.encode({"variants": variants, "physics": physics}))
    done = snakemake(tmp_path, "--cores", "1", "physics_reference", "--configfile", "mine.yaml")
    assert done.returncode == 0, done.stdout
    (made,) = (tmp_path / "data/build/references").glob("*.xyz.gz")
    assert (
        read_reference(made).teacher == EMT["name"]
        and made.name == own_reference(tmp_path / "my.xyz", EMT["name"]).name
    )
    plan = snakemake(tmp_path, "-n", "--cores", "1", "all", "--configfile", "mine.yaml").stdout
    inputs = {name: plan.split(f"results/{name}/physics.probe.json")[0].rpartition("input:")[2] for name in variants}
    assert made.name in inputs["mine"] and made.name not in inputs["other"]
    assert "own_reference" not in plan
