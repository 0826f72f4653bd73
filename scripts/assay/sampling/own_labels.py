"""Labels of somebody's own structures by any teacher, kept as they come, so that labelling resumes where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from assay.data.dataset import from_structures
from assay.data.formats import open_any, read_dataset
from assay.data.store import StoreWriter
from assay.predictors.interface import Predictor
from assay.predictors.structure_files import read_frames
from assay.sampling.kept_labels import KeptLabels
from assay.sampling.label_gradients import ASKED
from assay.sampling.teacher import TRIED, Teacher
from assay.structures.structure import Structure, evenly
from assay.workflow.errors import AssayError
from assay.workflow.progress import progress

PER_FILE = 16  # structures that a stopped labelling loses at most
LEAST_MOMENT = 0.05  # of an atom, in Bohr magnetons, that starts a calculation
ENOUGH = 1000  # structures that those on which a teacher is tried are evenly taken from


def read_structures(path: str | Path, places: range | None = None) -> Iterator[Structure]:
    """Bare structures of a file in any format that ASE reads, in single precision.

    Their charge and multiplicity are kept, but no magnetic moments of single atoms: the first structure that loses some
    is named in print.

    Args:
        path: the file.
        places: where the structures that are read stand in the file, see ``places_of``; None for all.

    Raises:
        AssayError: the file or a structure cannot be read.
    """
    chosen = None if places is None else np.array(places, dtype=np.int64)
    told = False
    for place, load in enumerate(read_frames(path, chosen), places.start if places else 0):
        atoms = load()
        if not told and np.count_nonzero(np.abs(atoms.get_initial_magnetic_moments()) > LEAST_MOMENT) > 1:
            print(
                f"structure {place} of {path} has magnetic moments on several atoms, and a teacher is told only its "
                "multiplicity, as a moment of the first atom: it may find another magnetic state; set its moments in "
                "the calculator"
            )
            told = True
        structure = Structure.from_ase(atoms, str(atoms.info.get("name") or f"structure-{place}"))
        yield replace(structure, positions=structure.positions.astype(np.float32).astype(np.float64))


def places_of(path: str | Path, part: int, parts: int) -> range:
    """Where the structures of a part stand in a file. Parts keep its order, so that its end is that of the last one.

    Raises:
        AssayError: the file cannot be read.
    """
    n_structures = open_any(path).count()
    return range(n_structures * part // parts, n_structures * (part + 1) // parts)


def tried_structures(path: str | Path | None, labelled: str | Mapping[str, Any] | None) -> list[Structure]:
    """The structures on which a teacher is tried before it labels anything: some of the first ones of a file.

    Args:
        path: a file of bare structures; it is not read where ``labelled`` is given.
        labelled: a file of labelled structures, as ``read_dataset`` takes it; None if there is none.

    Raises:
        AssayError: the file cannot be read.
    """
    if labelled:
        return evenly(list(read_dataset(labelled, at_most=ENOUGH)), ASKED)
    return evenly(list(islice(read_structures(path or ""), ENOUGH)), ASKED)


def label_structures(
    structures: Iterable[Structure],
    teacher: Teacher,
    folder: Path,
    into: Path,
    n_structures: int | None = None,
    tried: Callable[[], Sequence[Structure]] = tuple,
) -> str:
    """Label structures by a teacher in a process of its own and write them to one file, see ``data.store``.

    A structure that the teacher cannot label is left out, and is asked for again in the next run. Where no structure
    has labels, the file holds none.

    Args:
        structures: what is labelled.
        teacher: the teacher.
        folder: where labels are kept as they come; those that it holds already are taken.
        into: the file to write.
        n_structures: how many there are, if that is known, for the time that is left.
        tried: gives structures of which the teacher labels some if it works at all.

    Returns:
        How many were labelled and left out, as a sentence.

    Raises:
        AssayError: the teacher labels nothing any more: none of some structures in a row, nor any that it labelled
            before.
    """
    kept, asked = KeptLabels(folder, teacher.identity), _Asked(teacher, tried)
    n_labelled = n_left_out = 0
    waiting = iter(structures)
    bar = progress(total=n_structures, desc=f"labelling by {teacher.name}", unit="structures")
    with bar, StoreWriter(into) as store:
        while chunk := list(islice(waiting, PER_FILE)):
            new: list[Structure | None] = []
            try:
                for structure in chunk:
                    if structure not in kept:
                        new.append(asked.label(structure))
            finally:
                kept.add([structure for structure in new if structure is not None])
            found = [kept.label(structure) for structure in chunk if structure in kept]
            store.add(from_structures(found))
            n_labelled, n_left_out = n_labelled + len(found), n_left_out + len(chunk) - len(found)
            bar.update(len(chunk))
        asked.end()
    sentence = f"{n_labelled:,} structures labelled by {teacher.name}"
    if n_left_out:
        sentence += (
            f", {n_left_out:,} left out ({asked.reason}); remove {into} and run the same command to try them again"
        )
    return sentence


class _Asked:
    """A teacher that is asked for labels, as long as it gives any.

    Args:
        teacher: the teacher; its process starts with the first structure.
        tried: see ``label_structures``.

    Attributes:
        reason: why there is no label of the last structure that has none.
    """

    def __init__(self, teacher: Teacher, tried: Callable[[], Sequence[Structure]]):
        self.reason = ""
        self._teacher, self._tried = teacher, tried
        self._predictor: Predictor | None = None
        self._last: Structure | None = None  # that was labelled
        self._in_vain = 0  # structures since then

    def label(self, structure: Structure) -> Structure | None:
        """The structure with its labels; None if the teacher gives none.

        Raises:
            AssayError: the teacher labels nothing any more.
        """
        found = self._ask(structure)
        if found is not None:
            self._last, self._in_vain = found, 0
            return found
        self._in_vain += 1
        if self._in_vain == TRIED:
            self.end()
        return None

    def end(self) -> None:
        """Make sure, where the last structures have no labels, that this is not the teacher's fault.

        Raises:
            AssayError: it does not label either what it labelled before.
        """
        if not self._in_vain:
            return
        reason, before = self.reason, self._tried() if self._last is None else [self._last]
        if all(self._ask(structure) is None for structure in before):
            raise AssayError(
                f"{self._teacher.name} labels none of the last {self._in_vain} structures, nor any that it labelled "
                f"before ({reason}): mend it and run the same command, which goes on from what is labelled"
            )
        self.reason, self._in_vain = reason, 0

    def _ask(self, structure: Structure) -> Structure | None:
        self._predictor = self._predictor or self._teacher.process(threads=1)
        try:
            [found] = self._predictor.predict([structure])
        except AssayError as error:
            self.reason = str(error)
            return None
        if not (np.isfinite(found.energy_eV) and np.isfinite(found.forces_eV_per_A).all()):
            self.reason = f"energy or forces of {structure.name} are not finite"
            return None
        return found.label(structure)
