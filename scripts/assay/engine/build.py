"""The compilation of the engine's C++ into ``libassay.so``.

The networks are compiled once for each level of instructions, and the library chooses among them when it is loaded. All
else is compiled for every processor of the architecture, so that one that is too old is told so.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from assay.engine.constants import header
from assay.workflow.files import atomic_path

FOLDER = Path(__file__).parent
COMMON = ("interface.cpp", "model_file.cpp", "dispatch.cpp")  # for every processor of the architecture
FLAGS = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fopenmp", "-fno-math-errno", "-fno-trapping-math",
         "-ffp-contract=fast"]  # fmt: skip
# The flags of each level of instructions.
LEVELS = {
    "x86-64-v4": ["-march=x86-64-v4"],
    "x86-64-v3": ["-march=x86-64-v3"],
    "aarch64": [],
    "generic": ["-march=native"],
}


def fingerprint(command: str, levels: Sequence[str]) -> str:
    """A digest of all that the compiled library depends on."""
    version = subprocess.run([command, "--version"], capture_output=True, text=True).stdout
    sources = [path.read_text() for path in sorted([*FOLDER.glob("*.cpp"), *FOLDER.glob("*.h"), Path(__file__)])]
    return hashlib.sha256("\n".join([version, *levels, header(), *sources]).encode()).hexdigest()


def build(target: Path, command: str, levels: Sequence[str]) -> None:
    """Compile ``libassay.so``, atomically.

    Args:
        target: where the library goes.
        command: a C++ compiler.
        levels: names in ``LEVELS`` for which the networks are compiled.

    Raises:
        subprocess.CalledProcessError: the compiler failed.
    """
    with atomic_path(target) as path, tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        Path(made, "constants.h").write_text(header())
        have = [f"-DHAVE_{_identifier(level).upper()}" for level in levels]
        compiling = [
            [command, *FLAGS, *have, f"-I{made}", "-c", str(FOLDER / source), "-o", str(made / f"{source}.o")]
            for source in COMMON
        ]
        compiling += [
            [command, *FLAGS, *LEVELS[level], f"-DMAKE=assay_network_{_identifier(level)}", f"-I{made}", "-c",
             str(FOLDER / "kernels.cpp"), "-o", str(made / f"{level}.o")]
            for level in levels
        ]  # fmt: skip
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(_run, compiling))
        for level in levels:
            _localize(command, made / f"{level}.o", f"assay_network_{_identifier(level)}")
        objects = [str(path) for path in sorted(made.glob("*.o"))]
        _run([command, "-shared", "-fopenmp", *objects, "-o", str(path)])


def _identifier(level: str) -> str:
    return level.replace("-", "_")


def _localize(command: str, path: Path, kept: str) -> None:
    """Hide all of an object file but one function.

    Otherwise a function of the standard library that was compiled for newer instructions could serve the whole library.
    """
    tool = subprocess.run([command, "-print-prog-name=objcopy"], capture_output=True, text=True).stdout.strip()
    joined = path.with_suffix(".joined")
    _run([command, "-r", "-nostdlib", "-Wl,--force-group-allocation", str(path), "-o", str(joined)])
    _run([tool, f"--keep-global-symbol={kept}", str(joined), str(path)])


def _run(arguments: Sequence[str]) -> None:
    subprocess.run(arguments, check=True, capture_output=True)
