"""A structure as a file holds it, under the names and in the units of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import ase
import numpy as np
from ase.calculators.calculator import all_properties

from assay.data.spellings import as_array
from assay.data.stated_units import tells_unit
from assay.structures.structure import full_stress

_LABELS = ("energy", "free_energy", "forces", "stress")  # of the results of a calculator
_GGA = {"PE": "PBE", "RP": "RPBE", "PS": "PBESOL"}  # functionals by the letters that VASP has for them


def word_of(said: Mapping[str, Any], name: str) -> str:
    """The name of a structure or of its molecule; empty where there is none, or true alone stands there."""
    value = said.get(name)
    return "" if value is None or isinstance(value, bool | np.bool_) else str(value)


@dataclass(frozen=True)
class Frame:
    """One structure of a file.

    Attributes:
        where: how errors name it, e.g. "structure 3 of my.xyz".
        name: the name that the file gives; "" if it gives none.
        molecule: the identity of the molecule that the file gives; "" if it gives none.
        atomic_numbers: (N,) int64.
        positions: (N, 3) float64, in the file's unit of length.
        cell: (3, 3) float64, lattice vectors in rows, in the file's unit of length; None for an isolated structure.
        pbc: (3,) bool.
        info: what the file says of the structure as a whole, by name.
        arrays: what the file says of each atom, (N,) or (N, K), by name.
        is_told_open: whether the file itself says that no axis repeats.
        unclear: labels whose values are others than those of the calculator that is stored with the structure.
        calculator: the name of that calculator, and its functional; "" if the file does not tell it.
    """

    where: str
    name: str
    molecule: str
    atomic_numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None
    pbc: np.ndarray
    info: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    is_told_open: bool = False
    unclear: tuple[str, ...] = ()
    calculator: tuple[str, str] = ("", "")

    @classmethod
    def from_ase(cls, atoms: ase.Atoms, where: str) -> Frame:
        """Copy an ``ase.Atoms``; stored results of its calculator stand beside ``info`` and ``arrays``."""
        results = {} if atoms.calc is None else {k: v for k, v in atoms.calc.results.items() if v is not None}
        own = {key: value for key, value in atoms.arrays.items() if key not in ("numbers", "positions")}
        said, unclear = with_results({**{str(key): value for key, value in atoms.info.items()}, **own}, results)
        values = {key: as_array(value) for key, value in said.items()}
        per_atom = {key: v for key, v in values.items() if key in own or (key in results and v.ndim == 2)}
        return cls(
            where,
            word_of(atoms.info, "name"),
            word_of(atoms.info, "molecule"),
            atoms.numbers.astype(np.int64),
            atoms.positions.astype(np.float64),
            np.array(atoms.cell, dtype=np.float64) if atoms.cell.rank else None,
            atoms.pbc.copy(),
            {key: value for key, value in said.items() if key not in per_atom},
            per_atom,
            not atoms.pbc.any(),
            unclear,
            calculator_of(getattr(atoms.calc, "name", None), getattr(atoms.calc, "parameters", None)),
        )

    def unpadded(self) -> Frame:
        """The same without the places that a table of structures of several sizes leaves empty: numbers below 1."""
        present = self.atomic_numbers > 0
        return replace(
            self,
            atomic_numbers=self.atomic_numbers[present],
            positions=self.positions[present],
            arrays={name: values[present] for name, values in self.arrays.items()},
        )

    def to_ase(self, length_A: float = 1.0) -> ase.Atoms:
        """Copy to an ``ase.Atoms`` by the file's names, without units and labels that ASE would take for its own.

        Args:
            length_A: the file's unit of length, in angstrom.
        """
        cell = None if self.cell is None else self.cell * length_A
        atoms = ase.Atoms(self.atomic_numbers, self.positions * length_A, cell=cell, pbc=self.pbc)
        kept = {key: value for key, value in self.info.items() if key not in all_properties and not tells_unit(key)}
        atoms.info.update(kept)
        atoms.info.update({k: v for k, v in (("name", self.name), ("molecule", self.molecule)) if v})
        for key, values in self.arrays.items():
            if key not in all_properties and key not in ("numbers", "positions"):
                atoms.set_array(key, np.asarray(values))
        return atoms

    @property
    def values(self) -> dict[str, Any]:
        """All that is said of the structure and of its atoms, by name.

        Where both have a name, as ``energy``, a column stands before the other only if it has three numbers an atom.
        """
        columns = {
            name: column for name, column in self.arrays.items() if name not in self.info or column.shape[1:] == (3,)
        }
        return {**self.info, **columns}


def calculator_of(name: str | None, parameters: Any) -> tuple[str, str]:
    """A calculator's name and functional, ``xc`` or VASP's ``gga``, in one spelling; "" for what is not known."""
    if not name or name == "unknown":
        return "", ""
    told = parameters if isinstance(parameters, Mapping) else {}
    xc, gga = (own.upper() if isinstance(own := told.get(key), str) else "" for key in ("xc", "gga"))
    return name.lower(), xc or _GGA.get(gga, gga)


def with_results(said: Mapping[str, Any], results: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a file says by name, and the results of a calculator that are stored beside it.

    Returns:
        the values by name, the file's own where both have one; and the labels of which both have one that differs.
    """
    both = [name for name in _LABELS if name in said and name in results]
    unclear = tuple(name for name in both if not _agree(name, said[name], results[name]))
    return {**results, **said}, unclear


def _agree(name: str, own: Any, other: Any) -> bool:
    """Whether two values of a label are the same numbers; those of a stress may be nine or six."""
    values = [as_array(value).ravel() for value in (own, other)]
    if not all(value.dtype.kind in "iuf" for value in values):
        return False
    if name == "stress" and all(value.size in (6, 9) for value in values):
        values = [full_stress(value) for value in values]
    this, that = values
    return this.shape == that.shape and np.allclose(this, that, rtol=1e-6, equal_nan=True)


class Layout(NamedTuple):
    """What the layout of a file tells by itself.

    Attributes:
        units: the units that the file states, by name.
        usual: the units that files of this layout have, by kind of label.
        stems: what is left of the names of labels without "energy", "forces" and the like, where the layout makes
            them the labels, such as "dft" in SPICE.
        unknown_units: whether neither the file nor its layout tells the units, so that the caller must.
        has_gaps: whether a structure without a label has one that is not a number.
        kinds: the units that the file states for a kind of label, whatever its name; "length" for positions and cells.
        leaves_out_unconverged: whether a structure that is said not to be converged is so in its electrons, and no
            label.
        has_usual_units: whether labels are in the usual units, whatever the caller says.
    """

    units: Mapping[str, str] = {}
    usual: Mapping[str, str] = {}
    stems: tuple[str, ...] = ()
    unknown_units: bool = False
    has_gaps: bool = False
    kinds: Mapping[str, str] = {}
    leaves_out_unconverged: bool = False
    has_usual_units: bool = False


class FrameFile(Protocol):
    """A file of structures that is read frame by frame.

    Attributes:
        path: the file.
        layout: what its layout tells.
    """

    path: Path
    layout: Layout

    def count(self) -> int:
        """Count the frames, without reading what is in them.

        Raises:
            AssayError: the file is damaged.
        """
        ...

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """Yield a call for each frame that reads it.

        One frame that cannot be read costs no other: its call raises an ``AssayError``, and the next one follows.

        Args:
            chosen: rising indices of the wanted frames; None for all.

        Raises:
            AssayError: the file is damaged from here on.
        """
        ...
