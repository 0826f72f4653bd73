"""The network that a state dict belongs to: read from names and shapes, checked against what the file says."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from assay.checkpoint.modules import ModulePart
from assay.checkpoint.radial_basis import cutoff_of_buffer, first_center, precision_of
from assay.checkpoint.schnetpack import Translation, translate
from assay.checkpoint.stated_units import are_of_assay
from assay.checkpoint.weights import DERIVED, StateDict
from assay.models import ARCHITECTURES, PaiNN, build_model
from assay.workflow.config_models.types import CUTOFF_RANGE_A
from assay.workflow.errors import AssayError, listed

MAX_SIZE = 10_000  # the longest axis of a tensor
MAX_Z = 255
OF_SCHNETPACK = ("schnetpack-painn", "schnetpack-schnet")
_SPLIT_WEIGHT = re.compile(r"\.parametrizations\.|\.(?:weight|bias)_(?:g|v|orig)$")
# What neither names nor shapes of a painn show; where its config says nothing either, the network's defaults hold.
UNSEEN = ("envelope", "activation", "epsilon", "repulsion", "floor")
_SIZES = {"hidden", "n_blocks", "n_rbf"}  # of a network of schnetpack, which a config must not contradict


@dataclass(frozen=True)
class Network:
    """A network and where each of its hyperparameters was read.

    Attributes:
        architecture: "seed-painn", "painn", "schnetpack-painn" or "schnetpack-schnet".
        hyperparameters: all that ``build_model`` needs.
        sources: the source of each hyperparameter: "shapes", "buffer <name>", "file config <place>", "user config" or
            "assumed".
        tensors: the complete state dict, in the dtype of the network wherever that is exact, else float64.
        filled: buffers that the file lacks and that follow from the hyperparameters.
        notes: sentences on what else was assumed or left aside.
    """

    architecture: str
    hyperparameters: dict[str, Any]
    sources: dict[str, str]
    tensors: dict[str, Tensor]
    filled: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def assumed(self) -> dict[str, Any]:
        """The hyperparameters that nothing in the file tells, and what they are taken for."""
        return {name: value for name, value in self.hyperparameters.items() if self.sources.get(name) == "assumed"}


def read_network(
    state_dict: StateDict,
    said: dict[str, tuple[Any, str]],
    path: Path,
    cutoff_A: float | None = None,
    parts: Mapping[str, ModulePart] | None = None,
    units: Mapping[str, str] | None = None,
) -> Network:
    """Find the network that a state dict belongs to, from names, shapes and configs.

    Args:
        state_dict: the tensors by bare names.
        said: what the file's config says: value and place for each hyperparameter.
        path: the file, for messages.
        cutoff_A: what the user's config says.
        parts: the modules of the network by their paths, where the file holds them.
        units: the units of "energy" and "length" that the network computes in.

    Raises:
        AssayError: unfit tensors, an unknown network, names or shapes that do not fit it, or a contradiction.
    """
    split = next((name for name in state_dict.tensors if _SPLIT_WEIGHT.search(name)), None)
    if split is not None:
        raise AssayError(
            f"{path} holds {split!r}, a part of a parametrized or pruned weight: call "
            "torch.nn.utils.parametrize.remove_parametrizations, remove_weight_norm or prune.remove on its module "
            "before saving"
        )
    if state_dict.is_schnetpack:
        return _read_schnetpack(state_dict, said, path, cutoff_A, translate(state_dict, parts, path, units))
    if units and not are_of_assay(units):
        raise AssayError(
            f"{path} is no file of schnetpack, whose units alone can be others: train it in eV and angstrom, or "
            "correct `units`"
        )
    if said.get("architecture", ("",))[0] in OF_SCHNETPACK:
        return _read_normalized(state_dict, said, path, cutoff_A)
    tensors = state_dict.tensors
    architecture = _architecture(tensors)
    shown = {"architecture": architecture} | _SHOWN[architecture](tensors, path)
    for name, (value, place) in said.items():
        if name in shown and shown[name] != value:
            raise AssayError(
                f"{path} says {place} = {value}, but its tensors have {name} = {shown[name]}: correct its config"
            )
    del shown["architecture"]
    hyperparameters, sources = dict(shown), dict.fromkeys(shown, "shapes")
    hyperparameters["cutoff_A"], sources["cutoff_A"] = _cutoff(tensors, said, cutoff_A, path)
    if architecture == "painn":
        for name in ("radial_basis", *UNSEEN):
            hyperparameters[name], sources[name] = _unseen(name, tensors, said, path)
        hyperparameters["from_contact"], sources["from_contact"] = _from_contact(tensors, said, path)
    complete, filled = _complete(architecture, hyperparameters, state_dict, path)
    return Network(architecture, hyperparameters, sources, complete, filled)


def read_shown(state_dict: StateDict, path: Path) -> dict[str, Any]:
    """The hyperparameters that names, shapes and buffers of a painn or seed-painn show; none of another network's."""
    found: dict[str, Any] = {}
    if not state_dict.is_schnetpack:
        with suppress(AssayError):
            found = _SHOWN[_architecture(state_dict.tensors)](state_dict.tensors, path)
            found["cutoff_A"] = _cutoff(state_dict.tensors, {}, None, path)[0]
    return found


