"""The workflow's config: five files of defaults under what the caller gives, checked strictly before any job is
planned.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from snakemake.utils import update_config

from assay.workflow.config_errors import most_telling, nearest, sentence, text_may_be
from assay.workflow.config_layers import merged
from assay.workflow.config_models.whole import Config
from assay.workflow.errors import AssayError
from assay.workflow.files import look_up
from assay.workflow.own_students import present, with_own_students
from assay.workflow.teachers import same_teacher

FILES = ("config.yaml", "physics.yaml", "recipes.yaml", "students.yaml", "commands.yaml")
# Keys of earlier versions, and what took their place.
_LABELS = "dataset.recipe.labels"
MOVED = {
    "package.licence": "`licence` of each variant, as `variants.<name>.licence`",
    f"{_LABELS}.driven": f"`{_LABELS}.student_md`",
    f"{_LABELS}.driven_again_shards": f"`{_LABELS}.student_md_again_shards`",
    f"{_LABELS}.redriven": f"`{_LABELS}.better_student_md`",
    "distill.recipe.rounds.*.shares.driven": "`student_md` in the same place",
    "distill.students.*.recipe.rounds.*.shares.driven": "`student_md` in the same place",
}


def load_config(folder: str | Path, *overrides: str | Path) -> dict[str, Any]:
    """The checked config of a folder, for what runs without Snakemake.

    Args:
        folder: the folder with ``FILES``.
        overrides: YAML files whose keys replace those of the defaults and of each other, as with ``--configfile``; see
            ``merged``.

    Raises:
        AssayError: a file is missing or is not YAML, or as ``complete_config`` does.
    """
    for path in overrides:
        require_single_keys(path)
    return complete_config(merged(_read_yaml(Path(path)) for path in overrides), folder)


def complete_config(given: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """The defaults of a folder, overridden key by key by what the caller gave, and checked; a new dictionary.

    A variant whose checkpoint or calculator is replaced keeps nothing else of its default: what is said of one student
    is not true of another. So it is with a teacher whose calculator is replaced, which has the name of its class unless
    the caller names it; and one of another name keeps no argument of the default. The caller's paths are relative
    to the current folder, or, where nothing lies there, to the folder of the Snakefile, so that what is shipped can be
    named from anywhere; ``~`` as their first folder is the caller's home. Those of the defaults are of the folder
    ``data`` beside ``folder``, see ``shipped_path``.

    Args:
        given: the caller's part of the config.
        folder: the folder with ``FILES``.

    Raises:
        AssayError: a file is missing or is not YAML, a key is no text, a teacher is named in part, or as
            ``check_config`` does.
    """
    config: dict[str, Any] = {}
    for name in FILES:
        update_config(config, _read_yaml(Path(folder, name)))
    root = Path(folder).absolute().parent
    config = _with_texts(config, lambda text: shipped_path(text, root) if text.startswith("data/") else text)
    _check_keys(given)
    given = _with_texts(given, lambda text: _place(text, root))
    for name in _replaced(given.get("variants"), config["variants"]):
        del config["variants"][name]
    teacher = given.get("teacher")
    if isinstance(teacher, Mapping):
        _check_teacher(teacher, config["teacher"], has_data=given.get("data") is not None)
        if "arguments" in teacher and _is_another(teacher, config["teacher"]):
            config["teacher"]["arguments"] = {}
        if _replaced({"teacher": teacher}, {"teacher": config["teacher"]}):
            config["teacher"] |= {"name": str(teacher["calculator"]).rpartition(".")[2], "arguments": {}}
    _check_names_of_checks(given, list(config["physics"]["thresholds"]))
    update_config(config, given)
    check_config(config)
    return with_own_students(config, given)


def _check_names_of_checks(given: Mapping[str, Any], known: list[str]) -> None:
    """Refuse what is no physics check where the caller names some."""
    for key in ("physics.thresholds", "physics.exports.checks", "compress.without_checks"):
        names = look_up(given, *key.split("."))
        for name in names if isinstance(names, Mapping | list) else ():
            if isinstance(name, str) and name not in known:
                raise AssayError(
                    f"the config cannot be used: `{key}` names {name}, which is no physics check; "
                    f"{nearest(name, known)}"
                )


def _check_teacher(given: Mapping[str, Any], default: Mapping[str, Any], has_data: bool) -> None:
    """Refuse part of a teacher, which would name one calculator and ask another, or ask it with another's arguments."""
    if "calculator" in given and given["calculator"] != default["calculator"]:
        return
    if "calculator" in given and "arguments" not in given and _is_another(given, default):
        raise AssayError(
            f"`teacher` names the calculator {default['calculator']} and no `arguments`, and those of the default "
            f"config are of {default['name']}: name its `arguments` too, as in `arguments: {{}}` for none"
        )
    changed = {key for key, value in given.items() if value != default.get(key)}
    changed -= set() if has_data else {"time_limit_s"}  # which says nothing of who it is
    if not changed or ("calculator" in given and "name" in given):
        return
    if "name" not in given:
        raise AssayError(
            f"`teacher` has other {' and '.join(sorted(changed))} and the name of {default['name']}: give it a `name` "
            "of its own, and its `calculator`"
        )
    if not (has_data and given.keys() == {"name"}):
        raise AssayError(
            f"`teacher` has the name {given['name']} and the calculator of {default['name']}: name its `calculator` too"
        )


