"""The config of somebody who distils students of their own: their data take the place of what is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from assay.workflow.config_models.config_yaml import with_modules_of_their_own
from assay.workflow.errors import AssayError
from assay.workflow.files import read_json, training_record
from assay.workflow.teachers import TeacherEntry, same_teacher

FOLDER = "students"  # where trained students and their data lie, in the folder that the workflow runs in
TRAIN, VALIDATION = f"{FOLDER}/train.h5", f"{FOLDER}/validation.h5"
SUPERCELLS = "data/build/own/supercells.xyz"  # the structures that `data: supercells` makes
EARLIER = f"{FOLDER}/earlier"  # where students lie that a later one of the same name replaced
REGISTERED = f"{FOLDER}/registered.json"  # what was put there last, with the SHA-256 of each file
HELD_OUT = "held_out"  # the name of the split that they are judged on

_ABOUT_WEIGHTS = ("licence", "citation")  # keys of a student that say how its weights may be used

Value = TypeVar("Value")


def present(entries: Mapping[str, Value | None]) -> dict[str, Value]:
    """The entries that are not null: null in an override removes an entry of the default config.

    Inside ``--config key={...}`` Snakemake hands null over as text.
    """
    return {name: value for name, value in entries.items() if value not in (None, "null")}


def with_own_students(config: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The config in which one's own students, data and teacher take the place of those that are shipped.

    Without ``data`` nothing changes. With it the variants are the students of ``students`` and those that the caller
    names beside them; they are judged on what was held out, and on splits of the caller. The teacher of all this is the
    caller's, so that nothing is compared with labels of the shipped one.

    Args:
        config: a whole config that was checked; it is changed.
        given: the caller's part of it.

    Raises:
        AssayError: there are students without data, or data without students; structures without a calculator that
            labels them; data of two teachers; a student with the name of a variant, or with the Python module of one; a
            student that goes on from itself or from a calculator; a change of a variant that is left out; or no split
            that students are judged on.
    """
    data, students = config["data"], present(config["students"])
    if data is None:
        if students:
            raise AssayError(
                f"the config names the students {', '.join(students)} and no `data`: say what they learn from, as in "
                "`data: {train: my.xyz}`"
            )
        return config
    if not students:
        raise AssayError(
            "the config names `data` and no student: add one, as in `students: {small: {parameters: 77_000}}`"
        )
    teacher = _teacher_of(data, given.get("teacher"))
    if "supercells" in data:
        data["structures"] = SUPERCELLS
    if config["rounds"]["count"] and "calculator" not in teacher:
        raise AssayError(
            "`rounds` find structures that have no labels, and no calculator is to label them: name one, as in "
            "`data: {train: my.xyz, teacher: {calculator: module.Class}}`"
        )
    if "structures" in data and "calculator" not in teacher:
        raise AssayError(
            "`data.structures` have no labels, and no calculator is to label them: name one, as in "
            "`data: {structures: my.xyz, teacher: {calculator: module.Class}}`"
        )
    others = _own_variants(_section(given, "variants"))
    taken = sorted(set(students) & set(others))
    if taken:
        raise AssayError(f"{taken[0]} is the name of a student and of a variant in the config: rename one of them")
    try:
        with_modules_of_their_own(others | students)
    except ValueError as error:
        raise AssayError(f"students and variants of the config must be {error}") from None
    _check_origins(students, others)
    config["variants"] = others | {name: _variant(name, student, teacher) for name, student in students.items()}
    config["dataset"] |= _data_files(_section(given, "dataset"), _teacher_of_held_out(data, teacher))
    if "calculator" in teacher:
        config["teacher"] = {"arguments": {}} | teacher
        if "structures" in data and "supercells" not in data:
            config["physics"].setdefault("structures", data["structures"])
    if "training_data" not in _section(given, "package"):
        config["package"]["training_data"] = f"energies and forces of {_source_of(data)}, by {teacher['name']}"
    data["teacher"] = teacher
    return config


