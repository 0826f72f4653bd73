"""Writes numbers and names as people read them; what was not measured says so, and is never a zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from assay.workflow.errors import listing

NOT_MEASURED = "not measured"
NOT_APPLICABLE = "not applicable"
MOST_MORE = 6  # digits that may tell a number from a limit


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with some significant digits, with powers of ten only if it needs them: 0.0123, 12,300."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -4 <= exponent < 9:
        return _scientific(f"{value:.{digits - 1}e}")
    return f"{round(value, digits - 1 - exponent):,.{max(0, digits - 1 - exponent)}f}"


def limit(value: float) -> str:
    """Write a number that somebody chose with the digits it was given: 0.0001, 10⁻⁵, 0.043."""
    text = f"{value:g}"
    return _scientific(text).removeprefix("1 × ") if "e" in text else text


def beside(limit: float, value: float | None, write: Callable[[float, int], str], digits: int) -> str:
    """Write a number with so many digits, and with more where it would look like a limit that it misses or passes.

    Args:
        limit: what the number is held against.
        value: the number.
        write: writes a number with so many digits.
        digits: so many digits are enough for others.
    """
    if value is None:
        return NOT_MEASURED
    enough = (n for n in range(digits, digits + MOST_MORE) if write(value, n) != write(limit, n))
    return write(value, next(enough, digits))


def quantity(value: float | None, unit: str, digits: int = 3) -> str:
    """Write a number with its unit."""
    return NOT_MEASURED if value is None else f"{number(value, digits)}\u202f{unit}"


def percent(fraction: float | None, decimals: int = 1) -> str:
    """Write a fraction as a percentage."""
    return NOT_MEASURED if fraction is None else f"{100 * fraction:.{decimals}f}\u202f%"


def change(fraction: float | None) -> str:
    """Write a relative change with its sign: +3.0 %."""
    return NOT_MEASURED if fraction is None else f"{100 * fraction:+.1f}\u202f%"


def file_size(size_bytes: float | None) -> str:
    """Write a number of bytes in kB or MB (10^6 bytes)."""
    if size_bytes is None:
        return NOT_MEASURED
    return f"{size_bytes / 1e6:.2f}\u202fMB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f}\u202fkB"


def duration(seconds: float | None) -> str:
    """Write seconds as 3.4 s, 5 min 20 s or 2 h 5 min."""
    if seconds is None:
        return NOT_MEASURED
    if seconds < 60:
        return f"{number(seconds, 2)}\u202fs"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}\u202fmin {rest}\u202fs"
    return f"{minutes // 60}\u202fh {minutes % 60}\u202fmin"


def count(value: int | None) -> str:
    """Write a whole number with separators."""
    return NOT_MEASURED if value is None else f"{value:,}"


def judged_of(split: Mapping[str, Any]) -> str:
    """Write how many structures of a split were judged, and of how many where it has more."""
    judged, present = split["n_structures"], split.get("n_structures_in_file")
    return count(judged) if present in (None, judged) else f"{count(judged)} of {count(present)}"


def words(name: str) -> str:
    """Write a key as words: ``unseen_molecules`` as unseen molecules."""
    return name.replace("_", " ")


def name_of(precision: str) -> str:
    """Write a precision as people do: ``int8`` as INT8."""
    return precision.upper() if precision.startswith("int") else precision


def of_each(said: Mapping[str, str]) -> str:
    """Write what is said of students by name, once where it is the same of all: 20 atoms (a and b); 5 atoms (c)."""
    if len(set(said.values())) < 2:
        return next(iter(said.values()), "")
    names = {text: [name for name, own in said.items() if own == text] for text in said.values()}
    return "; ".join(f"{text} ({listing(own)})" for text, own in names.items())


def _scientific(text: str) -> str:
    """Write 1.5e-07 as 1.5 × 10⁻⁷."""
    mantissa, power = text.split("e")
    return f"{mantissa} × 10{str(int(power)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


FILTERS = (
    judged_of,
    number,
    limit,
    quantity,
    percent,
    change,
    file_size,
    duration,
    count,
    words,
    name_of,
    listing,
)  # what templates may call
