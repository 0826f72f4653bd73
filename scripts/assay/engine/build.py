"""The compilation of the engine's C++ into ``libassay.so``.

The networks are compiled once for each level of instructions, and the library chooses among them when it is loaded. All
else is compiled for every processor of the architecture, so that one that is too old is told so.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from assay.engine.constants import header
from assay.workflow.files import atomic_path

FOLDER = Path(__file__).parent
COMMON = ("interface.cpp", "model_file.cpp", "dispatch.cpp", "team.cpp")  # for every processor of the architecture
ELF = sys.platform.startswith("linux")
FLAGS = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math",
         "-ffp-contract=fast", "-include", str(FOLDER / "glibc.h")]  # fmt: skip
# The library is never unloaded, because its threads stay.
LINKING = ["-shared", "-pthread"]
if ELF:
    LINKING += ["-Wl,-z,nodelete", "-Wl,--no-undefined"]
ONLY_ITS_OWN_NAMES = "{ global: assay_*; local: *; };"
# The flags of each level of instructions.
LEVELS = {
    "x86-64-v4": ["-march=x86-64-v4"],
    "x86-64-v3": ["-march=x86-64-v3"],
    "aarch64": [],
    "generic": ["-march=native"],
}
# The levels of a library that is given away, by the machine's name.
PORTABLE = {"x86_64": ("x86-64-v3", "x86-64-v4"), "aarch64": ("aarch64",)}


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
        linking = [command, *LINKING]
        if ELF:
            for level in levels:
                _localize(command, made / f"{level}.o", f"assay_network_{_identifier(level)}")
            Path(made, "names").write_text(ONLY_ITS_OWN_NAMES)
            linking.append(f"-Wl,--version-script={made / 'names'}")
            linking += _threads(command)
        _run([*linking, *map(str, sorted(made.glob("*.o"))), "-o", str(path)])


def _identifier(level: str) -> str:
    return level.replace("-", "_")


def _threads(command: str) -> list[str]:
    """The arguments that name the library of threads, which is apart from that of C where glibc is older than 2.34."""
    found = _answer(command, "-print-file-name=libpthread.so.0")
    return ["-Wl,--no-as-needed", found] if Path(found).is_file() else []


def _localize(command: str, path: Path, kept: str) -> None:
    """Hide all of an object file but one function.

    Otherwise a function of the standard library that was compiled for newer instructions could serve the whole library.
    """
    tool = _answer(command, "-print-prog-name=objcopy")
    joined = path.with_suffix(".joined")
    _run([command, "-r", "-nostdlib", "-Wl,--force-group-allocation", str(path), "-o", str(joined)])
    _run([tool, f"--keep-global-symbol={kept}", str(joined), str(path)])


def _answer(command: str, question: str) -> str:
    return subprocess.run([command, question], capture_output=True, text=True).stdout.strip()


def _run(arguments: Sequence[str]) -> None:
    subprocess.run(arguments, check=True, capture_output=True)
