"""Inside an environment with OpenMM: the force is the model in every box, and says no in sentences."""

import copy
import os
import warnings

import ase.build
import numpy as np
import openmm
import pytest
from ase import units
from openmm import app, unit
from openmmml import MLPotential

from assay.engine.library import library_path
from assay.engines.openmm.simulation import topology_of
from assay.engines.program import Start
from assay.runtime import openmm as student_openmm
from assay.runtime.engine import MODEL, EngineModel
from assay.runtime.openmm import (
    ANGSTROM_PER_NM,
    KJ_PER_MOL_PER_EV,
    RespaIntegrator,
    compiled_force,
    compiled_plugin,
    createForce,
    createSystem,
    python_force,
)
from assay.runtime.openmm_ml import register
from assay.runtime.respa import Respa
from assay.structures.structure import Structure
from shared.engine_programs import blocks, crystal, ethanol, exact, open_model, unpack_wheel, write_model
from shared.respa_toys import Wells

BOXES = {
    "molecule": ethanol,
    "crystal": crystal,
    "box smaller than the cutoff": lambda: crystal((1, 1, 1)),
    "long box": lambda: crystal((1, 1, 9)),
    "far apart": lambda: ase.build.molecule("CH3CH2OH") + ase.Atoms("OH2", [[900, 0, 0], [900.8, 0, 0], [899, 0, 0]]),
}


def system_of(atoms, force):
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    if atoms.pbc.all():
        system.setDefaultPeriodicBoxVectors(*(np.array(atoms.cell) / ANGSTROM_PER_NM))
    system.addForce(force)
    return system


def context_of(atoms, force, integrator=None):
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system_of(atoms, force), integrator or openmm.VerletIntegrator(0.0005), platform)
    context.setPositions(atoms.positions / ANGSTROM_PER_NM)
    return context


def answers(context):
    state = context.getState(getEnergy=True, getForces=True)
    energy, forces = state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value
    return energy / KJ_PER_MOL_PER_EV, forces / (KJ_PER_MOL_PER_EV * ANGSTROM_PER_NM)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(params=["compiled", "python"])
def make(request, model):
    def force(atoms, **options):
        own = {"compiled": compiled_force, "python": python_force}[request.param]
        return own(atoms.numbers.tolist(), model, range(len(atoms)), bool(atoms.pbc.all()), **options)

    return force


@pytest.mark.parametrize("name", BOXES)
def test_the_force_is_the_model_in_every_box(name, make):
    atoms = BOXES[name]()
    energy, forces = answers(context_of(atoms, make(atoms)))
    expected = exact(atoms)
    assert energy == pytest.approx(expected.energy[0], abs=1e-8)
    np.testing.assert_allclose(forces, expected.forces, atol=1e-9)


def test_lattice_translations_change_nothing_and_old_pairs_are_not_kept(make):
    atoms = crystal()
    context, rng = context_of(atoms, make(atoms)), np.random.default_rng(0)
    for width in (0.01, 0.1, 0.6):
        atoms.positions += rng.normal(0.0, width, atoms.positions.shape)
        shifted = atoms.positions + rng.integers(-2, 3, (len(atoms), 3)) @ np.array(atoms.cell)
        context.setPositions(shifted / ANGSTROM_PER_NM)
        expected = exact(atoms)
        energy, forces = answers(context)
        assert energy == pytest.approx(expected.energy[0], abs=1e-6)
        np.testing.assert_allclose(forces, expected.forces, atol=1e-6)
    atoms.set_cell(np.array(atoms.cell) * 1.02, scale_atoms=True)
    context.setPeriodicBoxVectors(*(np.array(atoms.cell) / ANGSTROM_PER_NM))
    context.setPositions(atoms.positions / ANGSTROM_PER_NM)
    assert answers(context)[0] == pytest.approx(exact(atoms).energy[0], abs=1e-6)