def _is_another(given: Mapping[str, Any], default: Mapping[str, Any]) -> bool:
    """Whether the caller's part of a teacher does not name the default one."""
    return not same_teacher(str(given.get("name", "")), default["name"])


def shipped_path(path: str, root: Path) -> str:
    """A file that is shipped with the workflow as seen from the current folder.

    It stays relative where the current folder is ``root``, so that results there do not tell where it lies.

    Args:
        path: the path from ``root`` on.
        root: the folder of the Snakefile.
    """
    return path if Path.cwd() == root.resolve() else str(root / path)


def _place(text: str, root: Path) -> str:
    """A text of the caller, in which a path from ``~`` or of a shipped file is one seen from the current folder."""
    if text == "~" or text.startswith("~/"):
        return str(Path(text).expanduser())
    is_shipped = "/" in text and not os.path.exists(text) and os.path.isfile(root / text)
    return shipped_path(text, root) if is_shipped else text


def check_config(config: dict[str, Any]) -> None:
    """Hold a whole config against the models of ``config_models``.

    Snakemake hands over every scalar inside ``--config key={...}`` as text, so text where a model wants another scalar
    is first read as one, in place.

    Raises:
        AssayError: naming the most telling key that does not fit, its value, and what would.
    """
    moved = [f"`{key}` is now {place}" for key, place in MOVED.items() if is_given(config, key)]
    if moved:
        raise AssayError(f"the config cannot be used: {'; '.join(moved)}")
    while errors := _errors(config):
        read = [_read_text(config, error) for error in errors]
        if not any(read):
            raise AssayError(f"the config cannot be used: {sentence(most_telling(errors))}")
    for section in (config["variants"], config["dataset"]["splits"]):
        if not present(section):
            raise AssayError("the config cannot be used: all variants or all splits are null; keep at least one")


def is_given(given: Any, key: str) -> bool:
    """Whether the part of a config that a caller gave has a key, such as ``dataset.train``.

    A ``*`` in the key stands for any name, or for any place in a list.
    """
    part, _, rest = key.partition(".")
    entries = given.items() if isinstance(given, Mapping) else enumerate(given) if isinstance(given, list) else ()
    return any(part in ("*", str(name)) and (not rest or is_given(entry, rest)) for name, entry in entries)


def calculator_of(variant: Mapping[str, Any]) -> dict[str, Any]:
    """What a variant says of its calculator, by the attributes of ``predictors.calculators.CalculatorModel``."""
    keys = ("calculator", "arguments", "environment", "cutoff_A", "vacuum_A", "time_limit_s")
    return {"arguments": {}} | {key: variant[key] for key in keys if key in variant}


def file_of(labelled: str | Mapping[str, Any]) -> str:
    """The path of a file of labelled structures, which may stand alone or beside names and units of its labels."""
    return labelled if isinstance(labelled, str) else labelled["path"]


