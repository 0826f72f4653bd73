"""Whether this machine can compile."""

from __future__ import annotations

import shutil

COMPILERS = ("g++", "clang++", "c++")


def compiler() -> str | None:
    """Path of the C++ compiler that there is."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def missing_files() -> dict[str, str]:
    """Exported files that this machine cannot make, and why."""
    if compiler() is not None:
        return {}
    return {"model.pt2": f"no C++ compiler ({', '.join(COMPILERS)}) on this machine: install one and run again"}
