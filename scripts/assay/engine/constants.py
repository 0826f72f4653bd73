"""The constants and the hyperparameters of the network that the engine's C++ takes from Python.

``header`` writes them as ``constants.h``, which is compiled into the engine, so that neither is written down twice.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

from assay.runtime.network_constants import (
    ACTIVATIONS,
    BOHR_A,
    COEFFICIENTS,
    COULOMB_EV_A,
    ENVELOPES,
    EXPONENTS,
    FIRST_CENTER_A,
    FLAT_BELOW,
    HALF_ROOT,
    INTEGERS,
    MAX_HEAD,
    N_FILTERS,
    N_GATES,
    REALS,
    SCREENING_BOHR,
    SOFTPLUS_IS_LINEAR_FROM,
    UNCHANGED_BEYOND,
)

_NUMBERS = {
    "FIRST_CENTER_A": FIRST_CENTER_A, "FLAT_BELOW": FLAT_BELOW, "UNCHANGED_BEYOND": UNCHANGED_BEYOND,
    "COULOMB_EV_A": COULOMB_EV_A, "BOHR_A": BOHR_A, "SCREENING_BOHR": SCREENING_BOHR, "HALF_ROOT": HALF_ROOT,
    "SOFTPLUS_IS_LINEAR_FROM": SOFTPLUS_IS_LINEAR_FROM,
}  # fmt: skip
_ARRAYS = {"COEFFICIENTS": COEFFICIENTS, "EXPONENTS": EXPONENTS}
_BY_RANK = {"N_FILTERS": N_FILTERS, "N_GATES": N_GATES}


class Hyperparameters(ctypes.Structure):
    """The hyperparameters of a network as C++ reads them; ``head`` holds the widths of ``n_head`` layers.

    ``envelope`` and both activations are places in ``ENVELOPES`` and ``ACTIVATIONS``. Envelopes that are zero from a
    distance below the cutoff on have it as ``envelope_end``, and a switch begins to fall at ``envelope_begin``.
    """

    _fields_ = [
        *((name, ctypes.c_int64) for name in INTEGERS),
        ("head", ctypes.c_int64 * MAX_HEAD),
        *((name, ctypes.c_double) for name in REALS),
    ]


def header() -> str:
    """The text of ``constants.h``. An array by rank has its entry for rank 1 at the index 1."""
    lines = ["// Written by assay/engine/constants.py.", "#pragma once", "#include <cstdint>", "namespace assay {"]
    lines += [f"constexpr double {name} = {value!r};" for name, value in _NUMBERS.items()]
    lines += [f"enum {{ {', '.join(map(str.upper, names))} }};" for names in (ENVELOPES, ACTIVATIONS)]
    lines += [_array("double", name, values) for name, values in _ARRAYS.items()]
    lines += [_array("int", name, [0, *(table[rank] for rank in sorted(table))]) for name, table in _BY_RANK.items()]
    lines += ["}", 'extern "C" struct Hyperparameters {']
    lines += [f"    int64_t {', '.join(INTEGERS)}, head[{MAX_HEAD}];", f"    double {', '.join(REALS)};", "};"]
    return "\n".join(lines) + "\n"


def _array(kind: str, name: str, values: Iterable[float]) -> str:
    return f"constexpr {kind} {name}[] = {{{', '.join(map(repr, values))}}};"
