"""The C++ compiler of this machine."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

COMPILERS = ("g++", "clang++", "c++")


@functools.cache
def compiler() -> str | None:
    """Find the first C++ compiler that works: that of the variable CXX, or one of ``COMPILERS``; None if none does."""
    return next(filter(_compiles, filter(None, map(shutil.which, [os.environ.get("CXX", ""), *COMPILERS]))), None)


def missing_files() -> dict[str, str]:
    """The exported files that this machine cannot make, each with the reason."""
    if compiler() is not None:
        return {}
    return {
        "model.pt2": f"no C++ compiler ({', '.join(COMPILERS)}) that works on this machine: install one and run again"
    }


def _compiles(command: str) -> bool:
    """Whether a command compiles a program that uses the standard library."""
    program = "#include <vector>\nint main() { return int(std::vector<int>(1).size()) - 1; }\n"
    try:
        arguments = [command, "-x", "c++", "-c", "-o", os.devnull, "-"]
        return subprocess.run(arguments, input=program.encode(), capture_output=True).returncode == 0
    except OSError:
        return False
