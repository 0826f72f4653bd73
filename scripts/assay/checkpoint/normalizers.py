"""What trainers keep beside the weights to correct the energies that a network gives, and no network here applies."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Collection, Iterator
from typing import Any

from torch import Tensor

from assay.checkpoint.config import PLACES, config_entries, plain
from assay.checkpoint.container import Container
from assay.checkpoint.weights import nested_dicts
from assay.workflow.errors import AssayError

# Statistics of labels, such as energy_mean, y_std and scale_factor.
_STATISTIC = re.compile(
    r"(?:(?:energy|energies|targets?|labels?|output|per_atom|e|y)_)*"
    r"(?:(?P<zero>mean|shift|offset)s?|(?P<one>std|stddev|stdev|scale|scale_factor)s?)_?"
)
# Energies of atoms of each element, which are added to what the network gives.
_REFERENCES = re.compile(
    r"atom_?refs?|atomic_(?:energies|references|reference_energies|refs)|e0s?|(?:reference|self|atom)_energies"
    r"|isolated_(?:atom_)?energies|(?:element|species)_(?:shifts|energies)"
)
_NORMALIZER = re.compile(r"(?:\w+_)?(?:normali[sz]|standardi[sz]|scal)ers?")
_OF_MIXED_PRECISION = "growth_factor"  # beside the scale of losses
MAX_STATISTICS = 10_000  # numbers of one of them


def check_normalizers(container: Container, tensors: Collection[str]) -> None:
    """Refuse a mean or a standard deviation of labels, or energies of atoms, that are kept beside the weights, and not
    applied by the network.

    A mean of 0 and a standard deviation of 1 change nothing, nor do energies of 0.

    Args:
        container: the file.
        tensors: the names of the weights, of which some are scales and shifts that the network applies.

    Raises:
        AssayError: there is one.
    """
    for place, value, neutral in _kept(container):
        if place not in tensors and not _is_neutral(value, neutral):
            number = plain(None, value)
            shown = reprlib.repr(number) if isinstance(number, int | float) else "several numbers"
            raise AssayError(
                f"{container.path} keeps {place} = {shown} beside its weights, which nothing in its network applies: "
                "save a network that does, or remove it where it only records the data"
            )


def _kept(container: Container) -> Iterator[tuple[str, Any, float]]:
    """Place, value and neutral value of each number, or numbers, by which energies could be corrected."""
    for place, key, value, _ in config_entries(container):
        if (neutral := _neutral(key)) is not None:
            yield f"{place}.{key}".lstrip("."), value, neutral
    tops = (container.content, container.config)
    configs = [
        (f"{place}.", top[place]) for top in tops for place in sorted(PLACES) if isinstance(top.get(place), dict)
    ]
    for start, section in [("", top) for top in tops] + configs:
        for key, value in section.items():
            if not (isinstance(key, str) and isinstance(value, dict)):
                continue
            if _REFERENCES.fullmatch(key.lower()):
                yield start + key, list(value.values()), 0.0
            elif _NORMALIZER.fullmatch(key.lower()):
                yield from _statistics_in(start + key, value)


def _statistics_in(place: str, normalizer: dict) -> Iterator[tuple[str, Any, float]]:
    for where, entries in nested_dicts({place: normalizer}):
        if _OF_MIXED_PRECISION in entries:
            continue
        for key, value in entries.items():
            if isinstance(key, str) and not isinstance(value, dict) and (neutral := _neutral(key)) is not None:
                yield f"{where}.{key}".lstrip("."), value, neutral


def _neutral(key: str) -> float | None:
    """The value by which a statistic of this name changes nothing; None if the name is of none."""
    if _REFERENCES.fullmatch(key.lower()):
        return 0.0
    found = _STATISTIC.fullmatch(key.lower())
    return None if found is None else 0.0 if found["zero"] else 1.0


def _is_neutral(value: Any, neutral: float) -> bool:
    """Whether all numbers in ``value`` are ``neutral``; what holds no numbers changes nothing either."""
    if isinstance(value, Tensor):
        return value.numel() <= MAX_STATISTICS and bool((value == neutral).all())
    if isinstance(value, list | tuple):
        return all(_is_neutral(item, neutral) for item in value)
    return value == neutral if isinstance(value, int | float) else True
