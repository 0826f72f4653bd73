"""The teacher that a student learned from, and the one that labelled a file of structures.

Snakemake asks while it plans, so nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from assay.workflow.contents import content_sha256
from assay.workflow.files import look_up, require_named, sha256_file, training_record
from assay.workflow.records import read_content

DATASET_RECORD = "dataset.json"
OWN_REFERENCES = Path("data/build/references")
_LIMITS: tuple[Literal["vacuum_A", "time_limit_s"], ...] = ("vacuum_A", "time_limit_s")


class TeacherEntry(TypedDict):
    """A teacher as far as it is known.

    Attributes:
        name: what reports call it; None if the teacher is unknown.
        calculator: an ASE calculator class as module.Class; None if none is known.
        arguments: keyword arguments of the calculator.
        environment: a requirements file or a Python interpreter in which it runs; None for the workflow's own.
        vacuum_A, time_limit_s: as of a variant that is a calculator, where the config says them.
    """

    name: str | None
    calculator: str | None
    arguments: dict[str, Any]
    environment: str | None
    vacuum_A: NotRequired[float]
    time_limit_s: NotRequired[float]


def teacher_of(variant: Mapping[str, Any], configured: Mapping[str, Any]) -> TeacherEntry:
    """The teacher of a student: what its variant says, else what the record of its training says, else an unknown one.

    Args:
        variant: the entry of the config's ``variants``, whose ``teacher`` is a name or a mapping.
        configured: the config's section ``teacher``, whose calculator serves every teacher of that name.
    """
    stated = variant.get("teacher")
    if stated is None:
        stated = look_up(read_content(training_record(variant.get("checkpoint") or "")), "teacher", "name")
    entry: dict[str, Any] = {"name": stated if isinstance(stated, str) else None}
    if isinstance(stated, Mapping):
        entry = dict(stated)
    if entry.get("calculator") is None and same_teacher(entry["name"], configured["name"]):
        entry |= {key: configured.get(key) for key in ("calculator", "arguments", "environment", *_LIMITS)}
    found = TeacherEntry(
        name=entry["name"],
        calculator=entry.get("calculator"),
        arguments=dict(entry.get("arguments") or {}),
        environment=entry.get("environment"),
    )
    for key in _LIMITS:
        if entry.get(key) is not None:
            found[key] = float(entry[key])
    return found


def teacher_beside(model: str | Path) -> str | None:
    """The name of the teacher of a model file, by the ``records_of`` its training; None if there is none that tells."""
    names = (look_up(read_content(record), "teacher", "name") for record in records_of(model))
    return next((name for name in names if isinstance(name, str)), None)


def records_of(model: str | Path) -> list[Path]:
    """The records of training that may tell of a model file, as far as they exist: first the one beside it, then that
    beside the checkpoint which ``model.json`` in the same folder names.
    """
    path = Path(model)
    origin = look_up(read_content(path.with_name("model.json")), "source", "path")
    places = [training_record(checkpoint) for checkpoint in (path, origin) if checkpoint]
    return [record for record in places if record.is_file()]


def reference_files(physics: Mapping[str, Any], teachers: Iterable[str | None] = ()) -> list[str]:
    """The files of references that the config's section ``physics`` names: first those of the user's own structures,
    as far as they were made.

    Args:
        physics: the section.
        teachers: the names of the teachers whose references of the user's own structures are wanted.
    """
    named = physics["reference"]
    own = [own_reference(physics["structures"], name) for name in teachers if name] if "structures" in physics else []
    return [*(str(path) for path in own if path.is_file()), *([named] if isinstance(named, str) else named)]


def own_reference(structures: str | Path, teacher: str, key: str = "physics.structures") -> Path:
    """Where the reference of somebody's own structures by a teacher lies; others have it elsewhere.

    Args:
        structures: the file of the structures.
        teacher: the name of the teacher.
        key: the key of the config that names the file.

    Raises:
        AssayError: there is no file of structures.
    """
    path = Path(structures)
    require_named(path, key)
    spelled = teacher.strip().casefold()
    name = re.sub(r"[^a-z0-9]+", "-", spelled).strip("-")
    if name != spelled:  # what a name of a file leaves out tells teachers apart
        name = f"{name}-{hashlib.sha256(spelled.encode()).hexdigest()[:8]}".lstrip("-")
    return OWN_REFERENCES / f"{path.stem}.{content_sha256(path)[:8]}.{name}.xyz.gz"


def same_teacher(one: str | None, other: str | None) -> bool:
    """Whether two names are known and mean one teacher; upper and lower case do not matter."""
    return one is not None and other is not None and one.strip().casefold() == other.strip().casefold()


def whose_labels(labels: str | None, student: str | None) -> dict[str, Any]:
    """What ``accuracy.json`` says of the labels of a split.

    Args:
        labels: the teacher that labelled the split; None if it is unknown.
        student: the teacher of the student; None if it is unknown.

    Returns:
        ``name`` of the teacher that labelled the split; ``own``, whether it is the student's (None if one of both is
        unknown); and a ``sentence``.
    """
    own = None if labels is None or student is None else same_teacher(labels, student)
    if own is False:
        sentence = f"labelled by {labels} and not by {student}, its teacher, so that no difference is its error alone"
    elif own:
        sentence = f"labelled by {labels}, its teacher"
    else:
        known = f"labelled by {labels or 'a teacher that is not stated'}"
        sentence = known if student else f"{known}, while the teacher of the student is unknown"
    return {"name": labels, "own": own, "sentence": sentence}


def labelled_by(split: str | Path | Mapping[str, Any]) -> str | None:
    """The teacher of the labels in a file: what the config says, else what the ``dataset.json`` beside the file does.

    Args:
        split: a path, or an entry of ``dataset.splits`` of the config with ``path`` and perhaps ``teacher``.

    Returns:
        its name; None if nothing tells it. A file counts as the one that ``dataset.json`` tells of if it has the same
        SHA-256.
    """
    if isinstance(split, Mapping) and split.get("teacher"):
        return str(split["teacher"])
    path = Path(split["path"] if isinstance(split, Mapping) else split)
    recorded = recorded_labels(path)
    if recorded is None or not path.is_file():
        return None
    return recorded["teacher"] if sha256_file(path) == recorded["file_sha256"] else None


def recorded_labels(labelled: str | Path) -> dict[str, str] | None:
    """What the ``dataset.json`` beside a labelled file says of it, whatever the file holds now.

    Snakemake plans by it what rests on ``labelled_by``: the record cannot be an input, for a rule makes it.

    Returns:
        The name of the ``teacher``, and ``file_sha256`` of the file that is meant; None if one of them is not told.
    """
    path = Path(labelled)
    record = read_content(path.with_name(DATASET_RECORD))
    sha256, name = look_up(record, "parts", path.stem, "file_sha256"), look_up(record, "teacher", "name")
    return {"teacher": name, "file_sha256": sha256} if isinstance(sha256, str) and isinstance(name, str) else None