def checkpoint_path(student: str) -> str:
    """Where the checkpoint of one's own student lies once it is trained."""
    return f"{FOLDER}/{student}.pt"


def said_of(student: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """What tells one's own student from others of its name, which the record of its training keeps.

    Args:
        student: its entry in the config.
        data: the config's section of that name.
    """
    return {
        "data": {key: _without_folders(value) for key, value in data.items() if key != "teacher"},
        "student": {
            key: _without_folders(value) if key == "from" else value
            for key, value in student.items()
            if key not in _ABOUT_WEIGHTS and value != {}
        },
    }


def _without_folders(value: Any) -> Any:
    """Data as the config says them, with the names alone of files, which may lie elsewhere on another machine."""
    if isinstance(value, str):
        return Path(value).name
    if isinstance(value, list):
        return [_without_folders(part) for part in value]
    if isinstance(value, dict) and isinstance(value.get("path"), str):
        name = Path(value["path"]).name
        return value | {"path": name} if len(value) > 1 else name
    return value


def check_trained(student: str, teacher: TeacherEntry, said: Mapping[str, Any]) -> None:
    """Make sure that one's own student is what the config says, by the record of its training.

    Args:
        student: the name of the student.
        teacher: its teacher in the config.
        said: what the config says of it, as ``said_of`` gives it.

    Raises:
        AssayError: it is not trained yet, or gone, it learned from another teacher or from the same class with other
            arguments, it is of another config that names a student so, or the structures that it learned from or that
            were held out were replaced by those of another config.
    """
    path, placed = checkpoint_path(student), Path(REGISTERED)
    if not Path(path).is_file():
        was_placed = placed.is_file() and Path(path).name in read_json(placed)
        raise AssayError(
            f"{path} was trained and is gone: run `snakemake distill --forcerun distill` with the same config, which "
            "puts it back, and then the same command again"
            if was_placed
            else f"{path} is not trained yet: run `snakemake distill` with the same config first, and then the same "
            "command again"
        )
    record = training_record(path)
    if not record.is_file():
        return
    about = read_json(record)
    learned_from = about.get("teacher", {})
    if (other := _difference(learned_from, teacher)) is not None:
        raise AssayError(
            f"{path} learned from {other[0]}, and the config says from {other[1]}: run `snakemake distill` with this "
            "config, or put the teacher back"
        )
    for section, where in (("data", "data"), ("student", f"students.{student}")):
        was, is_now = about.get("config", said)[section], said[section]
        for key in sorted({*was, *is_now}):
            if was.get(key) != is_now.get(key):
                raise AssayError(
                    f"{path} was trained with `{where}.{key}` {was.get(key, 'left out')}, and the config says "
                    f"{is_now.get(key, 'nothing of it')}: run `snakemake distill` with this config, which keeps the "
                    f"earlier student in {EARLIER}, or work in a folder of its own"
                )
    registered = read_json(placed) if placed.is_file() else {}
    for file, key in ((VALIDATION, "held_out_sha256"), (TRAIN, "train_file_sha256")):
        own = about.get(key)
        if own and registered.get(Path(file).name, own) != own:
            raise AssayError(
                f"{file} is of another `snakemake distill` than {path}, whose structures it replaced: run it again "
                "with this config, or work in a folder of its own"
            )


def _difference(recorded: Mapping[str, Any], teacher: TeacherEntry) -> tuple[str, str] | None:
    """What tells a recorded teacher and that of the config apart, in words for each; None if nothing does.

    Beside the name it is the calculator and its arguments, where both have one. The environment only says where it is
    installed.
    """
    name = recorded.get("name", teacher["name"])
    if name != teacher["name"]:
        return str(name), str(teacher["name"])
    if recorded.get("calculator") is None or teacher["calculator"] is None:
        return None
    was, is_now = ((one["calculator"], one.get("arguments") or {}) for one in (recorded, teacher))
    if was == is_now:
        return None
    return f"{name} by {was[0]} with the arguments {was[1]}", f"{name} by {is_now[0]} with the arguments {is_now[1]}"


def _teacher_of(data: Mapping[str, Any], given: Any) -> dict[str, Any]:
    """The teacher of the data by the keys of a ``NamedTeacher``: theirs, else that of the config if it is the caller's,
    else one whose name only says which file it labelled.

    Raises:
        AssayError: the file that students learn from names another one.
    """
    stated = data.get("teacher") or (given if isinstance(given, Mapping) else None)
    train = data.get("train")
    named = train.get("teacher") if isinstance(train, Mapping) else None
    name = stated.get("name") if isinstance(stated, Mapping) else stated
    if named and name and not same_teacher(named, name):
        key = "data.teacher" if data.get("teacher") else "teacher"
        raise AssayError(
            f"`data.train.teacher` is {named} and `{key}` is {name}, and students learn from one teacher: name the one "
            "whose labels the file holds in both, or in one of them"
        )
    if stated is None:
        return {"name": named or f"the teacher of {_source_of(data)}"}
    if isinstance(stated, str):
        return {"name": stated}
    return {"name": str(stated.get("calculator", "")).rpartition(".")[2]} | dict(stated)


def _source_of(data: Mapping[str, Any]) -> str:
    """The name of the file that students learn from."""
    source = data["train"] if "train" in data else data.get("structures", SUPERCELLS)
    return Path(source if isinstance(source, str) else source["path"]).name


def _section(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of what the caller gave; an empty one where it is missing or something else."""
    section = given.get(name)
    return section if isinstance(section, Mapping) else {}


def _own_variants(given: Mapping[str, Any]) -> dict[str, Any]:
    """The variants that the caller names in full, a shipped one among them if its checkpoint is named.

    Raises:
        AssayError: one is not named in full, so that it changes a variant that is left out.
    """
    for name, entry in present(given).items():
        if isinstance(entry, Mapping) and "checkpoint" not in entry and "calculator" not in entry:
            raise AssayError(
                f"`variants.{name}` changes a variant of the default config, which `data` leaves out: name its "
                "`checkpoint` besides, or remove the entry"
            )
    return {name: dict(entry) for name, entry in present(given).items() if isinstance(entry, Mapping)}


def _check_origins(students: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    """Refuse students that go on from themselves, near or far, and those that go on from a calculator."""
    for name in students:
        line = [name]
        while (origin := students[line[-1]].get("from")) in students:
            if origin in line:
                way = " from ".join([*line, origin])
                raise AssayError(
                    f"students go on from each other in a circle ({way}): let one of them begin with `parameters`, or "
                    "`from` a checkpoint by its path"
                )
            line.append(origin)
        if "calculator" in others.get(origin, {}):
            raise AssayError(
                f"`students.{line[-1]}.from` is {origin}, a calculator, which has no weights to go on from"
            )


def _variant(name: str, student: Mapping[str, Any], teacher: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: student[key] for key in _ABOUT_WEIGHTS if key in student}
    return {"checkpoint": checkpoint_path(name), "teacher": dict(teacher)} | told


def _teacher_of_held_out(data: Mapping[str, Any], teacher: Mapping[str, Any]) -> str:
    """The name of the teacher whose labels are held out: the one that the file of ``validation`` states goes first."""
    validation = data.get("validation")
    named = validation.get("teacher") if isinstance(validation, Mapping) else None
    return named or teacher["name"]


def _data_files(given: Mapping[str, Any], teacher: str) -> dict[str, Any]:
    """The files of the section ``dataset``: those of the caller's students, unless the caller names others.

    Args:
        given: the caller's part of the section.
        teacher: the name of the teacher whose labels are held out.

    Raises:
        AssayError: no split is left.
    """
    held_out = {"path": VALIDATION, "teacher": teacher}
    splits = present({HELD_OUT: held_out, **_section(given, "splits")})
    if not splits:
        raise AssayError(f"`dataset.splits.{HELD_OUT}` is null, and students are judged on no other split: name one")
    return {
        "splits": splits,
        "train": given.get("train", TRAIN),
        "validation": given.get("validation", VALIDATION),
    }
