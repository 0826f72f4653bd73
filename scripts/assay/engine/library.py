"""The shared library of the engine, compiled once for this processor from ``painn.cpp`` and its headers, and cached."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock
from torch import Tensor

from assay.engine.constants import header
from assay.engine.toolchain import compiler
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path, cache_folder

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "painn.cpp"
FLAGS = ["-std=c++17", "-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math",
         "-ffp-contract=fast", "-shared", "-fPIC"]  # fmt: skip


@functools.cache
def library() -> ctypes.CDLL | None:
    """The engine's shared library; None where there is no C++ compiler or it cannot compile the engine."""
    command = compiler()
    if command is None:
        print("no C++ compiler works here: torch computes alone, several times slower", file=sys.stderr)
        return None
    version = subprocess.run([command, "--version"], capture_output=True, text=True).stdout
    sources = b"".join(path.read_bytes() for path in sorted([SOURCE, *FOLDER.glob("*.h")]))
    constants = header()
    key = "\n".join([version, processor(), *FLAGS, constants]).encode() + sources
    cache = cache_folder("engine")
    built = cache / f"painn-{hashlib.sha256(key).hexdigest()[:16]}.so"
    try:
        if not built.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(built.with_suffix(".lock")):
                if not built.exists():
                    _build(built, command, constants)
        return ctypes.CDLL(str(built))
    except (AssayError, OSError, subprocess.CalledProcessError) as error:
        print(f"the engine could not be built with {command} in {cache} ({error}): torch works alone", file=sys.stderr)
        return None


def _build(target: Path, command: str, constants: str) -> None:
    with atomic_path(target) as path, tempfile.TemporaryDirectory() as generated:
        Path(generated, "constants.h").write_text(constants)
        arguments = [*FLAGS, f"-I{generated}", str(SOURCE), "-o", str(path)]
        subprocess.run([command, *arguments], check=True, capture_output=True)


def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    """The address of a contiguous tensor, for the library; null for None."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def processor() -> str:
    """What ``-march=native`` depends on: the architecture of the processor and its instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {flags}"
