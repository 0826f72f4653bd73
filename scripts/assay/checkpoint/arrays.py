"""Arrays of numpy, from the bytes, dtypes and shapes that a pickle has of them, and bytes as text."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from assay.checkpoint.pickles import Instance, PickleError

MAX_ARRAY_BYTES = 1 << 26  # in all arrays and texts together
MAX_TEXTS = 1_000_000  # in one array
MAX_TEXT_BYTES = 1 << 20  # in one text
BYTES = {"_codecs.encode", "builtins.bytearray"}  # how protocols before 3 and 5 make bytes of text
_CODES = re.compile(r"f[248]|[iu][1248]|b1|[US]\d{1,5}")


class ArrayReader:
    """Makes arrays and texts, and counts the bytes that they may still have."""

    def __init__(self) -> None:
        self.room = MAX_ARRAY_BYTES

    def array(self, data: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray | None:
        """A copy of the array with these bytes, in native byte order; None if they make none of numbers or text.

        Text comes as objects.
        """
        kind, raw = _dtype(dtype), self.raw_bytes(data)
        if kind is None or raw is None or not isinstance(shape, tuple) or len(shape) > 32:
            return None
        if not raw or not all(type(count) is int and count > 0 for count in shape):
            return None
        try:
            values = np.frombuffer(raw, dtype=kind).reshape(shape, order=order)
            if kind.kind in "US":
                return values.astype(np.str_).astype(object) if values.size <= MAX_TEXTS else None
        except ValueError:
            return None
        return np.array(values, dtype=kind.newbyteorder("="), order="C")

    def text(self, source: Any) -> Any:
        """Bytes as the text that they are in UTF-8, such as a config in JSON; others as they are."""
        spelled = _spelled(source)
        raw = self.raw_bytes(source) if spelled is not None and len(spelled) <= MAX_TEXT_BYTES else None
        try:
            return source if raw is None else raw.decode()
        except UnicodeDecodeError:
            return source

    def raw_bytes(self, data: Any) -> bytes | None:
        """The bytes of an array or a text; None of anything else."""
        spelled = _spelled(data)
        if spelled is None:
            return None
        self.spend_bytes(len(spelled))
        try:
            return spelled.encode("latin1") if isinstance(spelled, str) else bytes(spelled)
        except UnicodeEncodeError:
            return None

    def spend_bytes(self, count: int) -> None:
        """Count the bytes of an array or a text against what all may have."""
        self.room -= count
        if self.room < 0:
            raise PickleError(f"arrays and texts of more than {MAX_ARRAY_BYTES >> 20} MiB")


def _spelled(data: Any) -> str | bytes | bytearray | None:
    """What spells bytes: themselves, or in protocols before 3 the text that they are in Latin-1."""
    if isinstance(data, Instance) and data.name == "builtins.bytearray" and len(data.args) == 1:
        data = data.args[0]
    if isinstance(data, Instance) and data.name in BYTES and len(data.args) == 2:
        text, encoding = data.args
        return text if isinstance(text, str) and encoding in ("latin1", "latin-1") else None
    return data if isinstance(data, bytes | bytearray) else None


def _dtype(source: Any) -> np.dtype | None:
    """The numpy dtype of numbers or text that ``source`` names, with its byte order."""
    if not isinstance(source, Instance) or source.name != "numpy.dtype" or not source.args:
        return None
    code = source.args[0]
    if not isinstance(code, str) or not _CODES.fullmatch(code):
        return None
    state = source.state
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "<"
    return np.dtype((">" if order == ">" else "<") + code)
