"""The C++ compiler of this machine."""

from __future__ import annotations

import shutil

COMPILERS = ("g++", "clang++", "c++")


def compiler() -> str | None:
    """Find the C++ compiler; None where there is none."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def missing_files() -> dict[str, str]:
    """The exported files that this machine cannot make, each with the reason."""
    if compiler() is not None:
        return {}
    return {"model.pt2": f"no C++ compiler ({', '.join(COMPILERS)}) on this machine: install one and run again"}