def resolve_device(wanted: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` is a GPU where its driver answers and torch was built for it."""
    if wanted != "auto":
        return wanted
    return "cpu" if why_no_gpu() else "cuda"


@functools.cache
def why_no_gpu() -> str | None:
    """Say why nothing runs on a GPU here; None where there is one.

    It asks without importing torch, which would slow each planning of the workflow down by seconds.
    """
    if version("torch").endswith("+cpu"):
        return "torch was built without CUDA: make the environment with `make env ENV=cuda`"
    if shutil.which("nvidia-smi") is None:
        return "there is no driver (nvidia-smi): set `device: cpu`"
    answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True)
    return (
        None if answer.returncode == 0 and answer.stdout else "its driver finds none (nvidia-smi -L): set `device: cpu`"
    )


def require_single_keys(path: str | Path) -> None:
    """Refuse a YAML or JSON file that names a key twice, of which every reader keeps the last without a word.

    Args:
        path: a file that can be read as YAML; of another one nothing is said here.

    Raises:
        AssayError: with the key and its lines.
    """
    with suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
        waiting = [yaml.compose(Path(path).read_text(), Loader=yaml.SafeLoader)]
        while waiting:
            node = waiting.pop()
            if isinstance(node, yaml.SequenceNode):
                waiting += node.value
            if not isinstance(node, yaml.MappingNode):
                continue
            lines: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                waiting.append(value)
                if not isinstance(key, yaml.ScalarNode):
                    continue
                if key.value in lines:
                    raise AssayError(
                        f"{path} has `{key.value}` twice, in lines {lines[key.value]} and {line}: write it once"
                    )
                lines[key.value] = line


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise AssayError(f"{path} cannot be read as a config ({reason}): correct it") from None
    if not isinstance(content, dict):
        raise AssayError(f"{path} holds no keys of a config: see config/config.yaml")
    return content


def _with_texts(part: Any, change: Callable[[str], str]) -> Any:
    """A copy of a part of a config in which each text is changed, but for keys."""
    if isinstance(part, Mapping):
        return {key: _with_texts(entry, change) for key, entry in part.items()}
    if isinstance(part, list):
        return [_with_texts(entry, change) for entry in part]
    return change(part) if isinstance(part, str) else part


def _check_keys(given: Any, place: str = "") -> None:
    """Refuse keys that YAML does not read as text, such as ``2024`` or ``yes``, before anything compares them."""
    entries = given.items() if isinstance(given, Mapping) else enumerate(given) if isinstance(given, list) else ()
    for key, entry in entries:
        if isinstance(given, Mapping) and not isinstance(key, str):
            where = f"`{place}`" if place else "the config"
            kind = "true or false" if isinstance(key, bool) else type(key).__name__
            raise AssayError(
                f"the config cannot be used: {where} has a key that YAML reads as {kind} ({key}), where a name must "
                "stand: write it in quotes"
            )
        _check_keys(entry, f"{place}.{key}" if place else str(key))


def _replaced(given: Any, defaults: Mapping[str, Any]) -> list[str]:
    """The names of the default variants for which the caller gives another checkpoint, or a calculator."""
    entries = given.items() if isinstance(given, Mapping) else ()
    return [
        name
        for name, entry in entries
        if isinstance(entry, Mapping)
        and name in defaults
        and any(key in entry and entry[key] != defaults[name].get(key) for key in ("checkpoint", "calculator"))
    ]


def _errors(config: dict[str, Any]) -> list[ErrorDetails]:
    try:
        Config.model_validate(config)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _read_text(config: dict[str, Any], error: ErrorDetails) -> bool:
    """Replace text of the wrong type by the scalar that it spells, if that one is of the right type."""
    is_type = error["type"].endswith(("_type", "int_from_float")) and error["loc"][-1] != "[key]"
    if not is_type or not isinstance(error["input"], (str, float)):
        return False
    *parents, key = error["loc"]
    holder: Any = config
    for parent in parents:
        holder = holder[parent]
    for value in _spelled(error["input"]):
        if text_may_be(error, value):
            holder[key] = value
            return True
    return False


def _spelled(value: str | float) -> Iterator[Any]:
    """What text may spell: YAML, or a number like 1e-4, which YAML takes for text; 3.0 is a whole number too."""
    if isinstance(value, str):
        with suppress(yaml.YAMLError):
            yield yaml.safe_load(value)
    with suppress(ValueError, OverflowError):
        number = float(value)
        if number.is_integer():
            yield int(number)
        yield number
