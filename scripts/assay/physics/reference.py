"""What a teacher says of the geometries that the checks look at: computed once, never in a run of `all`.

One extended XYZ file, so that anybody can look at it. The comment line of a frame says whose labels it holds
(``teacher``), what it is for (``kind``), which molecule or pair it belongs to (``group``), where it sits on a scan
(``coordinate``), and what else is known.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase.io
import numpy as np

from assay.physics.vacuum import without_vacuum
from assay.structures.structure import Structure, evenly
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path
from assay.workflow.teachers import same_teacher

HOW_TO_MAKE = (
    "make one with `snakemake physics_reference` and `physics: {structures: FILE}` in the config (docs/teachers.md)"
)

# The kinds of frames.
MINIMUM = "minimum"  # relaxed; knows its frequencies
DYNAMICS = "dynamics"  # relaxed; knows its bonds, rings and their mean shape at a temperature
CONFORMER = "conformer"  # nearly relaxed; one of several of its molecule
TAUTOMER = "tautomer"  # relaxed; one of two that differ by the place of a proton
TORSION = "torsion"  # held at a dihedral angle, degrees
DIMER = "dimer"  # two bare atoms at a distance, angstrom
SCALED_CELL = "scaled cell"  # a crystal whose lengths are a multiple of what they were
STRAINED_CELL = "strained cell"  # a crystal that is stretched or sheared, or not, its atoms with it
RATTLED_CELL = "rattled cell"  # a crystal with displaced atoms
DISPLACED_CELL = "displaced cell"  # a crystal with one atom displaced; knows how often its cell is repeated
VACANCY = "vacancy"  # a crystal, and without one of its atoms
CONTACT = "contact"  # two molecules that face each other at a distance, angstrom

SPARE = (CONFORMER, MINIMUM, TORSION, TAUTOMER)  # where molecules are looked for with elements that no other ones have

TEACHER = "teacher"  # the key of the comment line
MOST_GEOMETRIES = 12


@dataclass(frozen=True)
class Frame:
    """A labelled structure and what it is for.

    Attributes:
        structure: the atoms, with the teacher's energy and forces.
        kind: one of the constants above.
        group: the molecule or pair that it belongs to.
        coordinate: the place on a scan, or the number of a conformer.
        known: further numbers by name, arrays of one dimension.
    """

    structure: Structure
    kind: str
    group: str
    coordinate: float = 0.0
    known: dict[str, Any] = field(default_factory=dict)

    @property
    def energy_eV(self) -> float:
        """The teacher's energy; NaN without a label."""
        return float("nan") if self.structure.energy_eV is None else self.structure.energy_eV


class Reference:
    """All frames of a reference file.

    Attributes:
        frames: the frames in the order of the file.
        teacher: the name of the teacher that labelled them; None if the file does not tell.
    """

    def __init__(self, frames: Iterable[Frame], teacher: str | None = None):
        self.frames, self.teacher = list(frames), teacher

    def groups(self, kind: str, elements: Iterable[int] | None = None) -> dict[str, list[Frame]]:
        """Frames of one kind by group, in the order of their coordinate.

        Args:
            kind: the kind of the frames.
            elements: only groups that hold no other atomic numbers; None for all.
        """
        known = None if elements is None else set(elements)
        found: dict[str, list[Frame]] = {}
        for frame in self.frames:
            if frame.kind == kind and (known is None or known.issuperset(frame.structure.atomic_numbers.tolist())):
                found.setdefault(frame.group, []).append(frame)
        return {group: sorted(frames, key=lambda frame: frame.coordinate) for group, frames in found.items()}


