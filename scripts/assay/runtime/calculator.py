"""A student as an ASE calculator."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from .arguments import refuse_unknown
from .distances import strange_distances
from .result import Evaluated
from .scope import RADIUS_A, Scope, charge_and_spin, unread
from .student import open_student
from .threads import OneThread
from .verlet import VerletList

OWN = ("path", "threads", "device", "skin", "precision", "library")
MAX_ENERGY_eV = 1e7  # of an atom: all electrons of the heaviest one are bound by 1.5e6 eV
OF_ASE = ("restart", "ignore_bad_restart_file", "label", "atoms", "directory")  # of its ``Calculator``


class StudentCalculator(Calculator):
    """Energy, energies of atoms, forces and, in a periodic cell, stress.

    Pairs are found and their vectors formed in double precision, so that neither the size of the system nor its
    distance from the origin costs accuracy; the network itself computes in single precision unless told otherwise.

    The student knows no charges and spins. What of a structure lies outside of its scope, these among it, is warned of
    once, and stands in ``outside`` for the structure that was evaluated last. So are distances that hint at another
    unit than the angstrom, as of the last search for neighbors. ONNX files have no energies of atoms.

    Args:
        path: ``model.assay``, or ``model.edges.onnx``; None takes the student of this package.
        threads: the number of CPU threads; None leaves it to the runtime.
        device: "cpu", or "cuda", where neighbors are found on the GPU too; see ``open_student``.
        skin: extra radius of the neighbor list, angstrom; see ``VerletList``.
        precision: 32 or 64 bits of the network's numbers.
        library: the shared library of the engine; None takes the one of this package.
        arguments: those of ASE's ``Calculator``, which ``OF_ASE`` lists.

    Attributes:
        scope: what the student was taught.
        outside: what of the last structure lies outside of that, a sentence each.
        n_outside: how many of the structures so far lay outside.

    Threads need a calculator each: one that another thread is using raises a RuntimeError.

    Raises:
        TypeError: there is no such argument.
        ValueError, ImportError: as ``open_student`` says, or for an ONNX file that finds neighbors itself.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012, ASE has a list

    def __init__(
        self,
        path: str | Path | None = None,
        threads: int | None = None,
        device: str = "cpu",
        skin: float = 0.5,
        precision: int = 32,
        library: str | Path | None = None,
        **arguments: Any,
    ):
        refuse_unknown(arguments, (*OWN, *OF_ASE), "StudentCalculator")
        super().__init__(**arguments)
        self.student = open_student(path, threads, device, precision, library, skin)
        if not self.student.needs_edges:
            raise ValueError(
                f"{path} finds neighbors itself: give model.edges.onnx, which leaves them to the calculator"
            )
        if self.student.runtime == "onnxruntime":
            self.implemented_properties = [name for name in self.implemented_properties if name != "energies"]
        self.scope = Scope(self.student.identity.get("scope"))
        self.outside: list[str] = []
        self.n_outside = 0
        self._warned: set[str] = set()
        self._strange: dict[str, str] = {}  # what is said of the distances at the last search for neighbors
        self.neighbors = VerletList(self.student.cutoff, skin)
        self._in_use = OneThread()

    def set(self, **arguments: Any) -> dict[str, Any]:
        """Change nothing: ASE calls this without arguments, and those of a student are chosen when it is opened."""
        refuse_unknown(arguments, (*OWN, *OF_ASE), "StudentCalculator")
        if arguments:
            raise ValueError(
                f"{', '.join(arguments)} cannot be changed once the student is open: make another StudentCalculator"
            )
        return {}

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Return what differs from the atoms that were evaluated last, in the words of ASE.

        ASE compares within a tolerance, which takes as long as a small student. This compares exactly.
        """
        if self.atoms is None:
            return list(all_changes)
        same = {
            "positions": np.array_equal(self.atoms.positions, atoms.positions),
            "numbers": np.array_equal(self.atoms.numbers, atoms.numbers),
            "cell": np.array_equal(self.atoms.cell.array, atoms.cell.array),
            "pbc": np.array_equal(self.atoms.pbc, atoms.pbc),
        }
        before, now = (zip(charge_and_spin(each), unread(each), strict=True) for each in (self.atoms, atoms))
        for name, told, tells in zip(("initial_charges", "initial_magmoms"), before, now, strict=True):
            own, other = self.atoms.arrays.get(name), atoms.arrays.get(name)
            alike = own is other or (own is not None and other is not None and np.array_equal(own, other))
            same[name] = alike and told == tells  # of which `info` may speak too
        return [name for name in all_changes if not same[name]]

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """Return a property, computed if need be; all questions of ASE come here."""
        with self._in_use:
            return super().get_property(name, atoms, allow_calculation)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fill ``results``; ASE calls this."""
        with self._in_use:
            self._calculate(atoms, properties, system_changes)

    def _calculate(self, atoms: Atoms | None, properties: Sequence[str], system_changes: Sequence[str]) -> None:
        self.results, self.outside = {}, []
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        cell, pbc = self.atoms.cell.array, self.atoms.pbc
        found, n_edges = self._evaluated(cell, pbc, "numbers" in system_changes)
        if not (np.isfinite(found.energy) and np.isfinite(found.forces).all()):
            raise ValueError(
                f"the student gives no finite energy and forces of {self.atoms.get_chemical_formula()}: are atoms at "
                "one place, or pressed into each other?"
            )
        if abs(found.energy) > MAX_ENERGY_eV * len(self.atoms):
            raise ValueError(
                f"the student gives {self.atoms.get_chemical_formula()} {found.energy:.1e} eV, which no atoms have: "
                "are they pressed into each other, or are the positions not in angstrom?"
            )
        self.results = {"energy": found.energy, "free_energy": found.energy, "forces": found.forces}
        if found.atomic_energies is not None:
            self.results["energies"] = found.atomic_energies
        self._warn_outside(n_edges / len(self.atoms) if self.student.cutoff == RADIUS_A else None)
        if pbc.all() and found.virial is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(-found.virial / self.atoms.get_volume())
        elif "stress" in properties:
            raise PropertyNotImplementedError(
                f"a structure that repeats along {pbc.sum()} axes has no stress: give it a cell that repeats along all"
                if found.virial is not None
                else "this file of the student gives no virial, and so no stress: take model.assay or model.edges.onnx"
            )

    def _evaluated(self, cell: np.ndarray, pbc: np.ndarray, other_elements: bool) -> tuple[Evaluated, int]:
        """Evaluate the atoms; the number of pairs within the cutoff comes with the result.

        What is said of distances stands until neighbors are searched again or there are ``other_elements``.
        """
        assert self.atoms is not None
        numbers, positions = self.atoms.numbers, self.atoms.positions
        if self.student.runtime == "triton":  # which finds neighbors on the GPU
            found = self.student.from_cell(numbers, positions, cell, pbc)
            n_edges = found.n_edges or 0
            self._strange = {} if n_edges else strange_distances(numbers, np.zeros((2, 0), int), np.zeros((0, 3)))
            return found, n_edges
        n_builds = self.neighbors.n_builds
        edge_index, vectors = self.neighbors.update(positions, cell, pbc)
        if (
            other_elements or self.neighbors.n_builds > n_builds
        ):  # atoms that have hardly moved since have no other distances
            self._strange = strange_distances(numbers, edge_index, vectors)
        return self.student.from_vectors(numbers, edge_index, vectors), edge_index.shape[1]

    def _warn_outside(self, neighbors: float | None) -> None:
        """Note what of the structure lies outside of the scope, and warn of each kind of it once."""
        assert self.atoms is not None
        found = self._strange | self.scope.outside(self.atoms, neighbors)
        self.outside, self.n_outside = list(found.values()), self.n_outside + bool(found)
        for kind, sentence in found.items():
            if kind not in self._warned:
                self._warned.add(kind)
                name = self.atoms.get_chemical_formula()
                warnings.warn(f"{name}: {sentence}; the student is for {self.scope}", stacklevel=2)
