"""A student as a force of OpenMM: in C++, compiled once, or in Python where there is no compiler."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import openmm
from openmm import unit

from .batches import EngineBatches
from .checks import integers
from .engine import EngineModel, opened
from .identity import read_again
from .scope import Scope

KJ_PER_MOL_PER_EV, ANGSTROM_PER_NM = 96.48533212331002, 10.0
HERE = Path(__file__).parent
CHECKSUM = slice(336, 368)  # of a model file, the digest of the digests of all parts
DIGEST_bytes = 32  # behind the compiled plugin stands its SHA-256, which the dynamic linker does not read
SOURCES = (HERE / "plugins/openmm", HERE.parent / "engines/openmm", HERE.parent / "engine")  # as far as they exist


def createSystem(
    topology: Any,
    model: EngineModel | str | Path,
    threads: int = 1,
    removeCMMotion: bool = True,
    plugin: str | Path | None = None,
) -> Any:
    """Make a system whose only force is the student.

    Args:
        topology: an ``openmm.app.Topology``; with box vectors it is periodic.
        model: the opened model, or the path of ``model.assay``.
        threads: the largest number of threads.
        removeCMMotion: whether the motion of the center of mass is removed.
        plugin: a compiled ``libAssayOpenMM.so``; None compiles it.

    Raises:
        ValueError: an atom has no element, or one that the student was not trained on; or the model is none.
    """
    system = openmm.System()
    vectors = topology.getPeriodicBoxVectors()
    if vectors is not None:
        system.setDefaultPeriodicBoxVectors(*vectors)
    atoms = list(topology.atoms())
    for atom in atoms:
        system.addParticle(0.0 if atom.element is None else atom.element.mass)
    system.addForce(createForce(numbers_of(atoms), model, periodic=vectors is not None, threads=threads, plugin=plugin))
    if removeCMMotion:
        system.addForce(openmm.CMMotionRemover())
    return system


def createForce(
    numbers: Sequence[int],
    model: EngineModel | str | Path,
    particles: Sequence[int] | None = None,
    periodic: bool = False,
    threads: int = 1,
    plugin: str | Path | None = None,
) -> Any:
    """Make the force: that in C++, or with a warning that in Python where it cannot be compiled.

    Args:
        numbers: the atomic numbers.
        model: the opened model, or the path of ``model.assay``.
        particles: the indices of the particles that these are; None for the first ones.
        periodic: whether the box repeats, along all axes.
        threads: the largest number of threads.
        plugin: a compiled ``libAssayOpenMM.so``; None compiles it.

    Raises:
        ValueError: the student was not trained on an element, a number is not whole, or the model is none.
    """
    model = opened(model)
    _check(numbers, model, periodic)
    indices = range(len(numbers)) if particles is None else particles
    try:
        return compiled_force(numbers, model, indices, periodic, threads, plugin)
    except CannotCompile as error:
        warnings.warn(f"{error}; the force runs in Python instead, which is slower", stacklevel=3)
        return python_force(numbers, model, indices, periodic, threads)


def compiled_force(
    numbers: Sequence[int],
    model: EngineModel,
    particles: Sequence[int],
    periodic: bool = False,
    threads: int = 1,
    plugin: str | Path | None = None,
) -> Any:
    """The force in C++; arguments as in ``createForce``.

    Raises:
        CannotCompile: the plugin cannot be compiled here.
        ValueError: the model was not opened from a file, which must still be there and the same, or a number is not
            whole.
    """
    if isinstance(model.path, bytes):
        raise ValueError("OpenMM opens the model itself: open it from a file, and not from bytes")
    load_plugin(str(compiled_plugin() if plugin is None else plugin))
    properties = {
        "type": "AssayForce",
        "version": 1,
        "model": model.path,
        "library": model.library_path,
        "checksum": read_again(model.path, model.sha256)[CHECKSUM].hex(),
        "periodic": int(periodic),
        "threads": threads,
        "precision": model.precision,
        "numbers": " ".join(map(str, integers("numbers", numbers, np.int32))),
        "particles": " ".join(map(str, integers("particles", particles, np.int32))),
    }
    written = " ".join(f"{name}={quoteattr(str(value))}" for name, value in properties.items())
    return openmm.XmlSerializer.deserialize(f"<Force {written}/>")


def python_force(
    numbers: Sequence[int], model: EngineModel, particles: Sequence[int], periodic: bool = False, threads: int = 1
) -> Any:
    """The force in Python; arguments as in ``createForce``."""
    atomic_numbers = integers("numbers", numbers, np.int32)
    force = openmm.PythonForce(_Compute(atomic_numbers, EngineBatches(model, threads), periodic))
    force.setUsesPeriodicBoundaryConditions(periodic)
    force.setParticles(integers("particles", particles, np.int32).tolist())
    return force


class _Compute:
    """What OpenMM calls for energy, kJ/mol, and forces, kJ/mol/nm."""

    def __init__(self, numbers: np.ndarray, engine: EngineBatches, periodic: bool):
        self.numbers, self.engine, self.pbc = numbers, engine, np.full(3, periodic)

    def __call__(self, state: Any) -> tuple[float, np.ndarray]:
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
        cell = np.zeros((3, 3))
        if self.pbc.all():
            cell = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.angstrom)
        found = self.engine([self.numbers], [positions], [cell], [self.pbc])
        return float(found.energy[0]) * KJ_PER_MOL_PER_EV, found.forces * (KJ_PER_MOL_PER_EV * ANGSTROM_PER_NM)


def RespaIntegrator(
    timestep: Any, n: int, student: int = 1, teacher: int = 0, temperature: Any = None, friction: Any = None
) -> Any:
    """Multiple time steps: ``n`` short steps by the student between two corrections by its teacher; see ``Respa``.

    Constraints of the system, such as rigid water, are kept in each short step, as by OpenMM's ``MTSIntegrator``.

    Args:
        timestep: the short step, a quantity or a number in ps; a step of the integrator is ``n`` of them.
        n: how many short steps a step has.
        student, teacher: the force groups of the two. Only the energy of the teacher's group is that of the system,
            also for a barostat and for ``minimizeEnergy``.
        temperature: the temperature of the heat bath; None keeps the energy.
        friction: the coupling to the bath, a quantity or a number in 1/ps.

    Raises:
        ValueError: ``n`` is not whole or less than 1, both force groups are one, of temperature and friction only one
            is given, or one of them is negative or not finite.
    """
    if n != int(n) or n < 1:
        raise ValueError(f"n is {n} and must be whole and at least 1: give the number of short steps in a step")
    if student == teacher:
        raise ValueError(f"student and teacher are both the force group {student}: give each a group of its own")
    if (temperature is None) != (friction is None):
        raise ValueError("a heat bath has a temperature and a friction: give both, or neither")
    n, step_ps = int(n), _in(timestep, unit.picosecond)
    integrator = openmm.CustomIntegrator(n * step_ps)
    integrator.setIntegrationForceGroups({teacher})  # the energy that barostats and minimizers ask for
    integrator.addPerDofVariable("free", 0.0)
    drift = [("x", f"x+{1.0 / n}*dt*v")]
    if temperature is not None:
        kelvin, per_ps = _in(temperature, unit.kelvin), _in(friction, unit.picosecond**-1)
        if not (0.0 <= kelvin < np.inf and 0.0 <= per_ps < np.inf):
            raise ValueError(f"a heat bath of {kelvin} K and a friction of {per_ps} per ps is none: give positive ones")
        kept = float(np.exp(-per_ps * step_ps))
        integrator.addGlobalVariable("kept", kept)
        integrator.addGlobalVariable("noise", float(np.sqrt(1.0 - kept**2)))
        integrator.addGlobalVariable("kT", unit.MOLAR_GAS_CONSTANT_R * kelvin * unit.kelvin)
        half = ("x", f"x+{0.5 / n}*dt*v")
        drift = [half, ("v", "kept*v+noise*sqrt(kT/m)*gaussian"), half]
    kick = [("v", f"v+{0.5 / n}*dt*f{student}/m")]
    correct = [[("v", f"v+0.5*dt*f{teacher}/m")], [("v", f"v-0.5*dt*f{student}/m")]]
    integrator.addUpdateContextState()
    # The teacher's forces of the end of a step are those of the beginning of the next one, if they come last and first.
    for steps in [*correct, *[kick, drift, kick] * n, *reversed(correct)]:
        for variable, expression in steps:
            integrator.addComputePerDof(variable, expression)
        if steps is drift:
            integrator.addComputePerDof("free", "x")
            integrator.addConstrainPositions()
            integrator.addComputePerDof("v", f"v+{n}*(x-free)/dt")
            integrator.addConstrainVelocities()
    integrator.addConstrainVelocities()
    return integrator


def _in(value: Any, of: Any) -> float:
    """The number of a quantity in a unit; a number is in that unit already, as OpenMM's own integrators take it."""
    return float(value.value_in_unit(of) if unit.is_quantity(value) else value)


