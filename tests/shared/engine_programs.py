"""A model file and structures for programs of molecular dynamics, and what the model in double precision says."""

import io
import re
import zipfile
from pathlib import Path

import ase.build
import numpy as np

from assay.engine.library import library_path
from assay.engine.model_file import to_bytes
from assay.package.wheel import make_wheel
from assay.runtime.engine import LIBRARY, MODEL, EngineModel
from shared.engine_inputs import arrays_of, network, opened

ROOT = Path(__file__).parents[2]
SCOPE = {"axes": [0], "n_atoms": [2, 50], "neighbors": [0.0, 30.0], "sentence": "small molecules"}


def write_model(folder, elements=(1, 6, 8)):
    """Write ``model.assay`` of a network with random weights, of which the shipped students have the form."""
    path = Path(folder, "model.assay")
    path.write_bytes(to_bytes(network("shipped"), {"variant": "shipped", "scope": SCOPE}, list(elements)))
    return path


def open_model(folder, precision=64, **options):
    """The same, opened."""
    return EngineModel(write_model(folder, **options), library_path(), precision)


def ethanol():
    """A displaced molecule."""
    atoms = ase.build.molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=0)
    return atoms


def crystal(copies=(3, 2, 3)):
    """A displaced molecular crystal in a triclinic cell, lower triangular."""
    atoms = ase.build.molecule("CH3CH2OH")
    atoms.center(vacuum=1.2)
    atoms = atoms.repeat(copies)
    atoms.rattle(0.08, seed=1)
    cell = np.array(atoms.cell)
    cell[1, 0], cell[2, 0], cell[2, 1] = 0.7, -0.9, 0.5
    atoms.set_cell(cell)
    atoms.pbc = True
    return atoms


def exact(*systems):
    """What the network in double precision says of ASE systems."""
    numbers, edges, vectors, structure = arrays_of(list(systems))
    return opened("shipped")(numbers, edges, vectors, structure)


def blocks(page, language):
    """The fenced blocks of a page in ``docs/engines/``."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs/engines" / page).read_text(), re.S)


def unpack_wheel(folder, others=None):
    """Lay into a folder what pip installs of the wheel of a student ``tiny``, which the pages of all programs use.

    Args:
        folder: where pip would install it.
        others: further files of the wheel by their place in it.
    """
    inside = {MODEL: write_model(folder).read_bytes(), LIBRARY: library_path().read_bytes(), **(others or {})}
    wheel = make_wheel("tiny", "0" * 64, inside, "# A card")
    zipfile.ZipFile(io.BytesIO(wheel.content)).extractall(folder)
