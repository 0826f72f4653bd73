"""Files that are either complete or absent."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from assay.workflow.errors import AssayError

_SUFFIX = re.compile(r"\.(?:[a-zA-Z]+|pt2)")  # of a file of a model
_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EROFS: "choose a folder on a disk that can be written",
    errno.EACCES: "make its folder writable",
    errno.EPERM: "make its folder writable",
    errno.ENOTDIR: "move the file away that stands in its path",
    errno.EEXIST: "move the file away that stands in its path",
}
FULL_bytes = 100_000  # a disk with less is full, whatever a writer says of its failure
_STREAM = "a device or a pipe, and no file that can be complete or absent: name a file"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place on success and is removed on failure.

    The temporary name keeps the suffixes, so that writers which choose a format by suffix work unchanged. What a killed
    process of this machine left of the same file is removed.

    Raises:
        AssayError: the folder cannot be written, its disk is full, or no file stands in that place.
    """
    target = Path(path)
    if _is_stream(target):
        raise AssayError(f"{target} is {_STREAM}")
    own = f".{target.name}.{socket.gethostname()}-"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent, own)
        folder = tempfile.TemporaryDirectory(prefix=f"{own}{os.getpid()}-", dir=target.parent)
    except OSError as error:
        raise _cannot_write(target, error.errno) from error
    with folder:
        temporary = Path(folder.name) / target.name
        try:
            yield temporary
            os.replace(temporary, target)
        except Exception as error:
            number = error.errno if isinstance(error, OSError) else None
            if shutil.disk_usage(target.parent).free < FULL_bytes:
                number = errno.ENOSPC
            if number in (errno.ENOSPC, errno.EDQUOT):
                raise _cannot_write(target, number) from error
            raise


def _is_stream(path: Path) -> bool:
    """Whether a path is a device, a pipe or a stream of a process, in whose place ``os.replace`` would put a file."""
    try:
        last = path.parent / os.readlink(path) if path.is_symlink() else path  # of /dev/stdout, /proc/self/fd/1
        is_other = path.exists() and not path.is_file() and not path.is_dir()
    except OSError:
        return False  # a folder that nothing can be looked up in refuses the file, too
    return is_other or last.parent.resolve().is_relative_to("/proc")


def require_own_files(outputs: Mapping[str, str | Path | None], inputs: Sequence[str | Path | None]) -> None:
    """Make sure that a command line names files for its outputs that replace neither a folder, a device or a pipe, nor
    an input, nor each other.

    Args:
        outputs: the path that each option names; None where it is not given.
        inputs: what is read; None for nothing.

    Raises:
        AssayError: one of them does.
    """
    taken = {Path(path).resolve(): "is read" for path in inputs if path is not None}
    for option, path in outputs.items():
        if path is None:
            continue
        if Path(path).is_dir():
            raise AssayError(f"{option} {path} is a folder: name a file")
        if _is_stream(Path(path)):
            raise AssayError(f"{option} {path} is {_STREAM}")
        if (target := Path(path).resolve()) in taken:
            raise AssayError(f"{option} {path} would replace what {taken[target]}: name another file")
        taken[target] = f"{option} writes"


def require_named(path: str | Path, key: str, advice: str = "check the path") -> None:
    """Make sure that a file of the user is there, and is no folder.

    Args:
        path: the file.
        key: the key of the config that names it, as ``data.train``.
        advice: what to do where there is no such file.

    Raises:
        AssayError: there is no such file.
    """
    if Path(path).is_dir():
        raise AssayError(
            f"{path}, which `{key}` in the config names, is a folder: name a file; scripts/gather.py makes one of "
            "labelled structures that lie in several, or in folders of DeePMD-kit"
        )
    if not Path(path).exists():
        raise AssayError(f"there is no file {path}, which `{key}` in the config names: {advice}")


def _sweep(folder: Path, prefix: str) -> None:
    """Remove temporary folders whose process is gone; their names tell it."""
    for stray in folder.glob(f"{glob.escape(prefix)}*"):
        process = stray.name.removeprefix(prefix).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(stray, ignore_errors=True)


def _cannot_write(path: Path, number: int | None) -> AssayError:
    reason = os.strerror(number) if number is not None else "for a reason that the system does not tell"
    return AssayError(f"{path} cannot be written ({reason}): {_ADVICE.get(number or 0, 'mend that')} and run again")


def cache_folder(kind: str) -> Path:
    """The folder of the user for what is made once and kept, such as the compiled engine; it need not be there yet.

    Raises:
        AssayError: there is neither such a folder nor a home.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(named or Path.home() / ".cache", "assay", kind)
    except RuntimeError:
        raise AssayError(
            "the user has no home in which what is made once could be kept: set XDG_CACHE_HOME to a folder"
        ) from None


def read_json(path: str | Path) -> Any:
    """The content of a JSON file.

    Raises:
        AssayError: if the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise AssayError(f"there is no file {path}: check the path") from None
    except ValueError as error:
        raise AssayError(f"{path} is not valid JSON ({error}): make it again") from None


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically; NaN and infinities are refused with ``ValueError``."""
    text = json_text(content) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def json_text(content: Any) -> str:
    """``content`` as indented JSON; NaN and infinities are refused with ``ValueError``."""
    return json.dumps(content, indent=2, allow_nan=False, default=_plain)


def short_digest(content: Any) -> str:
    """Twelve hexadecimal digits that follow from what JSON can hold, and name what is kept for a resume."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def sha256_file(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sidecars(path: str | Path) -> list[Path]:
    """Files beside a checkpoint that belong to it: config.json (HuggingFace), model.json of a normalized one."""
    names = {"model.safetensors": ("config.json", "model.json"), "pytorch_model.bin": ("config.json",)}
    found = ([place.with_name(name) for name in names.get(place.name, ())] for place in _places(path))
    return next(filter(None, ([file for file in files if file.is_file()] for files in found)), [])


def named_after(checkpoint: str | Path, ending: str) -> Path:
    """The path beside a checkpoint of the file that has its name with another ending.

    What follows the last dot of a name is a part of it where it is a number, as in ``model.v1`` or ``model.10``.
    """
    path = Path(checkpoint)
    return path.with_name((path.stem if _SUFFIX.fullmatch(path.suffix) else path.name) + ending)


def beside(checkpoint: str | Path, ending: str) -> Path:
    """The file that is named after a checkpoint: of a link without one, that beside the file which it leads to."""
    paths = [named_after(place, ending) for place in _places(checkpoint)]
    return next((path for path in paths if path.is_file()), paths[0])


def _places(checkpoint: str | Path) -> list[Path]:
    """A path, and where it is a link what it leads to."""
    return [Path(checkpoint), *([Path(os.path.realpath(checkpoint))] if Path(checkpoint).is_symlink() else [])]


def look_up(content: Any, *keys: str | int | None) -> Any:
    """Read a value deep inside the content of a JSON file; None where any part of the way is missing."""
    for key in keys:
        if isinstance(content, Mapping):
            content = content.get(key)
        elif isinstance(content, list) and isinstance(key, int) and -len(content) <= key < len(content):
            content = content[key]
        else:
            return None
    return content


def training_record(checkpoint: str | Path) -> Path:
    """The path beside a checkpoint where the record of its training lies, if there is one."""
    return beside(checkpoint, ".training.json") if str(checkpoint) else Path()


def _plain(value: Any) -> Any:
    """Turn paths into text, and numpy and torch scalars and arrays into numbers and lists."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not go into JSON")
