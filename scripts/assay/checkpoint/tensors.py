"""Builds tensors from what a pickle says of them and from the bytes that stand beside it.

A pickle may say anything. Each storage is as long as its bytes, and each tensor lies within its storage, or the file is
damaged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.checkpoint.pickles import Instance, Name, Persistent, PickleError

MAX_DIMENSIONS = 64
MAX_ELEMENTS = 1 << 48  # a tensor may repeat its elements; a view of this size takes no memory
DTYPES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
_STORAGES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool, "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64, "Untyped": torch.uint8,
    "QInt8": torch.int8, "QUInt8": torch.uint8, "QInt32": torch.int32, "QUInt4x2": torch.uint8,
    "QUInt2x4": torch.uint8,
}  # fmt: skip
_STORAGE_PLACES = ("torch.", "torch.cuda.", "torch.storage.")
_PARAMETERS = {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}
_PLAIN_TYPES = {"torch.Tensor", "torch.nn.parameter.Parameter"}
_REBUILDS = ("torch._utils._rebuild_", "torch._tensor._rebuild_")


def is_tensor_record(value: Any) -> bool:
    """Whether ``value`` would have been a tensor: a sparse, quantized or other one that ``rebuild`` leaves alone."""
    return isinstance(value, Instance) and value.name.startswith(_REBUILDS)


def is_storage(name: str) -> bool:
    """Whether ``name`` is that of a class of storages."""
    return any(f"{place}{kind}Storage" == name for place in _STORAGE_PLACES for kind in _STORAGES)


def are_same(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    """Whether two sets of tensors have the same names and, under each, the same shape and numbers."""
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def wanted_storages(persistent: Iterable[Persistent]) -> dict[str, tuple[torch.dtype, int]]:
    """The type and the number of elements of each storage that a pickle refers to, by its key.

    Raises:
        PickleError: a reference is no storage, or two of them contradict each other.
    """
    wanted: dict[str, tuple[torch.dtype, int]] = {}
    for reference in persistent:
        key, dtype, count = _described(reference)
        if wanted.setdefault(key, (dtype, count)) != (dtype, count):
            raise PickleError("a storage that is described in two ways")
    return wanted


def _described(reference: Any) -> tuple[str, torch.dtype, int]:
    """Key, type and number of elements of a storage."""
    key = reference.key if isinstance(reference, Persistent) else None
    if not isinstance(key, tuple) or len(key) not in (5, 6) or key[0] != "storage" or any(key[5:]):
        raise PickleError("a reference to what is no storage")
    kind, name, count = key[1], key[2], key[4]
    if not isinstance(kind, Name) or not is_storage(kind.name) or not isinstance(name, str):
        raise PickleError("a storage of an unknown kind")
    if type(count) is not int or count < 0:
        raise PickleError("a storage without a length")
    return name, _STORAGES[kind.name.rpartition(".")[2].removesuffix("Storage")], count


def storage_from_bytes(data: bytes, dtype: torch.dtype, count: int, big_endian: bool = False) -> Tensor:
    """A copy of ``data`` as a tensor of shape (count,).

    Raises:
        PickleError: ``data`` is longer or shorter than ``count`` elements.
    """
    if len(data) != count * dtype.itemsize:
        raise PickleError("a storage that is not as long as its bytes")
    if not count:
        return torch.empty(0, dtype=dtype)
    if big_endian:
        width = dtype.itemsize // (2 if dtype.is_complex else 1)
        data = np.frombuffer(data, dtype=f"u{width}").byteswap().tobytes()
    return torch.frombuffer(bytearray(data), dtype=dtype)


def rebuild(record: Instance, storages: Mapping[str, Tensor], nesting: int = 0) -> Tensor | Instance:
    """The dense tensor that ``record`` describes, a view of its storage; ``record`` itself for any other kind.

    Raises:
        PickleError: it does not lie within its storage.
    """
    function, args = record.name.rpartition(".")[2], record.args
    if record.name in _PARAMETERS and args and is_tensor_record(args[0]) and nesting < 3:
        inner = rebuild(args[0], storages, nesting + 1)
        return inner if isinstance(inner, Tensor) else record
    if record.name == "torch._tensor._rebuild_from_type_v2" and len(args) == 4 and nesting < 3:
        named, kind, inner_args, _ = args
        plain = isinstance(named, Name) and isinstance(kind, Name) and kind.name in _PLAIN_TYPES
        if not plain or not isinstance(inner_args, tuple):
            return record
        inner = rebuild(Instance(named.name, inner_args), storages, nesting + 1)
        return inner if isinstance(inner, Tensor) else record
    lengths = {"_rebuild_tensor": (4,), "_rebuild_tensor_v2": (6, 7), "_rebuild_tensor_v3": (7, 8)}.get(function, ())
    if not record.name.startswith("torch._utils.") or len(args) not in lengths:
        return record
    with_dtype = function == "_rebuild_tensor_v3"
    # What follows says that values are conjugated or negated views, which no weights are.
    metadata = args[7:] if with_dtype else args[6:]
    if any(not _is_empty(item) for item in metadata):
        return record
    flat = storages[_described(args[0])[0]]
    if with_dtype:
        dtype = DTYPES.get(args[6].name) if isinstance(args[6], Name) else None
        if dtype is None or len(flat) * flat.dtype.itemsize % dtype.itemsize:
            raise PickleError("a tensor of an unknown type")
        flat = flat.view(torch.uint8).view(dtype)
    return _view(flat, args[1], _numbers(args[2]), _numbers(args[3]))


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, Instance) and value.name == "dict" and not value.entries)


def _numbers(value: Any) -> tuple[int, ...]:
    """A size or stride: counts that are not negative."""
    if isinstance(value, Instance) and value.name == "torch.Size" and len(value.args) == 1:
        value = value.args[0]
    if not isinstance(value, tuple | list) or len(value) > MAX_DIMENSIONS:
        raise PickleError("a tensor without a shape")
    if not all(type(number) is int and 0 <= number <= MAX_ELEMENTS for number in value):
        raise PickleError("a tensor of an impossible shape")
    return tuple(value)


def _view(flat: Tensor, offset: Any, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """The elements of ``flat`` (N,) that a tensor of this offset, size and stride has, without a copy."""
    if type(offset) is not int or offset < 0 or len(size) != len(stride) or math.prod(size) > MAX_ELEMENTS:
        raise PickleError("a tensor of an impossible shape")
    if 0 in size:
        return flat.new_empty(size)
    if offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True)) >= len(flat):
        raise PickleError("a tensor that reaches beyond its storage")
    return flat.as_strided(size, stride, offset)