def _architecture(tensors: Mapping[str, Tensor]) -> str:
    return "seed-painn" if any(name.startswith("interactions.") for name in tensors) else "painn"


def _read_schnetpack(
    state_dict: StateDict,
    said: dict[str, tuple[Any, str]],
    path: Path,
    cutoff_A: float | None,
    found: Translation,
) -> Network:
    """A network that had schnetpack's names, as it was translated."""
    for name in _SIZES & said.keys():
        value, place = said[name]
        if value != found.hyperparameters[name]:
            raise AssayError(
                f"{path} says {place} = {value}, but its tensors have {name} = {found.hyperparameters[name]}: correct "
                "its config, or save the whole state dict with torch.save, which keeps tensors that blocks share"
            )
    known = [(found.hyperparameters["cutoff_A"], "tensors")]
    _one_cutoff(known + _cutoffs_said(said, cutoff_A), False, path)
    tensors, filled = _complete(
        found.architecture,
        found.hyperparameters,
        replace(state_dict, tensors=found.tensors, unknown=found.unknown),
        path,
    )
    return Network(found.architecture, found.hyperparameters, found.sources, tensors, filled, found.notes)


def _read_normalized(
    state_dict: StateDict, said: dict[str, tuple[Any, str]], path: Path, cutoff_A: float | None
) -> Network:
    """A network of schnetpack under Assay's names, beside a config that has all its hyperparameters."""
    architecture = said["architecture"][0]
    names = inspect.signature(ARCHITECTURES[architecture]).parameters
    missing = [name for name in names if name not in said]
    if missing:
        raise AssayError(f"{path} does not say {listed(missing)} of its {architecture}: normalize the file again")
    hyperparameters = {name: said[name][0] for name in names}
    _one_cutoff(_cutoffs_said(said, cutoff_A), False, path)
    tensors, filled = _complete(architecture, hyperparameters, state_dict, path)
    sources = {name: f"file config {said[name][1]}" for name in names}
    return Network(architecture, hyperparameters, sources, tensors, filled)


def _shape(tensors: dict[str, Tensor], name: str, path: Path) -> tuple[int, int]:
    """Shape of a matrix."""
    if name not in tensors:
        raise AssayError(f"{path} lacks {name!r}, without which its network cannot be told: save the whole state dict")
    shape = tuple(tensors[name].shape)
    if shape == (0,):
        raise AssayError(
            f"{path} holds {name!r} without its numbers, as each process of a sharded training does: join their parts, "
            "those of DeepSpeed ZeRO-3 by its zero_to_fp32.py"
        )
    if len(shape) != 2 or not all(0 < size <= MAX_SIZE for size in shape):
        raise AssayError(f"{path} holds {name!r} of shape {list(shape)}, which no student has: save it again")
    return shape


def _count(tensors: dict[str, Tensor], stem: str) -> int:
    """Number of different indices after ``stem`` in the names."""
    return len({name.split(".")[1] for name in tensors if name.startswith(stem)})


