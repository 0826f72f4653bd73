"""The size of a student: hyperparameters that follow from a number of parameters, by counting."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from assay.models import build_model, count_parameters
from assay.runtime.network_constants import n_element_pairs
from assay.workflow.errors import AssayError

# What all students have in common that the shipped ones are made of.
USUAL: dict[str, Any] = {
    "n_blocks": 3,
    "n_rbf": 24,
    "head": [32],
    "radial_basis": "gaussian",
    "repulsion": True,
    "floor": True,
    "epsilon": 1e-3,
    "rank": 2,
}
# H, B, C, N, O, F, Si, P, S, Cl, As, Se, Br and I, whose bonds are about as long as covalent radii say.
NONMETALS = frozenset({1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 33, 34, 35, 53})
PAIRS = 0.1  # of a budget go to energies of pairs of elements at most
NARROW, FEWER_RBF = 16, 16  # up to this width so many radial functions are enough
WIDTHS = range(8, 513, 8)  # whole vectors of the processor
FAR = 2.0  # times a budget, or of it, that no width comes near
LARGEST_Z = 36  # students know at least the elements up to krypton


def hyperparameters_for(parameters: int, given: Mapping[str, Any], largest_z: int) -> dict[str, Any]:
    """The hyperparameters of the painn whose number of parameters is nearest to a budget: its width follows from it.

    Args:
        parameters: the budget.
        given: hyperparameters that are chosen already, the width ``hidden`` perhaps among them.
        largest_z: the largest atomic number of the data.

    Raises:
        AssayError: a hyperparameter is unknown or has a value that does not fit, an element is beyond ``max_z``, or the
            nearest network is more than ``FAR`` times larger or smaller than asked.
    """
    fixed = with_elements(given, largest_z, "the student")

    def of_width(hidden: int) -> dict[str, Any]:
        narrow = {"n_rbf": FEWER_RBF} if hidden <= NARROW else {}
        return USUAL | narrow | fixed | {"hidden": hidden}

    if "hidden" in fixed:
        return of_width(fixed["hidden"])
    first = bisect_left(WIDTHS, parameters, key=lambda hidden: parameters_of_shape("painn", of_width(hidden)))
    nearest = [of_width(hidden) for hidden in WIDTHS[max(first - 1, 0) : first + 1]]
    found = min(nearest, key=lambda candidate: abs(parameters_of_shape("painn", candidate) - parameters))
    count = parameters_of_shape("painn", found)
    if max(count, parameters) > FAR * min(count, parameters):
        raise AssayError(
            f"no student of {parameters:,} parameters can be made: the nearest, of {found['hidden']} channels, has "
            f"{count:,}; ask for about as many, or give hyperparameters"
        )
    return found


def of_matter(parameters: int, elements: Sequence[int], periodic: bool) -> dict[str, Any]:
    """The hyperparameters of a painn that follow from what it learns from, where they are not chosen.

    A student of molecules of nonmetals counts distances from contact, and each pair of its elements has an energy of
    its own, where a tenth of the budget pays for that at the usual number of radial functions. Of ions covalent radii
    say little, and students of other matter have neither.

    Args:
        parameters: the budget.
        elements: rising atomic numbers of the data.
        periodic: whether any structure is.
    """
    if periodic or not NONMETALS.issuperset(elements):
        return {}
    paid = n_element_pairs(len(elements)) * USUAL["n_rbf"] <= PAIRS * parameters
    return {"from_contact": True, "pair_elements": list(elements) if paid else []}


def with_elements(given: Mapping[str, Any], largest_z: int, of_whom: str) -> dict[str, Any]:
    """Hyperparameters of a painn that knows all elements of the data.

    Args:
        given: hyperparameters that are chosen already.
        largest_z: the largest atomic number of the data.
        of_whom: whose hyperparameters these are, in words.

    Raises:
        AssayError: a chosen ``max_z`` is less.
    """
    known = given.get("max_z", max(LARGEST_Z, largest_z))
    if known < largest_z:
        raise AssayError(
            f"the data hold the atomic number {largest_z} and `hyperparameters` of {of_whom} know those up to {known}: "
            "raise `max_z`, or leave it out"
        )
    return dict(given) | {"max_z": known}


def parameters_of_shape(architecture: str, hyperparameters: Mapping[str, Any]) -> int:
    """Count the parameters of a network without making any.

    Raises:
        AssayError: a hyperparameter is unknown or has a value that does not fit.
    """
    try:
        with torch.device("meta"):
            model = build_model(architecture, dict(hyperparameters))
    except (TypeError, ValueError, RuntimeError, KeyError) as error:
        raise AssayError(
            f"a student cannot be made with `hyperparameters` {dict(hyperparameters)} ({error}): correct them"
        ) from None
    return count_parameters(model)
