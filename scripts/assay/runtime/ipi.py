"""A student as a driver of i-PI: all beads, or all replicas, in one call of the engine."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
from ipi.pes.dummy import Dummy_driver
from ipi.utils.units import unit_to_user

from .arguments import refuse_unknown
from .batches import EngineBatches
from .distances import strange_distances
from .engine import MODEL_PATH, EngineModel, opened
from .scope import RADIUS_A, Scope
from .template import read_template
from .verlet import VerletList

OWN = ("template", "model", "library", "periodic", "precision", "threads")
OF_IPI = ("verbose", "verbosity")  # what i-PI hands to a driver of its own accord


class StudentDriver(Dummy_driver):
    """Energies, forces and virials for ``<ffdirect>``; with ``<batch_size>`` so many beads are evaluated at once.

    What lies outside of the scope of the student stands in the extras of each bead, as ``outside``: write them by
    ``<trajectory filename='outside' extra_type='outside'> extras </trajectory>``. Distances of the first bead that hint
    at another unit than the angstrom are warned of, for i-PI takes an xyz file that names none to be in bohr.

    Args:
        template: a file of a format of ASE that tells elements, with the atoms in their order.
        model: the opened model, or the path of ``model.assay``; None takes the student of this package.
        library: the path of ``libassay.so``, where ``model`` is not opened; None takes the one of this package.
        periodic: whether the cell, which i-PI always has, repeats along all its axes; None asks the template.
        precision: 32 or 64, where ``model`` is not opened.
        threads: the largest number of threads.
        others: those of i-PI's drivers, which ``OF_IPI`` lists.

    Raises:
        TypeError: there is no such argument.
        ValueError: an argument is of another type, the template does not tell elements, has one that the student was
            not trained on, or repeats where ``periodic`` is false; or ``EngineModel`` refuses.
    """

    def __init__(
        self,
        template: str,
        model: EngineModel | str | None = None,
        library: str | None = None,
        periodic: bool | None = None,
        precision: int = 32,
        threads: int = 1,
        **others: Any,
    ):
        refuse_unknown(others, (*OWN, *OF_IPI), "StudentDriver")
        if not (periodic is None or isinstance(periodic, bool)):
            raise ValueError(f"`periodic` is {periodic!r}: write true or false, or leave it out")
        if type(precision) is not int or precision not in (32, 64):
            raise ValueError(f"`precision` is {precision!r}: write 32 or 64")
        if type(threads) is not int or threads < 1:
            raise ValueError(f"`threads` is {threads!r}: write a whole number of at least 1")
        model = opened(MODEL_PATH if model is None else model, library, precision)
        self.atoms = read_template(template)
        if periodic is False and self.atoms.pbc.any():
            raise ValueError(f'{template} repeats, and `periodic` is false: leave it out, or write pbc="F F F" there')
        if periodic:
            self.atoms.pbc = True
        unknown = sorted({int(z) for z in self.atoms.numbers if not model.has_element(int(z))})
        if unknown:
            raise ValueError(f"the student was not trained on atomic numbers {unknown}, which {template} has")
        self.engine, self.scope = EngineBatches(model, threads), Scope(model.metadata.get("scope"))
        self._saw_distances = False
        self._extras: dict[float, str] = {}  # by the mean number of neighbors, of which beads have few
        super().__init__(**others)

    def compute(self, cell: Any, pos: Any) -> Any:
        """Evaluate one bead, or a list of beads, in atomic units; i-PI calls this.

        Args:
            cell: (3, 3), lattice vectors in columns, bohr; or a list.
            pos: (N, 3), bohr; or a list.

        Returns:
            energy, forces (N, 3), virial (3, 3) and extras in JSON; or a list of these.

        Raises:
            ValueError: the beads do not have the atoms of the template.
        """
        if not isinstance(pos, list):
            return self.compute([cell], [pos])[0]
        bohr, hartree = unit_to_user("length", "angstrom", 1.0), unit_to_user("energy", "electronvolt", 1.0)
        positions = [np.asarray(x, np.float64).reshape(-1, 3) * bohr for x in pos]
        n_atoms, count = len(self.atoms), len(positions)
        if any(len(x) != n_atoms for x in positions):
            raise ValueError(f"a bead has {len(positions[0])} atoms, and the template has {n_atoms}: give its file")
        cells = [np.asarray(vectors, np.float64).reshape(3, 3).T * bohr for vectors in cell]
        found = self.engine([self.atoms.numbers] * count, positions, cells, [self.atoms.pbc] * count)
        if not self._saw_distances:
            self._warn_of_distances(positions[0], cells[0])
        forces = found.forces.reshape(count, n_atoms, 3) * (bohr / hartree)
        return [
            (energy / hartree, own, virial.T / hartree, self._extras_of(float(neighbors)))
            for energy, own, virial, neighbors in zip(
                found.energy, forces, found.virial, self.engine.mean_neighbors, strict=True
            )
        ]

    def _warn_of_distances(self, positions: np.ndarray, cell: np.ndarray) -> None:
        self._saw_distances = True
        neighbors = VerletList(self.engine.model.cutoff, skin=0.0)
        edge_index, vectors = neighbors.update(positions, cell, self.atoms.pbc)
        for sentence in strange_distances(self.atoms.numbers, edge_index, vectors).values():
            warnings.warn(f"{sentence} In a file of i-PI, write `positions{{angstrom}}` into the comment", stacklevel=3)

    def _extras_of(self, neighbors: float) -> str:
        if neighbors not in self._extras:
            known = neighbors if self.engine.model.cutoff == RADIUS_A else None
            sentences = self.scope.outside(self.atoms, known).values()
            self._extras[neighbors] = json.dumps({"outside": "; ".join(sentences)})
        return self._extras[neighbors]
