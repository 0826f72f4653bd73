"""What students say of structures, whatever runs them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class NoDevice(ValueError):
    """The device that was asked for is not there."""


class Result(NamedTuple):
    """What a student says of a batch.

    Attributes:
        energy: float64 (S,), eV.
        forces: (N, 3), eV/angstrom; float64 from the engine, float32 from ONNX Runtime.
        virial: (S, 3, 3), eV, of the same type: -dE/d(strain), so that the stress of a cell of volume V is -virial/V;
            None from ``model.onnx``.
    """

    energy: np.ndarray
    forces: np.ndarray
    virial: np.ndarray | None


class Evaluated(NamedTuple):
    """What a student says of one structure.

    Attributes:
        energy: eV.
        forces: float64 (N, 3), eV/angstrom.
        virial: float64 (3, 3), eV, -dE/d(strain); None where the file has none.
        atomic_energies: float64 (N,), eV; None where the file has none.
        n_edges: the number of pairs within the cutoff, both ways; None where the caller found them.
    """

    energy: float
    forces: np.ndarray
    virial: np.ndarray | None
    atomic_energies: np.ndarray | None
    n_edges: int | None = None