def write_reference(path: str | Path, frames: Iterable[Frame], teacher: str | None) -> None:
    """Write frames as extended XYZ (compressed if the name ends in .gz), atomically.

    Args:
        path: the file to write.
        frames: what to write.
        teacher: the name of the teacher that labelled the frames; None leaves it out.
    """
    images = []
    whose = {} if teacher is None else {TEACHER: teacher}
    for frame in frames:
        atoms = frame.structure.to_ase()
        atoms.info.update(whose | {"kind": frame.kind, "group": frame.group, "coordinate": frame.coordinate})
        atoms.info.update({key: np.asarray(value) for key, value in frame.known.items() if np.size(value)})
        images.append(atoms)
    with atomic_path(path) as temporary:
        ase.io.write(temporary, images, format="extxyz")


def read_reference(path: str | Path) -> Reference:
    """Read what ``write_reference`` wrote.

    Raises:
        AssayError: if the file is missing or is not of this form.
    """
    if not Path(path).is_file():
        raise AssayError(f"there is no file {path}: restore it, or make it again with `snakemake physics_reference`")
    opener = gzip.open if str(path).endswith(".gz") else open
    try:
        with opener(path, "rt") as file:
            text = io.StringIO(file.read())  # ASE seeks, and a compressed file is then read from its start each time
        images = ase.io.read(text, index=":", format="extxyz")
        teachers = {atoms.info.pop(TEACHER, None) for atoms in images}
        frames = [_frame(atoms) for atoms in images]
    except (KeyError, ValueError, OSError, EOFError) as error:
        raise AssayError(
            f"{path} is no reference of the physics checks ({error}): make it again with `snakemake physics_reference`"
        ) from None
    if len(teachers) > 1:
        names = " and ".join(sorted(str(name or "no name") for name in teachers))
        raise AssayError(f"{path} holds labels of several teachers ({names}): keep one file for each of them")
    (teacher,) = teachers or {None}
    return Reference(frames, None if teacher is None else str(teacher))


def reference_of(paths: Sequence[str | Path], teacher: str | None) -> Reference:
    """The first reference whose labels are those of a teacher; the first one of all if there is none, whose geometries
    serve the checks that compare a model with itself.

    Args:
        paths: the files of the references.
        teacher: the name of the student's teacher; None if it is unknown.

    Raises:
        AssayError: as ``read_reference`` does.
    """
    first = None
    for path in paths:
        found = read_reference(path)
        if same_teacher(teacher, found.teacher):
            return found
        first = first or found
    assert first is not None
    return first


def geometries(structures: Iterable[Structure], most: int = MOST_GEOMETRIES) -> Reference:
    """Geometries alone, for the checks that compare a model with itself: of each composition the structure with the
    lowest labelled energy, at most ``most`` molecules and as many crystals, evenly over sizes.

    A molecule in a box counts as one without. Slabs and wires are left out, and so are bare atoms, which feel no force.
    """
    lowest: dict[str, Structure] = {}
    for structure in structures:
        formula = str(structure.to_ase().symbols.formula.format("hill"))
        known = lowest.get(formula)
        if known is None or (structure.energy_eV or 0.0) < (known.energy_eV or 0.0):
            lowest[formula] = structure
    kept = [(formula, without_vacuum(structure)) for formula, structure in lowest.items()]
    told = [(formula, own) for formula, own in kept if own is not None and (len(own) > 1 or own.pbc.any())]
    frames = []
    for periodic, kind in ((False, DYNAMICS), (True, SCALED_CELL)):
        own = sorted((entry for entry in told if entry[1].pbc.any() == periodic), key=lambda entry: len(entry[1]))
        frames += [Frame(structure, kind, formula) for formula, structure in evenly(own, most)]
    return Reference(frames)


def _frame(atoms: ase.Atoms) -> Frame:
    info = dict(atoms.info)
    kind, group, coordinate = str(info.pop("kind")), str(info.pop("group")), float(info.pop("coordinate"))
    name = str(info.pop("name", group))
    structure = Structure.from_ase(atoms, name)
    return Frame(structure, kind, group, coordinate, {key: np.atleast_1d(value) for key, value in info.items()})