def test_a_barostat_moves_the_box_by_the_energies_of_the_model(model):
    atoms = crystal()
    system = system_of(atoms, compiled_force(atoms.numbers.tolist(), model, range(len(atoms)), True))
    system.addForce(openmm.MonteCarloBarostat(1.0, 300.0, 1))
    integrator = openmm.LangevinMiddleIntegrator(300.0, 1.0, 0.0005)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(atoms.positions / ANGSTROM_PER_NM)
    integrator.step(20)
    state = context.getState(getPositions=True, getEnergy=True)
    moved = atoms.copy()
    moved.set_cell(np.array(state.getPeriodicBoxVectors(asNumpy=True)._value) * ANGSTROM_PER_NM)
    moved.positions = state.getPositions(asNumpy=True)._value * ANGSTROM_PER_NM
    assert abs(moved.get_volume() / atoms.get_volume() - 1.0) > 1e-6
    assert state.getPotentialEnergy()._value / KJ_PER_MOL_PER_EV == pytest.approx(exact(moved).energy[0], abs=1e-6)


def test_the_force_is_of_the_file_that_was_opened_or_of_none(tmp_path, monkeypatch):
    atoms, here = ethanol(), tmp_path / "here"
    for folder, elements in ((here, [1, 6, 8]), (tmp_path / "there", [1, 6, 7, 8])):
        folder.mkdir()
        write_model(folder, elements)
    monkeypatch.chdir(here)
    opened = EngineModel(MODEL, library_path(), 64)
    monkeypatch.chdir(tmp_path / "there")
    force = compiled_force(atoms.numbers.tolist(), opened, range(len(atoms)))
    assert answers(context_of(atoms, force))[0] == pytest.approx(exact(atoms).energy[0], abs=1e-8)
    os.replace(tmp_path / "there" / MODEL, here / MODEL)
    with pytest.raises(ValueError, match="was replaced since it was opened"):
        compiled_force(atoms.numbers.tolist(), opened, range(len(atoms)))
    (here / MODEL).unlink()
    with pytest.raises(ValueError, match="cannot be read any more"):
        compiled_force(atoms.numbers.tolist(), opened, range(len(atoms)))


def test_the_force_outlives_files_and_copies(model):
    atoms = ethanol()
    force = compiled_force(atoms.numbers.tolist(), model, range(len(atoms)))
    force.setForceGroup(3)
    text = openmm.XmlSerializer.serialize(system_of(atoms, force))
    again = openmm.XmlSerializer.deserialize(text)
    assert again.getForce(0).getForceGroup() == 3
    assert openmm.XmlSerializer.serialize(again) == text
    energy, _ = answers(context_of(atoms, copy.deepcopy(force)))
    assert energy == pytest.approx(exact(atoms).energy[0], abs=1e-8)


def topology(atoms):
    return topology_of(Start(Structure.from_ase(atoms), np.zeros((len(atoms), 3)), 0.5, {}))


def test_a_topology_makes_a_system_and_openmmml_the_same(model):
    register()
    for atoms in (ethanol(), crystal()):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            systems = [
                createSystem(topology(atoms), model),
                MLPotential("assay", model=model).createSystem(topology(atoms)),
            ]
        assert sum("repeats along 3 axes" in str(warning.message) for warning in told) == 2 * int(atoms.pbc.all())
        for system in systems:
            assert system.getNumForces() == 2 and system.usesPeriodicBoundaryConditions() == bool(atoms.pbc.all())
            context = openmm.Context(system, openmm.VerletIntegrator(0.0005), openmm.Platform.getPlatformByName("CPU"))
            context.setPositions(atoms.positions / ANGSTROM_PER_NM)
            assert answers(context)[0] == pytest.approx(exact(atoms).energy[0], abs=1e-5)


