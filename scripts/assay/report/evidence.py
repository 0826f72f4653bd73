"""Reads what a report is made of: the results of each student, as far as they exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assay.physics import standing
from assay.workflow.contents import content_sha256
from assay.workflow.errors import AssayError
from assay.workflow.files import look_up, read_json, training_record
from assay.workflow.records import whole_record

BRANCHES = ("model", "accuracy", "physics", "benchmark", "export", "quantization")
HEADLINE_SPLIT = "unseen_molecules"


@dataclass(frozen=True)
class Student:
    """One variant and what is known of it.

    Attributes:
        name: the name of the variant.
        folder: the folder of its results.
        results: the content of ``<branch>.json`` by branch, and of the record of its ``training``; what does not exist
            is absent.
        of_another: branches whose result is there but says that it is of another model than the student has now.
    """

    name: str
    folder: Path
    results: Mapping[str, Mapping[str, Any]]
    of_another: Sequence[str] = ()

    def get(self, branch: str, *keys: str | int) -> Any:
        """Read a value deep inside a branch's JSON; None, not measured, where any part of the way is missing."""
        return look_up(self.results, branch, *keys)

    def not_applicable(self, branch: str) -> str | None:
        """Say why a branch does not apply to the student, such as export to a calculator; None if it does."""
        reasons = self.get(branch, "not_applicable"), self.get("model", "not_applicable", branch)
        return next((reason for reason in reasons if isinstance(reason, str)), None)

    def size_bytes(self, file: str) -> int | None:
        """Return the size of one of its exported files; None if there is none, or one of an earlier model alone."""
        path = self.folder / file
        return path.stat().st_size if path.is_file() and not self.not_applicable("export") else None

    @property
    def splits(self) -> Mapping[str, Mapping[str, Any]]:
        """The errors by split; empty if they were not measured."""
        return self.get("accuracy", "splits") or {}

    @property
    def teacher(self) -> str | None:
        """The name of its teacher; None if that is unknown or was not asked for."""
        return self.get("accuracy", "teacher") or self.get("physics", "teacher")

    @property
    def machine(self) -> str | None:
        """The machine that it was timed on and the threads that it had, in words; None if it was not timed."""
        name, threads = self.get("benchmark", "device_name"), self.get("benchmark", "threads", "torch")
        return f"{name} with {threads} thread{'s' if threads > 1 else ''}" if name and threads else name

    @property
    def headline_split(self) -> str | None:
        """The split whose errors stand for the student: unseen molecules if there are any, else the first one.

        None if every split is known to be labelled by another teacher than the student's.
        """
        own = [name for name in self.splits if self.get("accuracy", "splits", name, "labelled_by", "own") is not False]
        return HEADLINE_SPLIT if HEADLINE_SPLIT in own else next(iter(own), None)

    @property
    def without_prediction(self) -> dict[str, int]:
        """The number of structures that have no prediction, by split; splits where all have one are left out."""
        return standing.without_prediction(self.results)

    def gap(self, split: str | None) -> str:
        """How many structures of a split have no prediction and are in no error, in words; empty if all have one."""
        return standing.gap(self.results, split)

    def verdict(self, file: str | None = None) -> str | None:
        """Return the verdict that stands for the student, or for one of its exported files; None if not judged."""
        return standing.standing(self.results, file)

    @property
    def cap(self) -> str | None:
        """Why the verdict is at most screening-only though no check failed; None if nothing caps it."""
        return standing.cap(self.results)

    @property
    def has_stress(self) -> bool:
        """Whether a split has labels of stress."""
        return any(split.get("n_stress_labels") for split in self.splits.values())

    def doubt_of_labels(self, split: str | None) -> str:
        """Whose labels a split holds, in words, unless they are known to be those of its own teacher."""
        whose = self.get("accuracy", "splits", split or "", "labelled_by") or {"own": True}
        return "" if whose["own"] else whose["sentence"]

    def headline(self, metric: str) -> Any:
        """Read a metric of accuracy on the headline split; None if it was not measured."""
        return self.get("accuracy", "splits", self.headline_split or "", metric)


def read_students(folders: Iterable[str | Path]) -> list[Student]:
    """Read a student from each results folder; a missing ``<branch>.json`` is a branch that was not run.

    So is one of another model, such as the network that had the name of a calculator before.

    Raises:
        AssayError: a file is there but is not JSON.
    """
    students = []
    for folder in map(Path, folders):
        paths = {branch: folder / f"{branch}.json" for branch in BRANCHES}
        student = Student(folder.name, folder, {b: read_json(path) for b, path in paths.items() if path.is_file()})
        others = [branch for branch in student.results if _is_of_another(student, branch)]
        own = {b: result for b, result in student.results.items() if b not in others and _applies(student, b)}
        student = replace(student, results=own, of_another=others)
        record = training_record(student.get("model", "source", "path") or "")
        if record.is_file() and (whole := whole_record(read_json(record))) is not None:
            student = replace(student, results=dict(student.results) | {"training": whole})
        students.append(student)
    return students


def require_current(students: Iterable[Student]) -> None:
    """Make sure that results are of the checkpoints that stand where these came from, unless they were moved away.

    Snakemake makes them so, but for what it is told to take as it is.

    Raises:
        AssayError: a checkpoint was replaced since, or a result is of another model than the others.
    """
    for student in students:
        path, sha256 = (student.get("model", "source", key) for key in ("path", "sha256"))
        if path and Path(path).is_file() and content_sha256(path) != sha256:
            raise AssayError(
                f"the results in {student.folder} are of another checkpoint than {path} is now, as `snakemake --touch` "
                "leaves them: make them again by the same command with `--forcerun normalize`"
            )
        for branch in student.of_another:
            if not student.not_applicable(branch):
                raise AssayError(
                    f"{student.folder / branch}.json is of another model than {student.folder / 'model.json'}, as "
                    "`snakemake --touch` leaves it: remove it and call the same command again"
                )


def _applies(student: Student, branch: str) -> bool:
    """Whether a branch applies to the model that the student has now."""
    return not isinstance(student.get("model", "not_applicable", branch), str)


def _is_of_another(student: Student, branch: str) -> bool:
    """Whether the result of a branch says that it is of another model than the student has now."""
    return len({student.get(part, "checkpoint_sha256") for part in ("model", branch)} - {None}) > 1
