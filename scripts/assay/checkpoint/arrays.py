"""Arrays of numpy, from the bytes, dtypes and shapes that a pickle has of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.checkpoint.pickles import Instance, PickleError

MAX_ARRAY_BYTES = 1 << 26  # in all arrays together
_CODES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}


class ArrayReader:
    """Makes arrays, and counts the bytes that they may still have."""

    def __init__(self) -> None:
        self.room = MAX_ARRAY_BYTES

    def array(self, data: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray | None:
        """A copy of the array with these bytes, in native byte order; None if they do not make one of numbers."""
        kind, raw = _dtype(dtype), self.raw_bytes(data)
        if kind is None or raw is None or not isinstance(shape, tuple) or len(shape) > 32:
            return None
        if not raw or not all(type(count) is int and count > 0 for count in shape):
            return None
        try:
            values = np.frombuffer(raw, dtype=kind).reshape(shape, order=order)
        except ValueError:
            return None
        return np.array(values, dtype=kind.newbyteorder("="), order="C")

    def raw_bytes(self, data: Any) -> bytes | None:
        """The bytes of an array, which protocols before 3 spell as text."""
        if isinstance(data, Instance) and data.name == "_codecs.encode" and len(data.args) == 2:
            text, encoding = data.args
            if not isinstance(text, str) or encoding != "latin1":
                return None
            self.spend_bytes(len(text))
            try:
                return text.encode("latin1")
            except UnicodeEncodeError:
                return None
        if not isinstance(data, bytes | bytearray):
            return None
        self.spend_bytes(len(data))
        return bytes(data)

    def spend_bytes(self, count: int) -> None:
        """Count the bytes of an array against what all may have."""
        self.room -= count
        if self.room < 0:
            raise PickleError(f"arrays of more than {MAX_ARRAY_BYTES >> 20} MiB")


def _dtype(source: Any) -> np.dtype | None:
    """The numpy dtype of numbers that ``source`` names, with its byte order."""
    if not isinstance(source, Instance) or source.name != "numpy.dtype" or not source.args:
        return None
    code = source.args[0]
    if not isinstance(code, str) or code not in _CODES:
        return None
    state = source.state
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "<"
    return np.dtype((">" if order == ">" else "<") + code)
