"""A system in several parts, as several processes of an MD program have it, in one process and without MPI.

Each part has local atoms and, as ghosts, copies of all others within one cutoff of them. A thread for each part
evaluates it, and all of them meet in the exchange, where rows are copied from owners to ghosts.
"""

from __future__ import annotations

import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from assay.engine.library import library_path
from assay.runtime.engine import EXCHANGE, EngineModel, Evaluation
from shared.engine_inputs import arrays_of


class Part:
    """The local atoms of one process, its ghosts, and its edges; a periodic image is a ghost of its own."""

    def __init__(self, numbers, edge_index, vectors, local):
        self.local = local
        neighbor, center = edge_index
        here = np.isin(center, local)
        neighbor, center, self.vectors = neighbor[here], center[here], vectors[here]
        place = {atom: k for k, atom in enumerate(local)}
        # A neighbor that is not local is a ghost; one for each atom that it is a copy of suffices.
        ghosts = sorted(set(neighbor.tolist()) - set(local.tolist()))
        place |= {atom: len(local) + k for k, atom in enumerate(ghosts)}
        self.owners = np.array([*local, *ghosts], dtype=int)
        self.numbers = numbers[self.owners]
        edges = [[place[atom] for atom in side.tolist()] for side in (neighbor, center)]
        self.edge_index = np.array(edges, dtype=int).reshape(2, -1)


def evaluate_in_parts(model, atoms, parts, of_first=None, exchanging=True):
    """Evaluate a system in parts, each in a thread of its own, and put the results together.

    Args:
        model: the ``EngineModel``; each part opens it anew.
        atoms: the ASE system.
        parts: the number of parts, which are stretches of the atoms.
        of_first: the number of atoms of the first part; None for equal parts.
        exchanging: whether the exchange copies rows.
    """
    numbers, edge_index, vectors, _ = arrays_of([atoms])
    every = np.arange(len(atoms))
    split = np.array_split(every, parts) if of_first is None else [every[:of_first], every[of_first:]]
    pieces = [Part(numbers, edge_index, vectors, local) for local in split]
    meeting = threading.Barrier(parts, timeout=60)
    shared, n_exchanges = {}, [0] * parts

    def evaluate(index):
        piece = pieces[index]

        def exchange(_, rows, width, precision):
            count, kind = len(piece.owners) * width, {32: ctypes.c_float, 64: ctypes.c_double}[precision]
            assert width <= model.row_width
            own = np.ctypeslib.as_array((kind * max(count, 1)).from_address(rows))[:count].reshape(-1, width)
            whole = shared.setdefault(width, np.zeros((len(atoms), width)))
            n_exchanges[index] += 1
            meeting.wait()
            whole[piece.local] = own[: len(piece.local)]
            meeting.wait()
            own[len(piece.local) :] = whole[piece.owners[len(piece.local) :]] if exchanging else 0.0
            meeting.wait()

        opened = EngineModel(model.path, library_path(), model.precision)
        return opened(
            piece.numbers, piece.edge_index, piece.vectors, n_local=len(piece.local), exchange=EXCHANGE(exchange)
        )

    with ThreadPoolExecutor(parts) as pool:
        found = list(pool.map(evaluate, range(parts)))
    assert len(set(n_exchanges)) == 1, "some process waits for others that exchange less often"
    forces = np.zeros((len(atoms), 3))
    for piece, result in zip(pieces, found, strict=True):
        np.add.at(forces, piece.owners, result.forces)
    return Evaluation(
        sum(result.energy for result in found),
        np.concatenate([result.atomic_energies for result in found]),
        forces,
        sum(result.virial for result in found),
    )
