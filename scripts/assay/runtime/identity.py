"""Which file a student was opened from: copies of it open that file again, and no other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Opened:
    """What was opened from a file, or from bytes. Copies of it, and those that other processes get, open that again.

    Attributes:
        sha256: that of the file; empty for bytes, which a copy has with it.
    """

    sha256: str
    _arguments: tuple[Any, ...]  # by which it was opened, of which the first one is the file

    def __reduce__(self) -> tuple[Callable[..., Opened], tuple[Any, ...]]:
        return _open_again, (type(self), self._arguments, self.sha256)


def sha256_of(source: str | Path | bytes) -> str:
    """The SHA-256 of a file in hexadecimal digits; empty for bytes."""
    return "" if isinstance(source, bytes) else hashlib.sha256(Path(source).read_bytes()).hexdigest()


def read_again(path: str | Path, sha256: str) -> bytes:
    """The content of a file that was opened when it had this SHA-256, for a program that opens it by itself.

    Raises:
        ValueError: it is not there any more, or another one now.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read any more ({error.strerror}): put it back, or open it anew") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _replaced(path)
    return content


def _open_again(kind: Callable[..., Opened], arguments: tuple[Any, ...], sha256: str) -> Opened:
    """Open for a copy what was opened by these arguments.

    Raises:
        ValueError: the file is another one now, or whatever ``kind`` refuses.
    """
    opened = kind(*arguments)
    if opened.sha256 != sha256:
        raise _replaced(arguments[0])
    return opened


def _replaced(path: str | Path) -> ValueError:
    return ValueError(f"{path} was replaced since it was opened, and a copy would be of another student: open it anew")
