"""Writes one zip file with a student, what runs it, what is known of it, and an example that checks itself."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import ase.build
import ase.io
import numpy as np

from assay.engines.programs import GUIDES
from assay.models import Potential
from assay.package.card import FILES
from assay.package.wheel import HEADER, SOURCES, runtime_sources, zipped
from assay.structures.structure import Structure
from assay.verification.parity import reference
from assay.workflow.config_models.types import module_name
from assay.workflow.files import atomic_path

ENGINES = SOURCES / "engines"
PAGES = SOURCES.parents[1] / "docs/engines"  # the guides to the programs, for a student called tiny
EXAMPLES = ("CH3CONH2", "C2H6", "H2O", "H2")  # the first whose elements the student knows is taken


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


def page(program: str, variant: str) -> str:
    """The guide to a program, in Markdown, with the name of ``variant`` and without links to other guides."""
    text = (PAGES / f"{program}.md").read_text()
    text = re.sub(r"\[([^]]+)\]\((?!https?:)[^)]+\)", r"\1", text)
    return re.sub(r"\btiny\b", variant, text.replace("assay_tiny", module_name(variant)))


def write_package(path: str | Path, name: str, files: Mapping[str, bytes | Path]) -> None:
    """Write the zip file atomically, all in a folder ``name``.

    Args:
        path: the zip file.
        name: the name of the variant.
        files: contents, or files that hold them, by path. The sources of the runtime and of the plugins for other
            programs, the guides to these programs, the example and SHA256SUMS are added.
    """
    contents = {inside: data.read_bytes() if isinstance(data, Path) else data for inside, data in files.items()}
    contents |= {f"student/{inside}": data for inside, data in runtime_sources().items()}
    for source in (HEADER, *(path for kind in ("*.cpp", "*.h", "CMakeLists.txt") for path in ENGINES.rglob(kind))):
        contents[source.relative_to(SOURCES).as_posix()] = source.read_bytes()
    contents |= {f"engines/{program}.md": page(program, name).encode() for program in GUIDES}
    for shipped in ("pyproject.toml", "requirements.txt"):
        contents[shipped] = (FILES / shipped).read_bytes()
    example = (FILES / "example.py").read_text()
    contents["example.py"] = example.replace("assay_variant", module_name(name)).encode()
    sums = [f"{hashlib.sha256(data).hexdigest()}  {inside}\n" for inside, data in sorted(contents.items())]
    contents["SHA256SUMS"] = "".join(sums).encode()
    with atomic_path(path) as temporary:
        temporary.write_bytes(zipped({f"{name}/{inside}": data for inside, data in sorted(contents.items())}))