def numbers_of(atoms: Sequence[Any]) -> list[int]:
    """The atomic numbers of atoms of a topology.

    Raises:
        ValueError: an atom has no element.
    """
    bare = next((atom for atom in atoms if atom.element is None), None)
    if bare is not None:
        raise ValueError(f"atom {bare.index} of the topology has no element: a student knows elements only")
    return [atom.element.atomic_number for atom in atoms]


def _check(numbers: Sequence[int], model: EngineModel, periodic: bool) -> None:
    """Refuse elements that the student does not know, and warn of what lies outside of its scope."""
    from ase import Atoms

    atomic_numbers = integers("numbers", numbers, np.int32).tolist()
    unknown = sorted({number for number in atomic_numbers if not model.has_element(number)})
    if unknown:
        raise ValueError(f"the student was not trained on atomic numbers {unknown}: leave these atoms out")
    scope = Scope(model.metadata.get("scope"))
    structure = Atoms(atomic_numbers, np.zeros((len(numbers), 3)), pbc=periodic)
    for sentence in scope.outside(structure).values():
        warnings.warn(f"{structure.get_chemical_formula()}: {sentence}; the student is for {scope}", stacklevel=3)


class CannotCompile(Exception):
    """Why the plugin cannot be compiled."""


@functools.cache
def load_plugin(path: str) -> None:
    """Load a compiled plugin into OpenMM, once.

    Raises:
        ValueError: OpenMM cannot load it.
    """
    try:
        openmm.Platform.loadPluginLibrary(path)
    except openmm.OpenMMException as error:
        raise ValueError(f"OpenMM cannot load {path} ({error}): compile the plugin for this OpenMM") from None


