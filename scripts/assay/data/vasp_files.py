"""Outputs of VASP, vasprun.xml and OUTCAR: their ionic steps as ASE reads them, and what its readers pass over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.parsers.expat import errors

import ase
import numpy as np
from ase.io import ParseError
from ase.io.vasp import atoms_from_step
from ase.io.vasp_parsers import vasp_outcar_parsers as outcar

from assay.data.frames import Frame, calculator_of
from assay.data.outputs import CutOff, OutputFile, Step
from assay.runtime.charges import is_whole
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError, reason_of

_NAMES = {"free_energy": "free_energy", "e_0_energy": "energy", "stress": "stress"}  # of labels, and ASE's
_ROOT = "<modeling>"
_MARKS_OF_OUTCAR = (" executed on ", " POTCAR:")  # below the first line, which VASP prints to the terminal, too
_TAGS = re.compile(r"(?m)^ *(\w+) *= *([^\s;]+(?: +[-+.\d]+(?= |$))*)")
_LISTS = {
    "atoms": re.compile(r"ions per type =((?:\s+\d+)+)"),
    "valences": re.compile(r"Ionic Valenz\s+ZVAL +=((?:\s+[\d.]+)+)"),
    "parts": re.compile(r"\bVCA +=((?:\s+[-\d.]+)+)"),
}
_FIRST_STEP, _ENERGIES, _END = "Iteration", "FREE ENERGIE OF THE ION-ELECTRON SYSTEM", "General timing"
_LINES_OF_ENERGIES = 4  # below their title
_LEARNED, _NEXT_RUN = "ML TOTEN", " vasp."
_CHANGE = re.compile(r"total energy-change \(2\. order\) *:(.{14})")
_LEFT_LOOP, _CONVERGED = "aborting loop", "because EDIFF is reached"
_WITHOUT_DISPERSION = re.compile(r"eV[ \t]+w/o vdW =[ \t]+\S+(?:[ \t]+eV)?")
_TOUCHES = re.compile(r"(\.\d{9})(?=\d)")  # a lattice vector of 100 angstrom or more, the number before it
_PARSERS = (outcar.Cell, outcar.PositionsAndForces, outcar.Stress, outcar.Energy)
_ONE_DIGIT = 1.5  # times an EDIFF of one digit, as OUTCAR has it, is above the one that was rounded to it
_EIGHT_DECIMALS_eV = 2e-8  # by which differences of energies in vasprun.xml, and its EDIFF, are rounded
_ENDS_EARLY = {
    errors.codes[word]
    for word in (errors.XML_ERROR_NO_ELEMENTS, errors.XML_ERROR_UNCLOSED_TOKEN, errors.XML_ERROR_PARTIAL_CHAR)
}
_BULK = ("set", "eigenvalues", "dos", "projected")  # of electrons, in a step
_FREE = "i[@name='e_fr_energy']"
_SYMBOLS = {"X": "Xe", "r": "Zr"}  # as some versions write them
_PER_STEP = 3  # energies of an electronic step; of the first, and of the last before any response, there are more
_NO_STRESS = ("0", "1")  # ISIF of none, and of a pressure alone
_NO_CYCLE = ("2", "3", "4")  # IALGO of ALGO = None, Eigenval and Subrot
_FIXED_CHARGE = 10  # ICHARG from which on the charge density is kept
_FIELDS = ("EFIELD", "EFIELD_PEAD")
_HOLES = "2"  # ICORELEVEL that takes electrons out of cores, and adds them to the valence


class _Run(NamedTuple):
    """What a run of VASP says of all of its ionic steps.

    Attributes:
        tags: its settings, as in INCAR.
        atoms, valences, parts: of each type of atoms how many there are, the electrons of one, and its share.
    """

    tags: Mapping[str, str]
    atoms: Sequence[float]
    valences: Sequence[float]
    parts: Sequence[float]

    @property
    def charge(self) -> float | None:
        """The total charge; None where it is not told."""
        if "NELECT" not in self.tags or self._has_holes or not self.atoms or len(self.atoms) != len(self.valences):
            return None
        return float(np.dot(self.atoms, self.valences)) - float(self.tags["NELECT"])

    @property
    def _has_holes(self) -> bool:
        return self.tags.get("ICORELEVEL") == _HOLES

    @property
    def ediff_eV(self) -> float:
        """The change of the energy below which electrons are converged."""
        return float(re.sub("[dD]", "e", self.tags.get("EDIFF", "0")))

    def check(self, path: Path, labelled: bool) -> None:
        """Refuse atoms that are none, and labels that are not those of electrons in their ground state.

        Raises:
            AssayError: it has them.
        """
        if self.tags.get("ML_LMLFF", "").strip(".").upper().startswith("T"):
            raise _learned(path, labelled)
        if not all(map(is_whole, self.valences)) or any(part != 1.0 for part in self.parts):
            raise AssayError(
                f"{path} has atoms that are there in part, such as hydrogens of a fraction of an electron or a mixture "
                "of elements (VCA), which are none of any element: take it out"
            )
        kept = [tag for tag in ("ICHARG", "IALGO") if self._keeps(tag)]
        if labelled and kept:
            raise AssayError(
                f"{path} is of a run of VASP that keeps its charge density or its orbitals ({kept[0]} = "
                f"{self.tags[kept[0]]}), so that its energies and forces are not self-consistent: give the output of "
                "the run before it"
            )
        if labelled and self._has_holes:
            raise AssayError(
                f"{path} is of a run of VASP with holes in cores (ICORELEVEL = {_HOLES}), whose energies and forces "
                "are not those of the ground state: give the output of a run without"
            )
        fields = [tag for tag in _FIELDS if any(map(float, self.tags.get(tag, "").split()))]
        if labelled and fields:
            raise AssayError(
                f"{path} is of a run of VASP in an electric field ({fields[0]} = {self.tags[fields[0]]}), of which "
                "students know nothing: give the output of a run without"
            )

    def _keeps(self, tag: str) -> bool:
        value = self.tags.get(tag, "")
        return value in _NO_CYCLE if tag == "IALGO" else value.isdecimal() and int(value) >= _FIXED_CHARGE


class _Step(NamedTuple):
    """An ionic step.

    Attributes:
        run: what holds for all of them.
        read: reads it by ASE.
        is_converged: whether its electrons are.
    """

    run: _Run
    read: Callable[[], ase.Atoms]
    is_converged: bool


def open_vasp(path: Path, begin: str, labelled: bool) -> OutputFile | None:
    """A vasprun.xml or OUTCAR; None of any other file of VASP.

    The energy that forces are the gradient of is ``free_energy``, and that extrapolated to electrons at zero
    temperature ``e_0_energy``.

    Args:
        path: the file.
        begin: its beginning.
        labelled: whether energies, forces and stresses are wanted.
    """
    is_outcar = "OUTCAR" in path.name or any(mark in begin for mark in _MARKS_OF_OUTCAR)
    if _ROOT not in begin and not is_outcar:
        return None

    def _read() -> Iterator[Step]:
        steps = _steps_of_xml(path) if _ROOT in begin else _steps_of_outcar(path, labelled)
        for number, step in enumerate(steps):
            if not number:
                step.run.check(path, labelled)
            yield partial(_frame, step, labelled)

    return OutputFile(path, "VASP", _read, ", and give its other file, vasprun.xml or OUTCAR, if that is whole")


def _frame(step: _Step, labelled: bool, where: str) -> Frame:
    atoms, charge = step.read(), step.run.charge
    found = {name: value for name, value in atoms.calc.results.items() if value is not None}
    atoms.calc = None
    frame = Frame.from_ase(atoms, where)
    info = {} if charge is None else {"charge": charge}
    if not labelled:
        return replace(frame, info=info)
    info |= {name: found[own] for name, own in _NAMES.items() if own in found}
    if step.run.tags.get("ISIF") in _NO_STRESS:
        info.pop("stress", None)
    if not step.is_converged:
        info["converged"] = False
    arrays = {"forces": found["forces"]} if "forces" in found else {}
    functional = calculator_of("vasp", {"gga": step.run.tags.get("GGA", "").strip("-")})
    return replace(frame, info=info, arrays=arrays, calculator=functional)


def _learned(path: Path, labelled: bool) -> AssayError:
    to_do = (
        "which are no labels of its teacher: give the output of a run without ML_LMLFF"
        if labelled
        else "which ASE's reader does not know: give its XDATCAR"
    )
    return AssayError(f"{path} has steps of a learned force field, {to_do}")


def _steps_of_xml(path: Path) -> Iterator[_Step]:
    """The complete ionic steps of a vasprun.xml."""
    head: dict[str, Element] = {}
    symbols: list[str] = []
    root, run, is_within = None, None, False
    with open_text(path) as file:
        try:
            for event, element in ElementTree.iterparse(file, ("start", "end")):
                if event == "start":
                    root = element if root is None else root
                    is_within |= element.tag == "calculation"
                elif is_within and element.tag in _BULK:
                    element.clear()
                elif element.tag in ("incar", "parameters", "atominfo"):
                    head[element.tag] = element
                elif element.tag == "calculation" and root is not None:
                    is_within = False
                    if run is None:
                        run = _run_of_xml(head)
                        symbols = [_SYMBOLS.get(row[0], row[0]) for row in _rows(head["atominfo"], "atoms")]
                    yield _step_of_xml(element, run, symbols)
                    root.clear()
        except ElementTree.ParseError as error:
            if error.code not in _ENDS_EARLY:
                raise AssayError(
                    f"{path} is no XML from a place on ({reason_of(error, 120)}), as where SYSTEM of the INCAR has an "
                    "& or <, or the images of a run write it at once: give its OUTCAR, one of each image"
                ) from None
            if is_within or run is None:
                raise CutOff from None


def _rows(atominfo: Element, name: str) -> list[list[str]]:
    return [[(cell.text or "").strip() for cell in row] for row in atominfo.findall(f"array[@name='{name}']/set/rc")]


def _run_of_xml(head: Mapping[str, Element]) -> _Run:
    tags = {
        entry.attrib["name"].upper(): (entry.text or "").strip()
        for part in ("incar", "parameters")
        for entry in (head[part].iter() if part in head else ())
        if "name" in entry.attrib
    }
    types = _rows(head["atominfo"], "atomtypes")
    parts = [float(part) for part in tags.get("VCA", "").split()]
    return _Run(tags, [float(row[0]) for row in types], [float(row[3]) for row in types], parts)


def _step_of_xml(step: Element, run: _Run, symbols: Sequence[str]) -> _Step:
    """A step without what belongs to the response of its electrons, whose energies ASE would take for theirs."""
    found = [(electronic, electronic.find("energy")) for electronic in step.findall("scstep")]
    cycle = [(electronic, energies) for electronic, energies in found if energies is not None]
    last = next((k for k, (_, own) in enumerate(cycle) if k and len(own) > _PER_STEP), len(cycle) - 1)
    lean = Element("calculation")
    lean.extend(electronic for electronic, _ in cycle[last : last + 1])
    lean.extend(
        part for part in step if part.tag in ("structure", "energy") or part.get("name") in ("forces", "stress")
    )

    def _read() -> ase.Atoms:
        if not cycle:
            raise ValueError("it has no electronic steps")
        lengths = {"basis": 3, "positions": len(symbols), "forces": len(symbols), "stress": 3}
        if any(len(part) != lengths.get(part.get("name", ""), len(part)) for part in lean.iter("varray")):
            raise ValueError("vectors are missing")
        is_enthalpy = abs(_number(lean.findtext(f"energy/{_FREE}")) - last_eV[-1]) > _EIGHT_DECIMALS_eV
        settings = {"pstress": float(run.tags.get("PSTRESS", 0.0)) if is_enthalpy else 0.0}
        return atoms_from_step(lean, (), (), settings, ase.Atoms(symbols, pbc=True), len(symbols))

    last_eV = [_number(own.findtext(_FREE)) for _, own in cycle[max(last - 1, 0) : last + 1]]
    is_converged = len(last_eV) == 2 and abs(last_eV[1] - last_eV[0]) <= run.ediff_eV + _EIGHT_DECIMALS_eV
    return _Step(run, _read, is_converged)


def _number(text: str | None) -> float:
    """A number; NaN where it is missing, or had no place."""
    try:
        return float(text or "nan")
    except ValueError:
        return np.nan


def _steps_of_outcar(path: Path, labelled: bool) -> Iterator[_Step]:
    """The complete ionic steps of an OUTCAR."""
    with open_text(path) as file:
        begin: list[str] = []
        for line in file:
            begin.append(line)
            if _FIRST_STEP in line:
                break
            if _LEARNED in line:
                raise _learned(path, labelled)
        else:
            raise CutOff
        run = _run_of_outcar("".join(begin))
        try:
            header = outcar.OutcarHeaderParser([outcar.SpeciesTypes(), outcar.IonsPerSpecies()]).build(begin)
        except ParseError as error:
            raise AssayError(
                f"{path} does not tell which atoms it has ({reason_of(error, 120)}), as VASP up to 6.3 does not for "
                "more than ten types: give its vasprun.xml"
            ) from None
        lines: list[str] = [begin[-1]]
        for line in file:
            if line.startswith(_NEXT_RUN):
                raise AssayError(f"{path} has the outputs of several runs: divide it where they begin")
            lines.append(line)
            if _ENERGIES in line:
                rest = list(islice(file, _LINES_OF_ENERGIES))
                if any(_LEARNED in below for below in rest):
                    raise _learned(path, labelled)
                if len(rest) < _LINES_OF_ENERGIES or not rest[-1].endswith("\n"):
                    raise CutOff
                yield _step_of_outcar([*lines, *rest], run, header)
                lines = []
        if any(_FIRST_STEP in line for line in lines) and not any(_END in line for line in lines):
            raise CutOff


def _run_of_outcar(begin: str) -> _Run:
    found = {name: pattern.findall(begin)[-1:] for name, pattern in _LISTS.items()}
    numbers = {name: [float(word) for word in "".join(rows).split()] for name, rows in found.items()}
    return _Run(dict(_TAGS.findall(begin)), **numbers)


def _step_of_outcar(lines: Sequence[str], run: _Run, header: dict[str, Any]) -> _Step:
    text = "".join(lines)
    changes, loops = _CHANGE.findall(text), [line for line in lines if _LEFT_LOOP in line]
    is_small = len(changes) > 1 and abs(_number(changes[-1])) <= _ONE_DIGIT * run.ediff_eV
    is_said = bool(loops) and _CONVERGED in loops[-1]

    def _read() -> ase.Atoms:
        parser = outcar.OutcarChunkParser(header, [parser() for parser in _PARSERS])
        readable = [_TOUCHES.sub(r"\1 ", _WITHOUT_DISPERSION.sub("", line)) for line in lines]
        return outcar.OUTCARChunk(readable, header, parser).build()

    return _Step(run, _read, is_small and is_said)