def test_a_part_of_a_system_is_moved_by_the_student(model):
    register()
    atoms = ethanol() + ase.Atoms("Ar", [[30.0, 0.0, 0.0]])
    other = openmm.System()
    for mass in atoms.get_masses():
        other.addParticle(mass)
    pull = openmm.CustomExternalForce("0.5*x^2")
    pull.addParticle(len(atoms) - 1, [])
    other.addForce(pull)
    potential = MLPotential("assay", model=model)
    mixed = potential.createMixedSystem(topology(atoms), other, list(range(len(atoms) - 1)))
    context = openmm.Context(mixed, openmm.VerletIntegrator(0.0005), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(atoms.positions / ANGSTROM_PER_NM)
    energy, forces = answers(context)
    assert energy == pytest.approx(exact(ethanol()).energy[0] + 4.5 / KJ_PER_MOL_PER_EV, abs=1e-8)
    assert forces[-1, 0] == pytest.approx(-3.0 / (KJ_PER_MOL_PER_EV * ANGSTROM_PER_NM))


def test_what_cannot_be_is_refused_in_a_sentence(model, tmp_path):
    with pytest.raises(ValueError, match="not trained on atomic numbers \\[3, 26\\]"):
        createForce([6, 3, 26], model)
    bare = app.Topology()
    bare.addAtom("X", None, bare.addResidue("R", bare.addChain()))
    with pytest.raises(ValueError, match="atom 0 of the topology has no element"):
        createSystem(bare, model)
    atoms = ethanol()
    context = context_of(atoms, compiled_force(atoms.numbers.tolist(), model, range(len(atoms))))
    atoms.positions[3, 1] = np.nan
    with pytest.raises(openmm.OpenMMException, match="position is not finite"):
        context.setPositions(atoms.positions / ANGSTROM_PER_NM)
        answers(context)
    with pytest.raises(openmm.OpenMMException, match="particle 99 is none"):
        context_of(ethanol(), compiled_force([6], model, [99]))
    with pytest.raises(ValueError, match=r"cannot load .*missing\.so"):
        compiled_force([6], model, [0], plugin=tmp_path / "missing.so")
    moved = write_model(tmp_path)
    gone = type(model)(moved, model.library_path)
    force = compiled_force([6], gone, [0])
    moved.write_bytes(b"nothing")
    with pytest.raises(openmm.OpenMMException, match="AssayForce"):
        context_of(ase.Atoms("C"), force)
    with pytest.raises(ValueError, match="both, or neither"):
        RespaIntegrator(0.5 * unit.femtosecond, 2, temperature=300 * unit.kelvin)
    for wrong in ((300, -1), (-300, 1), (float("nan"), 1), (300, float("inf"))):
        kelvin, per_ps = wrong
        with pytest.raises(
            ValueError, match=f"a heat bath of {float(kelvin)} K and a friction of {float(per_ps)} per ps"
        ):
            RespaIntegrator(
                0.5 * unit.femtosecond, 2, temperature=kelvin * unit.kelvin, friction=per_ps / unit.picosecond
            )
    with pytest.raises(ValueError, match="a dict is no model of the engine: give EngineModel"):
        createForce([6], {})
    with pytest.raises(ValueError, match="a dict is no model of the engine: give EngineModel"):
        MLPotential("assay", model={}).createSystem(topology(ethanol()))
    with pytest.raises(ValueError, match=r"there is no engine in .*give the paths"):
        createSystem(topology(ethanol()), tmp_path / MODEL)
    with pytest.raises(ValueError, match="both the force group 0"):
        RespaIntegrator(0.5 * unit.femtosecond, 2, student=0)
    with pytest.raises(ValueError, match=r"n is 2\.5 and must be whole"):
        RespaIntegrator(0.5 * unit.femtosecond, 2.5)


def test_minimizers_and_barostats_under_a_corrected_student_ask_for_the_energy_of_the_teacher():
    system = openmm.System()
    for group, length_nm in {0: 0.16, 1: 0.15}.items():
        bond = openmm.HarmonicBondForce()
        bond.addBond(0, 1, length_nm, 1e5)
        bond.setForceGroup(group)
        system.addForce(bond)
    for _ in range(2):
        system.addParticle(12.0)
    integrator = RespaIntegrator(0.0005, 2, student=0, teacher=1)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.17]]))
    openmm.LocalEnergyMinimizer.minimize(context, 1e-6)
    found = context.getState(getPositions=True).getPositions(asNumpy=True)._value
    assert np.linalg.norm(found[1] - found[0]) == pytest.approx(0.15, abs=1e-5)
    assert integrator.getIntegrationForceGroups() == 1 << 1


