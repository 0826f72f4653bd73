"""Writes one zip file with a student, what runs it, what is known of it, and an example that checks itself."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import ase.build
import ase.io
import numpy as np

from assay import runtime
from assay.models import Potential
from assay.package.card import FILES
from assay.structures.structure import Structure
from assay.verification.parity import reference
from assay.workflow.files import atomic_path

RUNTIME = Path(runtime.__file__).parent
EXAMPLES = ("CH3CONH2", "C2H6", "H2O", "H2")  # the first whose elements the student knows is taken
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip file: equal contents are equal files


def example_files(model: Potential, elements: Sequence[int] | None) -> dict[str, bytes]:
    """Make a molecule, distorted so that forces act on it, and compute its energy and forces in double precision.

    Args:
        model: the network in float64.
        elements: the atomic numbers that its checkpoint names; None if it names none.

    Returns:
        ``example.xyz`` and, with ``energy_eV`` and ``forces_eV_per_A``, ``example.json``.
    """
    molecules = (ase.build.molecule(name) for name in EXAMPLES)
    known = set(range(1, model.max_z + 1) if elements is None else elements)
    atoms = next((atoms for atoms in molecules if known.issuperset(atoms.numbers)), None)
    if atoms is None:
        atoms = ase.Atoms([min(known)] * 2, [[0.0, 0.0, 0.0], [0.0, 0.0, 1.5]])
    atoms.positions += np.random.default_rng(0).normal(scale=0.05, size=atoms.positions.shape)
    text = io.StringIO()
    ase.io.write(text, atoms, format="xyz")
    [example] = ase.io.iread(io.StringIO(text.getvalue()), format="xyz")
    result = reference(model, [Structure.from_ase(example)])
    expected = {"energy_eV": result.energy_eV[0], "forces_eV_per_A": result.forces_eV_per_A.tolist()}
    return {"example.xyz": text.getvalue().encode(), "example.json": json.dumps(expected, indent=1).encode()}


def write_package(path: str | Path, name: str, files: Mapping[str, bytes | Path]) -> None:
    """Write the zip file atomically: ``files`` by path, the runtime and SHA256SUMS, all in a folder ``name``."""
    contents = {inside: data.read_bytes() if isinstance(data, Path) else data for inside, data in files.items()}
    contents |= {f"student/{source.name}": source.read_bytes() for source in sorted(RUNTIME.glob("*.py"))}
    for shipped in ("example.py", "pyproject.toml", "requirements.txt"):
        contents[shipped] = (FILES / shipped).read_bytes()
    sums = [f"{hashlib.sha256(data).hexdigest()}  {inside}\n" for inside, data in sorted(contents.items())]
    contents["SHA256SUMS"] = "".join(sums).encode()
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, data in sorted(contents.items()):
            entry = zipfile.ZipInfo(f"{name}/{inside}", EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
