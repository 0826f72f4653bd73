"""The shared library of the engine, ``libassay.so``: compiled once for this processor, and cached."""

from __future__ import annotations

import ctypes
import functools
import platform
import subprocess
import sys
from pathlib import Path

from filelock import FileLock
from torch import Tensor

from assay.engine.build import PORTABLE, build, fingerprint
from assay.engine.toolchain import compiler
from assay.workflow.errors import AssayError
from assay.workflow.files import cache_folder


@functools.cache
def library_path(portable: bool = False) -> Path | None:
    """The path of ``libassay.so``, which is built if need be; None where no C++ compiler can build it.

    Args:
        portable: whether it is for every processor of this architecture, to be given away, or for this one.
    """
    command = compiler()
    if command is None:
        print("no C++ compiler works here: torch computes alone, several times slower", file=sys.stderr)
        return None
    levels = list(PORTABLE.get(platform.machine(), ())) if portable else []
    levels = levels or [level_of_this_processor()]
    try:
        cache = cache_folder("engine")
        built = cache / f"libassay-{fingerprint(command, levels)[:16]}.so"
        if not built.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(built.with_suffix(".lock")):
                if not built.exists():
                    build(built, command, levels)
        return built
    except (AssayError, OSError, subprocess.CalledProcessError) as error:
        print(f"the engine could not be built with {command} ({error}): torch works alone", file=sys.stderr)
        return None


@functools.cache
def library() -> ctypes.CDLL | None:
    """The engine's shared library; None where it cannot be built, loaded, or run on this processor."""
    path = library_path()
    try:
        found = None if path is None else _declared(ctypes.CDLL(str(path)))
    except (AttributeError, OSError) as error:
        print(f"the engine cannot be loaded from {path} ({error}): torch works alone", file=sys.stderr)
        return None
    if found is not None and not found.assay_instructions():
        print("this processor lacks the instructions of the engine: torch works alone", file=sys.stderr)
        return None
    return found


def _declared(found: ctypes.CDLL) -> ctypes.CDLL:
    """Give the functions that return no int their types."""
    found.assay_last_error.restype = ctypes.c_char_p
    found.assay_instructions.restype = ctypes.c_char_p
    found.assay_metadata.restype = ctypes.c_char_p
    found.assay_cutoff.restype = ctypes.c_double
    for name in ("assay_row_width", "assay_n_parameters", "assay_neighbors_float32", "assay_neighbors_float64"):
        getattr(found, name).restype = ctypes.c_int64
    found.assay_close.restype = None
    found.assay_set_parameters.restype = None
    return found


def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    """The address of a contiguous tensor, for the library; null for None."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def level_of_this_processor() -> str:
    """The instructions to compile for here, one of ``build.LEVELS``."""
    machine = platform.machine().lower()
    if machine in ("aarch64", "arm64"):
        return "aarch64"
    if machine not in ("x86_64", "amd64"):
        return "generic"
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return "x86-64-v3"
    wide = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
    return "x86-64-v4" if wide <= flags else "x86-64-v3"