def _embedding(tensors: dict[str, Tensor], path: Path) -> tuple[int, int]:
    rows, hidden = _shape(tensors, "embedding.weight", path)
    if not 1 < rows <= MAX_Z + 1:
        raise AssayError(f"{path} has {rows} rows of embedding: a student has one for each Z up to its largest")
    return hidden, rows - 1


def _shown_by_seed_painn(tensors: dict[str, Tensor], path: Path) -> dict[str, Any]:
    hidden, max_z = _embedding(tensors, path)
    n_rbf = _shape(tensors, "interactions.0.message.rbf_to_scalar.0.weight", path)[1]
    return {"hidden": hidden, "n_blocks": _count(tensors, "interactions."), "n_rbf": n_rbf, "max_z": max_z}


def _shown_by_painn(tensors: dict[str, Tensor], path: Path) -> dict[str, Any]:
    hidden, max_z = _embedding(tensors, path)
    layers = sorted(
        int(name.split(".")[1])
        for name in tensors
        if name.startswith("head.") and name.split(".")[1:] in ([part, "weight"] for part in map(str, range(0, 200, 2)))
    )
    return {
        "hidden": hidden,
        "n_blocks": _count(tensors, "blocks."),
        "n_rbf": _shape(tensors, "blocks.0.filter.weight", path)[1],
        "max_z": max_z,
        "filter_bias": "blocks.0.filter.bias" in tensors,
        "head": [_shape(tensors, f"head.{layer}.weight", path)[0] for layer in layers[:-1]],
        "pair_elements": _pair_elements(tensors, path),
        "rank": 2 if "blocks.0.mix_tensors.weight" in tensors else 1,
    }


def _pair_elements(tensors: dict[str, Tensor], path: Path) -> list[int]:
    """The elements with pair energies, which a buffer holds."""
    name = "pair_energies.elements"
    elements = tensors.get(name, torch.empty(0)).double()
    found = elements.reshape(-1).int().tolist()
    if elements.dim() != 1 or elements.tolist() != found or found != sorted({*found} & {*range(1, MAX_Z + 1)}):
        raise AssayError(f"{path} holds {name!r} which are no rising atomic numbers: save the whole state dict again")
    return found


_SHOWN: dict[str, Callable[[dict[str, Tensor], Path], dict[str, Any]]] = {
    "seed-painn": _shown_by_seed_painn,
    "painn": _shown_by_painn,
}


def _cutoff(
    tensors: dict[str, Tensor], said: dict[str, tuple[Any, str]], user: float | None, path: Path
) -> tuple[float, str]:
    """The cutoff in angstrom from the buffers, the file's config or the user's, in that order; they must agree."""
    known: list[tuple[float, str]] = []
    rounded = False
    for name in ("rbf.centers", "radial.centers", "radial.frequencies"):
        value = cutoff_of_buffer(name, tensors[name]) if name in tensors else None
        if value is not None:
            known.append((value, f"buffer {name}"))
            rounded = precision_of(tensors[name]).itemsize < 4
    return _one_cutoff(known + _cutoffs_said(said, user), rounded, path)


def _cutoffs_said(said: dict[str, tuple[Any, str]], user: float | None) -> list[tuple[float, str]]:
    """The cutoffs that the file's config and the user's say, each with its place."""
    known = [(said["cutoff_A"][0], f"file config {said['cutoff_A'][1]}")] if "cutoff_A" in said else []
    return known if user is None else [*known, (float(user), "user config")]


def _one_cutoff(known: list[tuple[float, str]], rounded: bool, path: Path) -> tuple[float, str]:
    """The first of cutoffs that must agree; where it is ``rounded`` to 16 bits, the second."""
    if not known:
        raise AssayError(
            f"{path} does not tell its cutoff: give it in the config as variants.<name>.cutoff_A, in angstrom"
        )
    (value, place), *others = known
    for other, elsewhere in others:
        if not math.isclose(value, other, rel_tol=0.01 if rounded else 1e-5):
            raise AssayError(
                f"{path} has cutoff {value:g} by its {place}, but {other:g} by the {elsewhere}: correct one"
            )
    if others and rounded:  # 16 bits confirm the number that another place gives in full
        value, place = others[0]
    if not CUTOFF_RANGE_A[0] <= value <= CUTOFF_RANGE_A[1]:
        raise AssayError(f"{path} has cutoff {value:g} angstrom by its {place}: a student's is between 0.5 and 20")
    return value, place


