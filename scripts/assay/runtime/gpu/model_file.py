"""The model file, ``model.assay``, read without the engine."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..network_constants import INTEGERS, MAGIC, MAX_HEAD, N_FILTERS, N_GATES, PARTS, REALS, VERSION, n_element_pairs

_ENTRY = struct.Struct("<16sQQ32s")
_DIGEST_bytes = 32


class Layer(NamedTuple):
    """A linear layer: float64 weight (outputs, inputs), and bias (outputs,) or None."""

    weight: np.ndarray
    bias: np.ndarray | None


@dataclass(frozen=True)
class Block:
    """The layers of one block, by the names that they have in ``assay.models.painn``; tensors only for rank 2."""

    filter: Layer
    context: tuple[Layer, Layer]
    mix: Layer
    mix_tensors: Layer | None
    update: tuple[Layer, Layer]


@dataclass(frozen=True)
class ModelFile:
    """What ``model.assay`` holds.

    Attributes:
        metadata: what the file says about itself.
        settings: the hyperparameters by the names of ``INTEGERS`` and ``REALS``, and ``head``, the widths of its hidden
            layers.
        radii, powers, reference_energy: float64 (max_z + 1,): covalent radii in angstrom, Z^0.23, energies in eV.
        elements: the atomic numbers that the network was trained on.
        radial: float64 (2, R): centers and widths of the Gaussians, or the k of each sine and 1.
        embedding: float64 (max_z + 1, H).
        blocks, head: the layers.
        pair_places: int64 (max_z + 1,), places among the elements with pair energies, their number n for others.
        pair_energies: float64 (n (n + 1) / 2 + 1, R), the rows of coefficients of ``PairEnergies``, and one of zeros.
    """

    metadata: dict[str, Any]
    settings: dict[str, Any]
    radii: np.ndarray
    powers: np.ndarray
    reference_energy: np.ndarray
    elements: frozenset[int]
    radial: np.ndarray
    embedding: np.ndarray
    blocks: tuple[Block, ...]
    head: tuple[Layer, ...]
    pair_places: np.ndarray
    pair_energies: np.ndarray


def read_model_file(source: str | Path | bytes) -> ModelFile:
    """Read a model file, or its bytes, and check every part by its SHA-256.

    Raises:
        ValueError: it is no model file, is damaged, or holds a network that the engine does not compute.
    """
    with _readable(source) as content:
        parts = _parts(content)
        if not parts["settings"]:
            raise ValueError("it holds a network that neither the engine nor its kernels for GPUs compute")
        return _model(parts)


def read_metadata(source: str | Path | bytes) -> dict[str, Any]:
    """Read what a model file, or its bytes, says about itself, whatever network it holds.

    Raises:
        ValueError: it is no model file, or is damaged.
    """
    with _readable(source) as content:
        return dict(json.loads(_parts(content)["metadata"]))


@contextmanager
def _readable(source: str | Path | bytes) -> Iterator[bytes]:
    """The content of a model file; what is wrong with it is said with its name."""
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        yield content
    except (ValueError, struct.error, KeyError) as error:
        name = "the model" if isinstance(source, bytes) else str(source)
        raise ValueError(f"{name} cannot be read ({error}): export the model again") from None


def _parts(content: bytes) -> dict[str, bytes]:
    if content[: len(MAGIC)] != MAGIC:
        raise ValueError("it is no model file")
    start = len(MAGIC) + 8
    version, count = struct.unpack_from("<II", content, len(MAGIC))
    if version != VERSION or count != len(PARTS):
        raise ValueError(f"it has version {version} and {count} parts, not {VERSION} and {len(PARTS)}")
    end = start + count * _ENTRY.size
    if hashlib.sha256(content[:end]).digest() != content[end : end + _DIGEST_bytes]:
        raise ValueError("its header is damaged")
    parts = {}
    for index in range(count):
        raw, offset, size, digest = _ENTRY.unpack_from(content, start + index * _ENTRY.size)
        part = content[offset : offset + size]
        label = raw.rstrip(b"\0").decode()
        if len(part) != size or hashlib.sha256(part).digest() != digest:
            raise ValueError(f"its part {label} is damaged")
        parts[label] = part
    return parts


def _model(parts: dict[str, bytes]) -> ModelFile:
    integers = struct.unpack_from(f"<{len(INTEGERS) + MAX_HEAD}q", parts["settings"])
    reals = struct.unpack_from(f"<{len(REALS)}d", parts["settings"], 8 * len(integers))
    settings: dict[str, Any] = {**dict(zip(INTEGERS, integers, strict=False)), **dict(zip(REALS, reals, strict=True))}
    head = list(integers[len(INTEGERS) :][: settings["n_head"]])
    radii, _, powers, reference, known, places = np.frombuffer(parts["elements"], np.float64).reshape(6, -1)
    kind = np.float32 if settings["parameter_bits"] == 32 else np.float64
    numbers = _Numbers(np.frombuffer(parts["parameters"], kind).astype(np.float64))
    hidden, rank = settings["hidden"], settings["rank"]
    embedding = numbers.take(settings["max_z"] + 1, hidden)
    blocks = tuple(_block(numbers, settings, hidden, rank) for _ in range(settings["n_blocks"]))
    layers = tuple(numbers.layer(n_out, n_in) for n_in, n_out in pairwise([hidden, *head, 1]))
    n_pairs = n_element_pairs(settings["n_pair_elements"])
    pair_energies = np.pad(numbers.take(n_pairs, settings["n_rbf"]), ((0, 1), (0, 0)))
    if numbers.left:
        raise ValueError(f"it has {numbers.left} numbers too many")
    return ModelFile(
        json.loads(parts["metadata"]),
        settings | {"head": head},
        radii, powers, reference,
        frozenset(np.flatnonzero(known).tolist()) - {0},
        np.frombuffer(parts["radial"], np.float64).reshape(2, settings["n_rbf"]),
        embedding, blocks, layers, places.astype(np.int64), pair_energies,
    )  # fmt: skip


def _block(numbers: _Numbers, settings: dict[str, Any], hidden: int, rank: int) -> Block:
    filters, gates = N_FILTERS[rank], N_GATES[rank]
    return Block(
        numbers.layer(filters * hidden, settings["n_rbf"], bool(settings["filter_bias"])),
        (numbers.layer(hidden, hidden), numbers.layer(filters * hidden, hidden)),
        numbers.layer(2 * hidden, hidden, False),
        numbers.layer(2 * hidden, hidden, False) if rank == 2 else None,
        (numbers.layer(hidden, (rank + 1) * hidden), numbers.layer(gates * hidden, hidden)),
    )


class _Numbers:
    """The parameters of a file, taken one after the other."""

    def __init__(self, values: np.ndarray):
        self.values, self.place = values, 0

    @property
    def left(self) -> int:
        return len(self.values) - self.place

    def take(self, *shape: int) -> np.ndarray:
        start, self.place = self.place, self.place + int(np.prod(shape))
        if self.place > len(self.values):
            raise ValueError("it has too few numbers")
        return self.values[start : self.place].reshape(shape)

    def layer(self, n_out: int, n_in: int, bias: bool = True) -> Layer:
        weight = self.take(n_out, n_in)
        return Layer(weight, self.take(n_out) if bias else None)