def test_plain_numbers_of_a_bath_are_in_the_units_of_openmm():
    plain = RespaIntegrator(0.0005, 4.0, temperature=300.0, friction=2.0)
    told = RespaIntegrator(0.5 * unit.femtosecond, 4, temperature=300 * unit.kelvin, friction=2 / unit.picosecond)
    assert openmm.XmlSerializer.serialize(plain) == openmm.XmlSerializer.serialize(told)


@pytest.mark.parametrize(
    "make", [createForce, lambda *given: python_force(*given), lambda *given: compiled_force(*given)]
)
def test_numbers_that_are_not_whole_are_refused(make, model):
    with pytest.raises(ValueError, match="numbers holds float64: give integers"):
        make([8.0, 1.0, 1.9], model, [0, 1, 2])
    with pytest.raises(ValueError, match="particles holds float64: give integers"):
        make([8, 1, 1], model, [0.0, 1.0, 2.9])


def test_another_model_in_its_place_is_refused(model, tmp_path):
    atoms = ethanol()
    path = write_model(tmp_path)
    force = compiled_force(atoms.numbers.tolist(), type(model)(path, model.library_path), range(len(atoms)))
    text = openmm.XmlSerializer.serialize(force)
    context_of(atoms, openmm.XmlSerializer.deserialize(text))
    write_model(tmp_path, elements=[1, 6, 7, 8])
    for one in (force, openmm.XmlSerializer.deserialize(text)):
        with pytest.raises(
            openmm.OpenMMException, match="is another model than that of this force: put that one there"
        ):
            context_of(atoms, one)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Where the plugin is kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compiled_plugin.cache_clear()
    yield tmp_path / "cache"
    compiled_plugin.cache_clear()


@pytest.mark.parametrize("place", ["/proc/nope", "a file"])
def test_without_a_folder_for_the_plugin_the_force_runs_in_python(place, cache, model, monkeypatch, tmp_path):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place))
    with pytest.warns(UserWarning, match="cannot be kept where XDG_CACHE_HOME says, .*; the force runs in Python"):
        force = createForce(ethanol().numbers.tolist(), model)
    assert isinstance(force, openmm.PythonForce)