def _unseen(name: str, tensors: dict[str, Tensor], said: dict[str, tuple[Any, str]], path: Path) -> tuple[Any, str]:
    """A hyperparameter that shapes do not show, and where it was read."""
    if name == "radial_basis":
        for kind, buffer in (("bessel", "radial.frequencies"), ("gaussian", "radial.centers")):
            if buffer in tensors:
                if name in said and said[name][0] != kind:
                    raise AssayError(
                        f"{path} says {said[name][1]} = {said[name][0]}, but has the buffer {buffer!r} of {kind}: "
                        "save it with its own config"
                    )
                return kind, f"buffer {buffer}"
        if name not in said:
            raise AssayError(f"{path} does not tell its radial basis: save it with its buffers or its config")
    if name in said:
        return said[name][0], f"file config {said[name][1]}"
    return inspect.signature(PaiNN).parameters[name].default, "assumed"


def _from_contact(tensors: dict[str, Tensor], said: dict[str, tuple[Any, str]], path: Path) -> tuple[bool, str]:
    """Whether distances count from contact, as the first center of Gaussians tells, and where it was read."""
    name = "from_contact"
    shown, place = False, "buffer radial.frequencies"
    if "radial.frequencies" not in tensors:
        first = first_center(tensors["radial.centers"]) if "radial.centers" in tensors else None
        if first is None:
            if name in said or "floor" not in said:
                return _unseen(name, tensors, said, path)
            return False, f"file config {said['floor'][1]}"  # the config of a network that did not know of it
        shown, place = first < 0.0, "buffer radial.centers"
    if name in said and said[name][0] != shown:
        raise AssayError(
            f"{path} says {said[name][1]} = {said[name][0]}, but its {place} is that of a network whose {name} is "
            f"{shown}: save it with its own config"
        )
    return shown, place


def _complete(
    architecture: str, hyperparameters: dict[str, Any], state_dict: StateDict, path: Path
) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict in canonical dtypes, with derived buffers filled in; and the names of those."""
    tensors = state_dict.tensors
    size = hyperparameters["n_blocks"] * hyperparameters["hidden"] ** 2
    if size > sum(tensor.numel() for tensor in tensors.values()):
        raise AssayError(f"{path} has an embedding too wide for its other tensors: save the whole state dict")
    try:
        expected = build_model(architecture, hyperparameters).state_dict()
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise AssayError(
            f"{path} describes a {architecture} that cannot be built ({error}): correct its config"
        ) from None
    derived = [name for name in expected if name not in tensors and name.startswith(DERIVED)]
    missing = [name for name in expected if name not in tensors and name not in derived]
    unexpected = [name for name in tensors if name not in expected] + state_dict.unknown
    if missing or unexpected:
        kinds = (("lacks", missing), ("has unknown", unexpected))
        lists = [f"{what} {listed(names)}" for what, names in kinds if names]
        found, again = "is not", "save the whole state dict"
        if not missing:
            found, again = "holds more than", "where that does not change its energies, save its state dict without it"
        raise AssayError(f"{path} {found} a whole {architecture}: it {' and '.join(lists)}; {again}")
    misfits = [
        f"{name} {list(tensor.shape)} instead of {list(expected[name].shape)}"
        for name, tensor in tensors.items()
        if tensor.shape != expected[name].shape
    ]
    if misfits:
        raise AssayError(f"{path} has tensors that do not fit together: {listed(misfits)}; save the state dict again")
    bad = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise AssayError(f"{path} has NaN or infinite values in {listed(bad)}: use an earlier checkpoint")
    complete = expected | tensors
    return {name: _canonical(complete[name], expected[name].dtype) for name in expected}, derived


def _canonical(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """``tensor``, contiguous, in ``dtype`` if that keeps every value, else in float64."""
    tensor = tensor.contiguous()
    converted = tensor.to(dtype)
    return converted if torch.equal(converted.double(), tensor.double()) else tensor.double()
