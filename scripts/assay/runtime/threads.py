"""Threads: how many a student computes with, and those that a calculator may be used by."""

from __future__ import annotations

import threading

import numpy as np

MOST = 65536  # far more than any machine has cores


def check_threads(threads: int | None) -> None:
    """Raise a ValueError for what is no number of threads; None is one, which leaves it to the runtime."""
    if threads is not None and not (isinstance(threads, int | np.integer) and 1 <= threads <= MOST):
        raise ValueError(
            f"the number of threads is {threads!r}: choose a whole number of at least 1 and at most {MOST}"
        )


class OneThread:
    """What only one thread may be in at a time: another is refused, and does not wait. Copies are free.

    Threads that waited would still take each other's atoms, because a calculator of ASE keeps those of its last call.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[type[OneThread], tuple[()]]:
        return type(self), ()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                "this calculator is in use by another thread: give each thread a calculator of its own, such as a copy"
            )

    def __exit__(self, *error: object) -> None:
        self._lock.release()
