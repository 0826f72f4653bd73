"""Inputs and outputs of Gaussian as ASE understands them, and what they tell besides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ase.units import Bohr

from assay.data.passed_over import not_read, several
from assay.workflow.errors import AssayError

_NEXT_JOB, _SAME_ATOMS = re.compile(r"(?im)^\s*--link1--\s*$"), re.compile(r"(?i)geom\w*\s*[=(][^\n]*check")
_END_OF_JOB = re.compile(r"(?m)^\s*1\\1\\GINC.*$")  # where ASE stops
_FRAGMENT = re.compile(r"(?ms)^\s*Counterpoise: doing (?!full).*?(?=^\s*Counterpoise: doing full|\Z)")
_GHOST = re.compile(r"(?m)^ *(?:[A-Z][a-z]?-)?Bq\b.*")
_NO_ATOM = re.compile(r"(?m)^[ \t]+\d+[ \t]+(?:0|-1)(?:[ \t]+-?\d+)?(?:[ \t]+-?\d+\.\d+){3}[ \t]*\n")
_MOLECULE = re.compile(
    r"(?s)\A(?P<head>\s*(?P<route>.*?)\n\s*\n.*?\n\s*\n)[ \t]*(?P<charge>[-+]?\d+)[ \t,]+(?P<multiplicity>\d+)"
    r"(?:[ \t,]+[-+]?\d+)*[ \t]*\n(?P<atoms>.*?)(?P<rest>\n\s*\n.*|\s*)\Z"
)  # the first charge and multiplicity are those of the whole, and others of fragments or layers
_NUMBER = r"[ \t]+([-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?)"
_ATOM = re.compile(
    rf"(?m)^[ \t]*([A-Za-z]\S*)(?:[ \t]+(?:0|-1)(?=[ \t]))?{3 * _NUMBER}(?:[ \t]+[HML]\b.*)?[ \t]*$"
)  # of Cartesian coordinates, with a code that freezes it before and a layer of ONIOM behind
_UNITS = re.compile(r"(?i)\bunits\s*[=(]\s*(?:\(?([a-z, ]+)\)|[a-z]+)")


class GaussianInput(NamedTuple):
    """An input of Gaussian.

    Attributes:
        text: what ASE understands of it.
        told: its total ``charge`` and its ``multiplicity``.
        length_A: its unit of length, in angstrom.
    """

    text: str
    told: Mapping[str, int]
    length_A: float


def understood(text: str, path: Path) -> GaussianInput:
    """An input, without codes that freeze atoms, charges of fragments, layers of ONIOM, and jobs of the same atoms.

    Raises:
        AssayError: it has no atoms, several structures, or angles in radian.
    """
    first, *others = _NEXT_JOB.split(text)
    if not all(_SAME_ATOMS.search(job) for job in others):
        raise several(path)
    match = _MOLECULE.match(first)
    if match is None:
        raise AssayError(
            f"{path} has no line of a charge and a multiplicity below its route and title: give its output"
        )
    atoms = _ATOM.sub(
        lambda atom: " ".join([atom[1], *(str(float(re.sub("[dD]", "e", atom[k]))) for k in (2, 3, 4))]), match["atoms"]
    )
    charge, multiplicity = match["charge"], match["multiplicity"]
    return GaussianInput(
        f"{match['head']}{charge} {multiplicity}\n{atoms}\n{match['rest']}",
        {"charge": int(charge), "multiplicity": int(multiplicity)},
        _length_A(match["route"], path),
    )


def jobs_of(text: str, path: Path) -> Iterator[str]:
    """The jobs of an output, each of which ASE reads alone: the frequencies behind an optimization are one.

    Fragments in the basis of the whole, ghosts and dummies are left out.

    Raises:
        AssayError: it does not tell which atoms are ghosts.
    """
    for job in _END_OF_JOB.split(text):
        whole = _FRAGMENT.sub("", job)
        atoms, n_without = _NO_ATOM.subn("", whole)
        ghost = _GHOST.search(whole)
        if ghost is not None and not n_without:
            raise not_read(path, ghost[0])
        yield atoms


def _length_A(route: str, path: Path) -> float:
    """ASE takes positions in angstrom and angles in degrees."""
    said = _UNITS.search(route)
    words = set() if said is None else set(re.findall("[a-z]+", said[0].lower()))
    if said is not None and "rad" in words:
        raise not_read(path, said[0])
    return Bohr if words & {"au", "bohr"} else 1.0