@functools.cache
def compiled_plugin() -> Path:
    """The plugin for the OpenMM of this interpreter, which is compiled unless it was before.

    Raises:
        CannotCompile: there is no compiler, no source, no header or no folder for the result, or the compiler failed.
    """
    libraries = Path(openmm.version.openmm_library_path)
    include = libraries.parent / "include"
    folders = [folder for folder in SOURCES if folder.is_dir()]
    sources = {path.name: path for folder in folders for path in (*folder.glob("*.cpp"), *folder.glob("*.h"))}
    command = next(filter(None, map(shutil.which, [os.environ.get("CXX", ""), "g++", "clang++"])), None)
    for there, what in ((command, "no C++ compiler"), ((include / "OpenMM.h").is_file(), "no header of OpenMM"),
                        ("AssayForce.cpp" in sources, "no source of the plugin")):  # fmt: skip
        if not there:
            raise CannotCompile(f"there is {what} here")
    needed = [sources[name] for name in ("AssayForce.cpp", "cell_list.h", "assay.h")]
    content = b"".join(path.read_bytes() for path in needed) + f"{openmm.__version__} {libraries}".encode()
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "assay/openmm"
        built = cache / f"libAssayOpenMM-{hashlib.sha256(content).hexdigest()[:16]}.so"
        if not _is_whole(built):
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                made = Path(folder, built.name)
                arguments = ["-std=c++17", "-O2", "-shared", "-fPIC", f"-I{include}",
                             *(f"-I{path.parent}" for path in needed), str(needed[0]), "-o", str(made),
                             f"-L{libraries}", "-lOpenMM", "-ldl", f"-Wl,-rpath,{libraries}"]  # fmt: skip
                done = subprocess.run([str(command), *arguments], capture_output=True, text=True)
                if done.returncode != 0:
                    why = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-300:])
                    raise CannotCompile(f"{command} cannot compile the plugin ({why})")
                with made.open("ab") as file:
                    file.write(hashlib.sha256(made.read_bytes()).digest())
                os.replace(made, built)
    except (OSError, RuntimeError) as error:  # the latter where there is no home
        raise CannotCompile(f"the plugin cannot be kept where XDG_CACHE_HOME says, or in ~/.cache ({error})") from None
    return built


def _is_whole(built: Path) -> bool:
    """Whether a plugin is there as it was compiled."""
    content = built.read_bytes() if built.exists() else b""
    return hashlib.sha256(content[:-DIGEST_bytes]).digest() == content[-DIGEST_bytes:]
