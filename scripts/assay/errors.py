"""Errors that are written for the person who made the input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AssayError(Exception):
    """What is wrong, in which file, and what to do about it: one sentence."""


@contextmanager
def exit_on_error(log: str | Path | None = None) -> Iterator[None]:
    """Turn an ``AssayError`` into one sentence on stderr (and in ``log``) and exit status 1.

    Any other exception passes through with its traceback: it is a bug, not a message to the user.
    """
    try:
        yield
    except AssayError as error:
        print(f"Error: {error}", file=sys.stderr)
        if log is not None:
            with Path(log).open("a") as handle:
                print(f"Error: {error}", file=handle)
        sys.exit(1)
