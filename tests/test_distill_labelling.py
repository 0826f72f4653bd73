"""A teacher labels structures of one's own: once each, in their order, and what it cannot label is left out."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from assay.data import read_dataset
from assay.data.dataset import from_structures
from assay.data.formats import read_blocks
from assay.data.store import StoredDataset
from assay.predictors.interface import Prediction
from assay.sampling import teacher as teacher_module
from assay.sampling.kept_labels import KeptLabels
from assay.sampling.own_data import store_data
from assay.sampling.own_labels import label_structures, places_of, read_structures
from assay.sampling.teacher import Teacher
from assay.structures.geometry import moved
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from shared.molecules import molecules, trajectory, write


def emt_but(fails, asked):
    """EMT in this process, which notes what it is asked for and fails for some of it."""

    def predict(structures):
        [structure] = structures
        asked.append(structure.name)
        if fails(structure):
            raise AssayError(f"no convergence at {structure.name}")
        atoms = structure.to_ase()
        return [Prediction(EMT().get_potential_energy(atoms), EMT().get_forces(atoms))]

    return SimpleNamespace(name="EMT", identity={}, process=lambda threads: SimpleNamespace(predict=predict))


def test_labelling_resumes_and_leaves_out_what_the_teacher_cannot_label(tmp_path):
    bare = [*molecules(40), Structure("argon", np.array([18]), np.zeros((1, 3)))]
    path = tmp_path / "bare.xyz"
    ase.io.write(path, [ase.Atoms(s.atomic_numbers, s.positions) for s in bare], format="extxyz")
    teacher, asked = Teacher("EMT", "ase.calculators.emt.EMT"), []
    predictor = teacher.process(threads=1)

    def counted(structures):
        asked.append(structures[0].name)
        if len(asked) == 21:
            raise KeyboardInterrupt
        return predictor.predict(structures)

    teacher = SimpleNamespace(
        name="EMT", identity=teacher.identity, process=lambda threads: SimpleNamespace(predict=counted)
    )
    run = lambda: label_structures(read_structures(path), teacher, tmp_path / "kept", tmp_path / "out.h5")  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not (tmp_path / "out.h5").exists()
    sentence = run()
    assert asked[21:] == [*(f"structure-{k}" for k in range(20, 41)), "structure-39"], "labels are asked for once"
    assert sentence.startswith("40 structures labelled by EMT, 1 left out (")
    assert sentence.endswith(f"remove {tmp_path / 'out.h5'} and run the same command to try them again")
    found, expected = read_dataset(tmp_path / "out.h5"), from_structures(bare[:40])
    np.testing.assert_allclose(found.energy, expected.energy, atol=1e-4)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-3)
    halves = [len(list(read_structures(path, places_of(path, part, 2)))) for part in (0, 1)]
    assert halves == [20, 21]
    names = [structure.name for part in range(3) for structure in read_structures(path, places_of(path, part, 3))]
    assert names == [structure.name for structure in read_structures(path)]
    no_structures = read_structures(path, places_of(path, 50, 60))
    told = label_structures(no_structures, teacher, tmp_path / "kept", tmp_path / "none.h5")
    assert told == "0 structures labelled by EMT" and not list(read_blocks(tmp_path / "none.h5", 10))
    none = tmp_path / "none.xyz"
    ase.io.write(none, [], format="extxyz")
    assert [list(read_structures(none, places_of(none, 0, parts))) for parts in (1, 2)] == [[], []]


def test_what_failed_once_is_asked_for_again_and_nothing_else(tmp_path):
    """However many jobs there are, since labels are found by what is labelled."""
    structures, asked, down = molecules(50), [], [True]
    path, sick = write(tmp_path / "my.xyz", structures), [structures[3].name, structures[47].name]
    teacher = emt_but(lambda structure: down[0] and structure.name in sick, asked)

    def run(jobs):
        asked.clear()
        files = [tmp_path / f"labels.{part}.h5" for part in range(jobs)]
        for part, into in enumerate(files):
            label_structures(read_structures(path, places_of(path, part, jobs)), teacher, tmp_path / "kept", into)
        return sum(len(StoredDataset(file)) for file in files)

    assert run(1) == 48
    down[0] = False
    assert run(3) == 50 and asked == sick
    assert run(2) == 50 and asked == []


def test_kept_labels_take_names_and_molecules_of_the_structures_at_hand(tmp_path):
    asked, into = [], tmp_path / "out.h5"
    teacher, structures = emt_but(lambda structure: False, asked), molecules(20)
    label_structures(structures, teacher, tmp_path / "kept", into)
    named = [replace(s, name=f"n{k}", molecule=f"m{k // 2}") for k, s in enumerate(structures)]
    label_structures(named, teacher, tmp_path / "kept", into)
    found = read_dataset(into)
    assert len(asked) == 20 and list(found.names) == [s.name for s in named]
    assert list(found.molecules) == [s.molecule for s in named]


def test_kept_labels_are_those_of_one_cell_charge_and_spin(tmp_path):
    cell, pbc, stress = 4.0 * np.eye(3), np.ones(3, bool), np.diag([0.1, 0.2, 0.3])
    first = Structure("first", np.array([6, 8]), np.array([[0.0] * 3, [1.2, 0.0, 0.0]]), cell, pbc, -1.0,
                      np.ones((2, 3)), "", stress, 0, 1)  # fmt: skip
    kept = KeptLabels(tmp_path, {"name": "mine"})
    kept.add([first])
    changes = ({"cell": 1.01 * cell}, {"pbc": ~pbc}, {"charge": 1}, {"spin": 3}, {"positions": 1.01 * first.positions})
    others = [replace(first, energy_eV=float(k), **change) for k, change in enumerate(changes)]
    assert first in kept and not any(other in kept for other in others)
    for other in others:
        kept.add([other])
    again = KeptLabels(tmp_path, {"name": "mine"})
    for labelled in (first, *others):
        found = again.label(moved(labelled, labelled.positions))
        assert found.energy_eV == labelled.energy_eV and found.stress_eV_per_A3.tolist() == stress.tolist()
    assert first not in KeptLabels(tmp_path, {"name": "another"})


@pytest.mark.parametrize("quantity", ["energy_eV", "forces_eV_per_A"])
def test_a_label_that_is_not_finite_is_left_out(tmp_path, quantity):
    teacher, structures = emt_but(lambda structure: False, []), molecules(3)
    whole = teacher.process(1).predict

    def predict(asked):
        [found] = whole(asked)
        off = getattr(found, quantity) + np.nan if asked[0].name == structures[1].name else getattr(found, quantity)
        return [replace(found, **{quantity: off})]

    teacher.process = lambda threads: SimpleNamespace(predict=predict)
    told = label_structures(structures, teacher, tmp_path / "kept", tmp_path / "out.h5")
    assert told.startswith(
        f"2 structures labelled by EMT, 1 left out (energy or forces of {structures[1].name} are not"
    )
    assert len(read_dataset(tmp_path / "out.h5")) == 2


def test_a_part_that_no_teacher_labels_is_left_out_unless_the_teacher_works_no_more(tmp_path):
    """A part of a file may hold what it does not know; a teacher that fails at what it knew stops the labelling."""
    structures, asked, known = molecules(30), [], 12
    strange = {structure.name for structure in structures[10:]}
    kept, into = tmp_path / "kept", tmp_path / "out.h5"
    teacher = emt_but(lambda structure: structure.name in strange, asked)
    for part, told in ((structures[10:], "0 structures labelled by EMT, 20 left out"), (structures[10:12], "0 struc")):
        sentence = label_structures(part, teacher, kept, into, tried=lambda: structures[8:12])
        assert sentence.startswith(told) and len(StoredDataset(into)) == 0
    with pytest.raises(AssayError, match=r"labels none of the last 2 structures, nor any that it labelled before \(no"):
        label_structures(structures[10:12], teacher, kept, into, tried=lambda: structures[12:])
    teacher = emt_but(lambda structure: len(asked) > known, asked)
    asked.clear()
    with pytest.raises(AssayError, match=r"labels none of the last 5 structures, .* goes on from what is labelled"):
        label_structures(structures, teacher, kept, into)
    assert len(asked) == known + 6
    part, n_odd = [*structures[:2], *structures[10:15], *structures[2:30]], 7
    odd = {structure.name for structure in structures[10:15]}
    tired = emt_but(lambda structure: structure.name in odd or len(asked) > n_odd + 1, asked)
    asked.clear()
    with pytest.raises(AssayError, match="labels none of the last 5 structures"):
        label_structures(part, tired, tmp_path / "anew", into)
    assert len(asked) == n_odd + 1 + 6, "a teacher that worked after five strange structures is asked for five more"
    known = 100
    asked.clear()
    assert label_structures(structures, teacher, kept, into) == "30 structures labelled by EMT"
    assert len(asked) == 18


def test_moments_of_several_atoms_that_no_teacher_sees_are_told_once(tmp_path, capsys):
    frames = [bulk("NiO", "rocksalt", a=4.17, cubic=True) for _ in range(3)]
    ase.io.write(tmp_path / "none.xyz", frames)
    list(read_structures(tmp_path / "none.xyz"))
    assert "magnetic" not in capsys.readouterr().out
    for atoms in frames[1:]:
        atoms.set_initial_magnetic_moments([-2, 0, 2, 0, -2, 0, 2, 0])
    ase.io.write(tmp_path / "some.xyz", frames)
    found = list(read_structures(tmp_path / "some.xyz"))
    told = capsys.readouterr().out
    assert told.count("magnetic moments") == 1 and "structure 1 of " in told
    assert [structure.spin for structure in found] == [None, 1, 1]


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_the_end_of_a_trajectory_is_held_out_however_many_jobs_label_it(tmp_path, jobs):
    path = write(tmp_path / "trajectory.xyz", trajectory(40))
    teacher = emt_but(lambda structure: False, [])
    parts = [tmp_path / f"labels.{part}.h5" for part in range(jobs)]
    for part, into in enumerate(parts):
        label_structures(read_structures(path, places_of(path, part, jobs)), teacher, tmp_path / "kept", into)
    into = (tmp_path / "train.h5", tmp_path / "validation.h5")
    store_data(list(map(str, parts)), None, 0.2, 0, into, {})
    learned, held_out = ([str(name) for name in read_dataset(file).names] for file in into)
    assert learned + held_out == [structure.name for structure in read_structures(path)]
    assert len(held_out) == 8


OWN_CALCULATOR = """
import numpy as np
from pathlib import Path
from ase.calculators.calculator import Calculator, all_changes

class Mine(Calculator):
    implemented_properties = ["energy", "forces"]

    def __init__(self, folder, **rest):
        super().__init__(**rest)
        self.stiffness = float(Path(folder, "stiffness").read_text())

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x = self.atoms.positions
        self.results = {"energy": FACTOR * self.stiffness * (x**2).sum(), "forces": -2 * FACTOR * self.stiffness * x}
"""


def test_labels_follow_the_files_and_the_code_of_their_teacher(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    energies = []
    for code, stiffness in ((1.0, 1.0), (1.0, 5.0), (7.0, 5.0), (1.0, 1.0)):
        Path("mine.py").write_text(OWN_CALCULATOR.replace("FACTOR", str(code)))
        Path("model/stiffness").write_text(str(stiffness))
        teacher_module._process.cache_clear()
        teacher = Teacher("Mine", "mine.Mine", {"folder": "model"})
        label_structures(molecules(3), teacher, tmp_path / "kept", tmp_path / "out.h5")
        energies.append(read_dataset(tmp_path / "out.h5").energy)
    np.testing.assert_allclose(energies[1:], [5 * energies[0], 35 * energies[0], energies[0]])
    assert len(list((tmp_path / "kept").glob("*.h5"))) == 3