def test_a_plugin_that_is_cut_off_is_compiled_again(cache, model):
    whole = compiled_plugin().read_bytes()
    for length in (0, 40, len(whole) // 2, len(whole) - 1):
        compiled_plugin().write_bytes(whole[:length])
        compiled_plugin.cache_clear()
        assert compiled_plugin().read_bytes() == whole
    before = compiled_plugin().stat().st_mtime_ns
    compiled_plugin.cache_clear()
    assert compiled_plugin().stat().st_mtime_ns == before
    assert answers(context_of(ethanol(), compiled_force(ethanol().numbers.tolist(), model, range(9))))


def test_without_a_compiler_the_force_runs_in_python(model, monkeypatch):
    monkeypatch.setattr(student_openmm.shutil, "which", lambda name: None)
    compiled_plugin.cache_clear()
    with pytest.warns(UserWarning, match="no C\\+\\+ compiler here; the force runs in Python"):
        force = createForce(ethanol().numbers.tolist(), model)
    monkeypatch.undo()
    compiled_plugin.cache_clear()
    assert isinstance(force, openmm.PythonForce)
    assert answers(context_of(ethanol(), force))[0] == pytest.approx(exact(ethanol()).energy[0], abs=1e-8)


def test_respa_of_openmm_is_that_of_ase():
    """Two harmonic forces, of which the softer one is corrected every fourth step."""
    atoms = ase.Atoms("C4", np.random.default_rng(0).normal(0.0, 0.3, (4, 3)))
    atoms.set_velocities(np.random.default_rng(1).normal(0.0, 0.03, (4, 3)))
    calls = []

    def teacher(state):
        calls.append(1)
        x = state.getPositions(asNumpy=True)._value
        stiffness = 2.0 * 100 * KJ_PER_MOL_PER_EV
        return 0.5 * stiffness * (x**2).sum(), -stiffness * x

    system = system_of(atoms, openmm.PythonForce(teacher))
    student = openmm.CustomExternalForce(f"0.5*{1.2 * 100 * KJ_PER_MOL_PER_EV}*(x^2+y^2+z^2)")
    for k in range(len(atoms)):
        student.addParticle(k, [])
    student.setForceGroup(1)
    system.addForce(student)
    integrator = RespaIntegrator(1.0 * unit.femtosecond, 4)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(atoms.positions / ANGSTROM_PER_NM)
    context.setVelocities(atoms.get_velocities() * units.fs * 1e3 / ANGSTROM_PER_NM)
    integrator.step(30)
    assert len(calls) <= 31  # once a step, which is what makes it fast
    atoms.calc = Wells(2.0)
    Respa(atoms, units.fs, Wells(1.2), 4).run(30)
    positions = context.getState(getPositions=True).getPositions(asNumpy=True)._value * ANGSTROM_PER_NM
    np.testing.assert_allclose(positions, atoms.positions, atol=1e-6)
    assert np.abs(positions).max() > 0.05


def wells(stiffness, group):
    force = openmm.CustomExternalForce(f"0.5*{stiffness * 100 * KJ_PER_MOL_PER_EV}*(x^2+y^2+z^2)")
    for k in range(4):
        force.addParticle(k, [])
    force.setForceGroup(group)
    return force


@pytest.mark.parametrize("bath", [None, 300 * unit.kelvin])
def test_respa_of_openmm_keeps_constraints_as_openmm_itself_does(bath):
    """Two rigid pairs: bonds keep their length, and without a bath all moves as by OpenMM's own multiple time steps."""
    atoms = ase.Atoms("CHCH", [[0.3, 0.1, 0.0], [0.9, 0.5, 0.7], [-0.5, 0.0, 0.2], [-1.1, -0.8, 0.4]])
    lengths = [atoms.get_distance(0, 1), atoms.get_distance(2, 3)]
    friction = None if bath is None else 10 / unit.picosecond
    found = []
    for integrator in (
        RespaIntegrator(0.5 * unit.femtosecond, 4, student=1, teacher=0, temperature=bath, friction=friction),
        openmm.MTSIntegrator(2.0 * unit.femtosecond, [(2, 1), (1, 4)]),
    ):
        system = system_of(atoms, wells(2.0, group=0))
        system.addForce(wells(1.2, group=1))
        system.addForce(wells(0.8, group=2))  # what the teacher corrects
        for pair, length in zip(((0, 1), (2, 3)), lengths, strict=True):
            system.addConstraint(*pair, length / ANGSTROM_PER_NM)
        integrator.setConstraintTolerance(1e-9)
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
        context.setPositions(atoms.positions / ANGSTROM_PER_NM)
        integrator.step(200)
        state = context.getState(getPositions=True, getVelocities=True)
        moved = ase.Atoms(atoms.symbols, state.getPositions(asNumpy=True)._value * ANGSTROM_PER_NM)
        velocities = state.getVelocities(asNumpy=True)._value
        np.testing.assert_allclose([moved.get_distance(0, 1), moved.get_distance(2, 3)], lengths, atol=1e-7)
        stretching = np.diff(moved.positions, axis=0) * np.diff(velocities, axis=0)
        np.testing.assert_allclose(stretching.sum(1)[[0, 2]], 0.0, atol=1e-6)
        found.append(moved.positions)
    assert np.abs(found[0] - atoms.positions).max() > 0.05
    if bath is None:
        np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_the_page_runs_as_it_stands(tmp_path, monkeypatch):
    unpack_wheel(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for code in blocks("openmm.md", "python"):
        space = {}
        exec(code, space)
        assert np.isfinite(space["energy"]._value)
