"""Embeds the figures that other rules drew into the page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from assay.report.wording import words

_PLAIN = " /:;=,()+*<>'"  # stands in a data URI, and there between double quotes, as it is
CAPTIONS = {
    "parity": "Predicted against labelled forces and energies: a good student lies on the dashed line.",
    "errors": "How large the errors are, and how they depend on force, size and element.",
    "novelty": "Error against how unlike the training data a structure is. Flagged: right of the line, and crosses.",
    "overview": "Every number of every physics check, over its limit: what is right of the line does not pass.",
    "vibrations": "Frequencies of vibration, beside the teacher's.",
    "energies": "Relative energies of conformers and tautomers, beside the teacher's.",
    "nve": "Energy along dynamics at constant energy: it should not drift.",
    "cutoff": "Energy and force while a neighbor crosses the cutoff: they should not jump.",
    "continuity": "What the forces leave unexplained of the energy, step by step along random paths.",
    "torsions": "Energy along turned bonds, beside the teacher's.",
    "dimers": "Energy of two atoms against their distance, beside the teacher's: it should rise when they come close.",
    "contacts": "Energy of two facing molecules against their distance, beside the teacher's.",
    "benchmark": "Latency and throughput of energies and forces by runtime, batch size and system size.",
    "properties": "How the atoms of a material are arranged and diffuse, by the students and by their teacher.",
    "engines": "Time of a step, and nanoseconds a day, against the number of atoms in each program.",
    "accuracy": "All variants side by side, with bootstrap confidence intervals over molecules.",
}
NARROW = {"overview", "vibrations", "energies"}  # two of these fit beside each other


@dataclass(frozen=True)
class Figure:
    """An embedded figure: name, data URI, caption, and whether it wants the page's full width."""

    name: str
    uri: Markup
    caption: str
    broad: bool


def embed(path: Path) -> Figure:
    """Read an SVG file and write it as a data URI, as text, which is shorter than base64."""
    content = quote(" ".join(path.read_text().replace('"', "'").split()), safe=_PLAIN)
    caption = CAPTIONS.get(path.stem, words(path.stem).capitalize() + ".")
    return Figure(path.stem, Markup(f"data:image/svg+xml,{content}"), caption, path.stem not in NARROW)


def figures_of(folder: Path) -> list[Figure]:
    """Embed what was drawn for one student, in its folder and in ``figures/``, known names first."""
    return [embed(path) for path in _ordered([*folder.glob("*.svg"), *folder.glob("figures/*.svg")])]


def _ordered(paths: Iterable[Path]) -> list[Path]:
    known = list(CAPTIONS)
    return sorted(paths, key=lambda p: (known.index(p.stem) if p.stem in known else len(known), p.stem))
