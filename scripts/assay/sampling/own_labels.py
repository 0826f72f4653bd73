"""Labels of somebody's own structures by any teacher, in small files, so that labelling resumes where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from assay.data.dataset import Dataset, from_structures
from assay.data.formats import open_any
from assay.data.store import StoredDataset, StoreWriter
from assay.predictors.interface import Predictor
from assay.predictors.structure_files import read_frames
from assay.sampling.teacher import TRIED, Teacher
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from assay.workflow.progress import progress

PER_FILE = 16  # structures that a stopped labelling loses at most


def read_structures(path: str | Path, places: range | None = None) -> Iterator[Structure]:
    """Bare structures of a file in any format that ASE reads, in single precision.

    Args:
        path: the file.
        places: where the structures that are read stand in the file, see ``places_of``; None for all.

    Raises:
        AssayError: the file or a structure cannot be read.
    """
    chosen = None if places is None else np.array(places, dtype=np.int64)
    for place, load in enumerate(read_frames(path, chosen), places.start if places else 0):
        atoms = load()
        structure = Structure.from_ase(atoms, str(atoms.info.get("name") or f"structure-{place}"))
        yield replace(structure, positions=structure.positions.astype(np.float32).astype(np.float64))


def places_of(path: str | Path, part: int, parts: int) -> range:
    """Where the structures of a part stand in a file. Parts keep its order, so that its end is that of the last one.

    Raises:
        AssayError: the file cannot be read.
    """
    n_structures = open_any(path).count()
    return range(n_structures * part // parts, n_structures * (part + 1) // parts)


def label_structures(
    structures: Iterable[Structure], teacher: Teacher, folder: Path, into: Path, n_structures: int | None = None
) -> str:
    """Label structures by a teacher in a process of its own and write them to one file, see ``data.store``.

    A structure that the teacher cannot label is left out. Where there are no structures, the file holds none.

    Args:
        structures: what is labelled.
        teacher: the teacher.
        folder: where labels are kept as they come; those that it holds already are taken.
        into: the file to write.
        n_structures: how many there are, if that is known, for the time that is left.

    Returns:
        How many were labelled and left out, as a sentence.

    Raises:
        AssayError: the teacher labels none of the first structures, or none of all of them.
    """
    about = json.dumps(teacher.identity, sort_keys=True)
    n_labelled, n_left_out, reason = 0, 0, ""
    predictor: Predictor | None = None
    waiting = iter(structures)
    bar = progress(total=n_structures, desc=f"labelling by {teacher.name}", unit="structures")
    with bar, StoreWriter(into) as store:
        while chunk := list(islice(waiting, PER_FILE)):
            path = folder / f"{_digest(chunk, about)}.h5"
            if not path.is_file():
                predictor = predictor or teacher.process(threads=1)
                labelled, why = _label(chunk, predictor, patient=n_labelled > 0)
                with StoreWriter(path, rows=PER_FILE) as kept:
                    kept.add(labelled)
                reason = why or reason
            part = StoredDataset(path)
            store.add(part.subset(np.arange(len(part))))
            n_labelled, n_left_out = n_labelled + len(part), n_left_out + len(chunk) - len(part)
            bar.update(len(chunk))
        if n_left_out and not n_labelled:
            raise AssayError(f"{teacher.name} labels none of the structures: {reason}")
    left_out = f", {n_left_out:,} left out ({reason or 'as before'})" if n_left_out else ""
    return f"{n_labelled:,} structures labelled by {teacher.name}{left_out}"


def _label(chunk: Sequence[Structure], predictor: Predictor, patient: bool) -> tuple[Dataset, str]:
    """The structures that can be labelled, and why the last of the others cannot."""
    labelled: list[Structure] = []
    reason = ""
    for number, structure in enumerate(chunk):
        try:
            [found] = predictor.predict([structure])
        except AssayError as error:
            reason = str(error)
            if not labelled and not patient and number + 1 >= TRIED:
                raise
            continue
        if not (np.isfinite(found.energy_eV) and np.isfinite(found.forces_eV_per_A).all()):
            reason = f"energy or forces of {structure.name} are not finite"
            continue
        labelled.append(found.label(structure))
    return from_structures(labelled), reason


def _digest(chunk: Sequence[Structure], about: str) -> str:
    """A name that follows from the structures and the teacher."""
    digest = hashlib.sha256(about.encode())
    for structure in chunk:
        for array in (structure.atomic_numbers, structure.positions, structure.cell, structure.pbc):
            digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        digest.update(f"{structure.charge} {structure.spin}".encode())
    return digest.hexdigest()[:24]
