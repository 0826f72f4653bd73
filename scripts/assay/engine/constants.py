"""The constants and the hyperparameters of the network that the engine's C++ takes from Python.

``header`` writes them as ``constants.h``, which is compiled into the engine, so that neither is written down twice.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

from assay.models.floor import FLAT_BELOW, UNCHANGED_BEYOND
from assay.models.painn import N_FILTERS, N_GATES
from assay.models.repulsion import BOHR_A, COEFFICIENTS, COULOMB_EV_A, EXPONENTS, SCREENING_BOHR
from assay.models.tensors import HALF_ROOT

MAX_HEAD = 8  # hidden layers of the head
INTEGERS = ("rank", "hidden", "n_blocks", "n_rbf", "max_z", "filter_bias", "gaussian", "envelope", "activation",
            "head_activation", "repulsion", "floor", "parameter_bits", "n_head")  # fmt: skip
REALS = ("cutoff", "envelope_begin", "envelope_end", "epsilon", "energy_scale")
ENVELOPES = ("polynomial", "cosine", "mollifier", "switch")
ACTIVATIONS = ("silu", "softplus", "shifted_softplus")
SOFTPLUS_IS_LINEAR_FROM = 20.0  # the threshold of torch.nn.functional.softplus

_NUMBERS = {
    "FLAT_BELOW": FLAT_BELOW, "UNCHANGED_BEYOND": UNCHANGED_BEYOND, "COULOMB_EV_A": COULOMB_EV_A, "BOHR_A": BOHR_A,
    "SCREENING_BOHR": SCREENING_BOHR, "HALF_ROOT": HALF_ROOT, "SOFTPLUS_IS_LINEAR_FROM": SOFTPLUS_IS_LINEAR_FROM,
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
