"""Which globals a pickle names, and inert stand-ins for the harmless ones that torch does not know."""

from __future__ import annotations

import io
import pickletools
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

# What torch.save writes for tensors, optimizers and plain containers; torch.load builds these itself.
_TORCH = re.compile(
    r"collections\.(OrderedDict|Counter)"
    r"|torch(\.cuda|\.storage)?\.\w*Storage"
    r"|torch\.(Size|device|Tensor|bool|chalf|(u?int|float|bfloat|complex|q?u?int)\d+\w*|per_\w+)"
    r"|torch\.nn\.parameter\.Parameter"
    r"|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2|torch\.serialization\._get_layout"
    r"|_codecs\.encode|builtins\.(bytearray|set|complex)"
)
_NUMPY_FORMATS = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i", "b1": "<?"}


class _Dtype:
    """A numpy dtype by its code."""

    def __init__(self, code: Any = None, *_: Any):
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """The byte order; little-endian is all that is read."""


def _numpy_scalar(dtype: Any = None, data: Any = None) -> float | int | bool | None:
    """The number that a pickled numpy scalar holds, or None for other kinds."""
    layout = _NUMPY_FORMATS.get(str(getattr(dtype, "code", "")))
    if layout is None or not isinstance(data, bytes) or len(data) != struct.calcsize(layout):
        return None
    return struct.unpack(layout, data)[0]


class _Namespace:
    """The attributes of an ``argparse.Namespace``."""


def _path(*parts: Any) -> str:
    return "/".join(str(part) for part in parts)


def _dictionary(*_: Any) -> dict:
    return {}


def _builtin_type(*_: Any) -> None:
    return None


# Types that trainers leave in a checkpoint without meaning to. They are read as inert data, never imported.
STAND_INS: dict[str, Callable] = {
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "numpy.dtype": _Dtype,
    "argparse.Namespace": _Namespace,
    "collections.defaultdict": _dictionary,
    "builtins.dict": _builtin_type,
    "builtins.list": _builtin_type,
    "builtins.int": _builtin_type,
    "builtins.float": _builtin_type,
    "pathlib.PosixPath": _path,
    "pathlib.PurePosixPath": _path,
    "pathlib.WindowsPath": _path,
    "pathlib._local.PosixPath": _path,
    "pathlib._local.WindowsPath": _path,
}


def attributes(value: Any) -> Any:
    """The attributes of a stand-in for a namespace as a dict; anything else as it is."""
    return vars(value) if isinstance(value, _Namespace) else value


def foreign_globals(data: bytes, n_pickles: int = 1) -> list[str]:
    """Globals of the pickles at the start of ``data`` that loading a checkpoint has no business with.

    Reading stops where ``data`` stops being a pickle; what was named until then is returned.
    """
    stream = io.BytesIO(data)
    names = {name.replace("__builtin__.", "builtins.", 1) for _ in range(n_pickles) for name in _globals(stream)}
    return sorted(name for name in names if not _TORCH.fullmatch(name) and name not in STAND_INS)


def _globals(stream: io.BytesIO) -> Iterator[str]:
    """Every global that the next pickle in ``stream`` names, in any protocol."""
    texts: list[str] = []
    memo: dict[Any, str] = {}
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name in ("GLOBAL", "INST"):
                yield str(argument).replace(" ", ".", 1)
            elif opcode.name == "STACK_GLOBAL":
                yield ".".join(texts[-2:])
            elif opcode.name == "MEMOIZE":
                memo[len(memo)] = texts[-1] if texts else ""
            elif "PUT" in opcode.name:
                memo[argument] = texts[-1] if texts else ""
            elif "GET" in opcode.name:
                texts.append(memo.get(argument, ""))
            elif isinstance(argument, str):
                texts.append(argument)
    except (ValueError, IndexError, EOFError, struct.error, AttributeError, MemoryError):
        return
