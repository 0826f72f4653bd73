"""Python interpreters with packages of their own, on top of those of this project unless they pin others."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from assay.workflow.calculator_files import environment_files, is_interpreter
from assay.workflow.errors import AssayError, printable
from assay.workflow.files import atomic_path, cache_folder

SHARED = ("torch", "numpy", "ase")  # packages whose version decides whether an environment can be used again


def interpreter(environment: str | Path | None) -> Path:
    """The Python interpreter of an environment.

    Args:
        environment: a requirements file, whose environment is made unless it was before; a Python interpreter, which
            is taken as it is; or None for the interpreter of this process.

    Raises:
        AssayError: there is no such file, or what it pins cannot be installed.
    """
    if environment is None:
        return Path(sys.executable)
    path = Path(environment)
    if not path.is_file():
        raise AssayError(
            f"there is no file {environment}, which is to be the environment of a calculator: name a requirements file "
            "or a Python interpreter"
        )
    if is_interpreter(path):
        return path.absolute()
    return _made(path)


def content_of(environment: str | Path | None) -> str:
    """A hash of all that decides what an environment holds: what the file pins, with what it includes and the packages
    on the disk that it names, Python, and the shared packages.
    """
    pins = [] if environment is None or is_interpreter(environment) else environment_files(environment)
    shared = [f"{name} {version(name)}" for name in SHARED]
    return hashlib.sha256(
        b"\n".join([*(path.read_bytes() for path in pins), sys.version.encode(), *map(str.encode, shared)])
    ).hexdigest()[:16]


def _made(requirements: Path) -> Path:
    """Make the environment of a requirements file, or find the one that was made of equal content.

    The folder that it shares packages with may be gone, with the checkout that it was of: then it is that of this
    process.
    """
    cache = cache_folder("environments")
    folder = cache / content_of(requirements)
    cache.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    with FileLock(f"{folder}.lock"):
        if not python.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            _make(requirements, folder)
        elif not all(Path(shared).is_dir() for shared in _shared_list(folder).read_text().splitlines()):
            _share_packages(folder)
    return python


def _make(requirements: Path, folder: Path) -> None:
    """Install what a requirements file pins into a virtual environment that also sees the packages of this process."""
    print(f"Making the environment of {requirements} in {folder}, once.", file=sys.stderr)
    with atomic_path(folder) as path:
        python = path / "bin" / "python"
        _run(["venv", "--without-pip", str(path)], requirements)
        _share_packages(path)
        _run(["pip", "--python", str(python), "install", "-r", str(requirements)], requirements)


def _share_packages(folder: Path) -> None:
    """Let an environment see the packages of this process."""
    shared = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    with atomic_path(_shared_list(folder)) as path:
        path.write_text("".join(f"{place}\n" for place in shared))


def _shared_list(folder: Path) -> Path:
    """The file in an environment that lists the folders whose packages it sees."""
    return Path(sysconfig.get_path("purelib", "venv", vars={"base": str(folder)}), "shared.pth")


def why_failed(arguments: Sequence[str]) -> str | None:
    """Run a module of Python, such as pip, whose output goes to stderr; return why it failed, None if it did not."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    print(done.stdout, file=sys.stderr)
    if done.returncode == 0:
        return None
    errors = [line for line in done.stdout.splitlines() if line.lower().startswith("error")]
    return printable(errors[-1] if errors else f"{arguments[0]} exited with {done.returncode}")


def _run(arguments: list[str], requirements: Path) -> None:
    reason = why_failed(arguments)
    if reason is not None:
        raise AssayError(
            f"the environment of {requirements} cannot be made ({printable(reason, 300)}): correct what it pins, or "
            "look whether a registry of packages can be reached"
        )
