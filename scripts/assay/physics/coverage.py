"""Whether the checks see every element that a student names, and what is added where they do not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from ase.data import chemical_symbols

from assay.data import MANY
from assay.data.store import StoredDataset
from assay.physics.reference import (
    CONFORMER,
    DYNAMICS,
    MOST_GEOMETRIES,
    SCALED_CELL,
    SPARE,
    Frame,
    Reference,
    geometries,
)
from assay.structures.structure import Structure, atomic_numbers
from assay.workflow.teachers import same_teacher

WHOLE = (DYNAMICS, CONFORMER, SCALED_CELL)  # the kinds that the checks of a model with itself look at


def unseen(found: Reference, elements: Collection[int] | None) -> list[int]:
    """Those of the atomic numbers that occur in no molecule or crystal of nothing but them, ascending.

    All count as unseen where none of ``WHOLE`` is left, since the others only complete these. None is unseen where
    nobody says which elements the model knows.
    """
    if elements is None:
        return []
    frames = [frame for kind in WHOLE for frames in found.groups(kind, elements).values() for frame in frames]
    if frames:
        frames += [frame for kind in SPARE for frames in found.groups(kind, elements).values() for frame in frames]
    return sorted(set(elements) - atomic_numbers(frame.structure for frame in frames))


def completed(found: Reference, elements: Collection[int] | None, own: Sequence[str | Path]) -> Reference:
    """A reference, with geometries of held-out structures before its frames where it lacks elements of a student.

    They have no labels of a teacher's minima, dynamics or scans, so that they serve the checks that compare a model
    with itself. They come first, since some checks look at the first molecules only.

    Args:
        found: the reference.
        elements: the atomic numbers that the student knows; None if nobody says.
        own: the file of structures that were held out of the student's training; nothing where there is none.
    """
    missing = unseen(found, elements)
    if not missing or not own:
        return found
    structures = [s for s in StoredDataset(own[0]).sample(MANY) if set(elements or ()).issuperset(s.atomic_numbers)]
    return Reference([*_of_each(structures, missing), *found.frames], found.teacher)


def _of_each(structures: Sequence[Structure], elements: Sequence[int]) -> list[Frame]:
    """Geometries of structures that hold each element, as far as there are any."""
    frames: dict[tuple[str, str], Frame] = {}
    for z in elements:
        if not any(z in frame.structure.atomic_numbers for frame in frames.values()):
            with_it = [structure for structure in structures if z in structure.atomic_numbers]
            most = max(1, MOST_GEOMETRIES // len(elements))
            frames |= {(frame.kind, frame.group): frame for frame in geometries(with_it, most).frames}
    return list(frames.values())


def gaps(found: Reference, judged_on: Reference, elements: Collection[int] | None, teacher: str | None) -> list[str]:
    """What no check saw of a student's elements, in sentences without a full stop.

    Args:
        found: the reference of a teacher.
        judged_on: what ``completed`` made of it.
        elements: the atomic numbers that the student knows; None if nobody says.
        teacher: the name of the student's teacher; None if it is unknown.
    """
    nowhere = unseen(judged_on, elements)
    alone = sorted(set(unseen(found, elements)) - set(nowhere)) if same_teacher(teacher, found.teacher) else []
    said = {"no structure of the checks holds {}": nowhere}
    said[f"the reference of {teacher} has no molecule or crystal with {{}}"] = alone
    return [sentence.format(", ".join(chemical_symbols[z] for z in some)) for sentence, some in said.items() if some]
