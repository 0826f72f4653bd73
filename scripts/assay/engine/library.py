"""The compiled engine: built once from ``painn.cpp`` and its headers for this processor, and kept in the cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

from torch import Tensor

from assay.engine.toolchain import compiler
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "painn.cpp"
FLAGS = ["-std=c++17", "-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math",
         "-ffp-contract=fast", "-shared", "-fPIC"]  # fmt: skip


@functools.cache
def library() -> ctypes.CDLL | None:
    """The engine's shared library; None where there is no C++ compiler or it cannot compile the engine."""
    command = compiler()
    if command is None:
        return None
    version = subprocess.run([command, "--version"], capture_output=True, text=True).stdout
    sources = b"".join(path.read_bytes() for path in sorted([SOURCE, *FOLDER.glob("*.h")]))
    key = "\n".join([version, processor(), *FLAGS]).encode() + sources
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "assay", "engine")
    built = cache / f"painn-{hashlib.sha256(key).hexdigest()[:16]}.so"
    try:
        if not built.exists():
            with atomic_path(built) as path:
                subprocess.run([command, *FLAGS, str(SOURCE), "-o", str(path)], check=True, capture_output=True)
        return ctypes.CDLL(str(built))
    except (AssayError, OSError, subprocess.CalledProcessError) as error:
        print(f"the engine could not be built with {command} in {cache} ({error}): torch works alone", file=sys.stderr)
        return None


def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    """What the library reads a contiguous tensor by; null for None."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def processor() -> str:
    """What ``-march=native`` depends on: the architecture and the instructions it knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {flags}"
