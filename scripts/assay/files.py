"""Files that are either complete or absent."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.errors import AssayError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place on success and is removed on failure.

    The temporary name keeps the suffixes, so that writers which choose a format by suffix work unchanged.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        temporary = Path(folder) / target.name
        yield temporary
        os.replace(temporary, target)


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
    text = json.dumps(content, indent=2, allow_nan=False, default=_plain) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def sha256_file(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sidecars(path: str | Path) -> list[Path]:
    """What lies beside a checkpoint and belongs to it: config.json (HuggingFace), model.json of a normalized one."""
    path = Path(path)
    names = {"model.safetensors": ("config.json", "model.json"), "pytorch_model.bin": ("config.json",)}
    return [file for name in names.get(path.name, ()) if (file := path.with_name(name)).is_file()]


def _plain(value: Any) -> Any:
    """Paths as text, numpy and torch scalars and arrays as numbers and lists."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not go into JSON")
