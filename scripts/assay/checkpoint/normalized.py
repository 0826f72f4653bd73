"""The one form of a model: canonical safetensors, and its identity card beside it.

``model.safetensors`` depends on the weights and the hyperparameters only, so that equal models have equal files. What
is known of where they came from stands in ``model.json``.
"""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ase.data
import safetensors.torch
import torch
from torch import Tensor

from assay.checkpoint.architecture import Network, read_network, read_shown
from assay.checkpoint.choice import Choice, choose_weights
from assay.checkpoint.config import check_assumed, read_config
from assay.checkpoint.container import CHECKSUM, Container, content_sha256, read_container
from assay.checkpoint.programs import model_of_another_program
from assay.checkpoint.schnetpack import module_parts
from assay.checkpoint.scope import read_scope
from assay.checkpoint.sections import IDENTITY_CARD
from assay.checkpoint.stated_statistics import check_statistics
from assay.checkpoint.stated_sums import check_sum
from assay.checkpoint.stated_units import check_units
from assay.checkpoint.weights import StateDict, tensor_names
from assay.data.scope import Scope
from assay.models import Potential, build_model, count_parameters
from assay.neighbors.lists import build_graph
from assay.workflow.errors import AssayError, printable
from assay.workflow.files import atomic_path, look_up, write_json
from assay.workflow.provenance import header

MAX_NAMES_SHOWN = 200  # names of classes that are listed of a file
_ASSUMED = "assumed"  # key in a checkpoint of Assay: settings that were assumed of the student that it was made of
_TOLD = ("file config", "module")  # how the source of a setting begins that a file tells by more than tensors
_TENSOR_OF_SCHNETPACK = re.compile(r"(^|\.)representation\.interactions\.0\.")
_UNEXPECTED = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Checkpoint:
    """A model that was read from a file, and what is known about it.

    Attributes:
        network: architecture, hyperparameters and tensors.
        container: the file.
        choice: where in it the tensors were, and which others were passed over.
        scope: what it was taught, as the file and those beside it tell.
        assumed_before: the settings that were assumed of tensors alone when this model, or the one that it was made of,
            was brought into a form that states them.
    """

    network: Network
    container: Container
    choice: Choice
    scope: Scope
    assumed_before: list[str] = field(default_factory=list)

    @property
    def state_dict(self) -> StateDict:
        """The tensors as the file names them."""
        return self.choice.weights

    @property
    def elements(self) -> list[str] | None:
        """Symbols of the elements seen in training, by atomic number; None if nothing tells them."""
        return None if self.scope.elements is None else list(self.scope.elements)

    @property
    def atomic_numbers(self) -> list[int] | None:
        """``elements`` by number."""
        return None if self.elements is None else [ase.data.atomic_numbers[symbol] for symbol in self.elements]

    def build(self, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Potential:
        """The network with its weights, in evaluation mode, without gradients of parameters."""
        model = build_model(self.network.architecture, self.network.hyperparameters)
        if dtype == torch.float64:
            model = model.double()
        model.load_state_dict(self.network.tensors)
        return model.to(device).eval().requires_grad_(False)

    def to_bytes(self) -> bytes:
        """The canonical safetensors file."""
        config = {"architecture": self.network.architecture, **self.network.hyperparameters}
        config[CHECKSUM] = content_sha256(self.network.tensors, config)
        return safetensors.torch.save(self.network.tensors, {"config": json.dumps(config, sort_keys=True)})

    def summary(self) -> str:
        """What was read and what was decided about it, in a few lines."""
        state, network = self.state_dict, self.network
        values = ", ".join(f"{name} {value}" for name, value in network.hyperparameters.items())
        lines = [f"Read {self.container.path} ({self.container.kind}): {network.architecture} with {values}."]
        lines += self._said_of_weights()
        for what, names in (
            ("Stripped", state.stripped),
            ("Left aside", state.ignored),
            ("Took from the raw weights", state.from_raw),
            ("Filled in", network.filled),
            ("Assumed", list(network.assumed)),
            ("Named in the file, neither imported nor run", _shortened(self.container.not_run)),
        ):
            if names:
                lines.append(f"{what}: {', '.join(names)}")
        lines += [*network.notes, *self.doubts()]
        lines.append(f"Its scope: {self.scope.sentence}.")
        if not self.container.checksummed:
            lines.append(f"A {self.container.kind} file has no checksums, so that changed bytes in it go unnoticed.")
        return "\n".join(map(printable, lines))

    def doubts(self) -> list[str]:
        """What was decided because the file does not settle it, and what to do: a sentence each, for all who use it."""
        return _as_sentences(self.doubt_of_weights(), self.doubt_of_settings())

    @property
    def taught(self) -> dict[str, Any]:
        """The content of ``taught.json``: what results say of a student that its weights and settings do not show.

        Which weights are the average is not among it: equal weights make nothing again.
        """
        doubts = _as_sentences(self.doubt_of_settings())
        return self.scope.taught | ({"doubts": doubts} if doubts else {})

    def doubt_of_weights(self) -> str:
        """What to say of a file that does not settle which of its weights are the average; else empty."""
        if not self.choice.in_doubt:
            return ""
        taken = "moving average" if self.state_dict.average else "raw weights"
        return (
            f"holds several sets of weights; {self.state_dict.place!r} was taken as the {taken}, by its name alone. A "
            "trainer that swaps the two before it saves leaves each under the other's name: compare both, and set "
            "variants.<name>.weights to raw, average or a path in the file."
        )

    @property
    def in_doubt(self) -> list[str]:
        """The settings that are assumed of tensors alone, here or before; what is made of the model says so too."""
        assumed = [name for name, value in self.network.assumed.items() if value != []]
        is_told = any(source.startswith(_TOLD) for source in self.network.sources.values())
        return assumed if self.assumed_before or not is_told else []

    def doubt_of_settings(self) -> str:
        """What to say of a file that holds tensors alone, so that settings of the network are assumed; else empty."""
        if not self.in_doubt:
            return ""
        assumed = ", ".join(f"{name} {self.network.hyperparameters[name]}" for name in self.in_doubt)
        if self.assumed_before:
            return (
                f"goes back to tensors without the settings of their network; assumed are {assumed}. If these were "
                "trained with others, what was made of them is wrong: save their settings in their file, and make it "
                "again."
            )
        return (
            f"holds tensors without the settings of their network; assumed are {assumed}. If it was trained "
            "with others, its energies and forces are wrong: save its settings in the file."
        )

    def _said_of_weights(self) -> list[str]:
        choice, lines = self.choice, []
        if self.state_dict.average and not choice.in_doubt:
            lines.append(f"Took the moving average under {self.state_dict.place!r} rather than the raw weights.")
        if self.state_dict.not_begun:
            lines.append(f"That average has not begun ({self.state_dict.not_begun}): it averages nothing yet.")
        for other in choice.passed_over:
            kind = "moving average" if other.average else "raw weights"
            kind += f" that has not begun ({other.not_begun})" if other.not_begun else ""
            values = "the same values" if other.equal else "other values"
            lines.append(f"Passed over {other.place!r}: {kind}, {values}.")
        return lines

    def card(self, variant: str) -> dict[str, Any]:
        """The content of ``model.json``."""
        content_hash = hashlib.sha256(self.to_bytes()).hexdigest()
        total, used = parameter_counts(self.network)
        return header(variant, content_hash) | {
            "architecture": self.network.architecture,
            "hyperparameters": self.network.hyperparameters,
            "hyperparameter_sources": self.network.sources,
            "n_parameters": total,
            "n_parameters_used": used,
            "elements": self.elements,
            "scope": self.scope.record,
            "doubts": self.taught.get("doubts", []),
            "tensors_sha256": content_hash,
            "source": {
                "path": self.container.path,
                "sha256": self.container.sha256,
                "size_bytes": self.container.size_bytes,
                "container": self.container.kind,
                "checksummed": self.container.checksummed,
                "weights_at": self.state_dict.where,
                "weights_are_average": self.state_dict.average,
                "weights_asked_for": self.choice.asked,
                "weights_in_doubt": self.choice.in_doubt,
                "weights_passed_over": [asdict(other) for other in self.choice.passed_over],
                "classes_not_run": _shortened(self.container.not_run),
                "prefixes_stripped": self.state_dict.stripped,
                "keys_ignored": self.state_dict.ignored,
                "buffers_from_raw_weights": self.state_dict.from_raw,
                "buffers_filled": self.network.filled,
                "notes": self.network.notes,
            },
        }


def _as_sentences(*doubts: str) -> list[str]:
    return [printable(f"The checkpoint {doubt}") for doubt in doubts if doubt]


def _shortened(names: list[str]) -> list[str]:
    """``names`` in a form that can be shown: printable, and not too many of them."""
    shown = [printable(name, 200) for name in names[:MAX_NAMES_SHOWN]]
    return [*shown, f"and {len(names) - len(shown)} more"] if len(names) > len(shown) else shown


def normalize(
    path: str | Path,
    cutoff_A: float | None = None,
    weights: str | None = None,
    units: Mapping[str, str] | None = None,
) -> Checkpoint:
    """Read, understand and check a checkpoint of any accepted form (docs/checkpoints/accepted.md lists them).

    Args:
        path: the file; a normalized ``model.safetensors`` is one of the forms.
        cutoff_A: the user's word on the cutoff, for files that do not tell it.
        weights: the set of weights to use where the file holds several: "raw", "average" or a path in the file.
        units: the units of "energy" and "length" that the network computes in. Where they are others than eV and
            angstrom, they are converted, which a network of schnetpack allows alone.

    Raises:
        AssayError: the file cannot be used; one sentence says why.
    """
    try:
        container = read_container(path)
        try:
            choice = choose_weights(container, weights)
            parts = module_parts(container, choice.weights)
            notes: list[str] = []
            said = read_config(container, notes, read_shown(choice.weights, container.path))
            network = read_network(choice.weights, said, container.path, cutoff_A, parts, units)
            network.notes.extend(notes)
        except (AssayError, *_UNEXPECTED) as error:
            raise _of_another_program(container) or error from None
        check_assumed(container, network.assumed, network.notes)
        check_statistics(container, choice.weights.tensors | network.tensors)
        check_units(container, units)
        if parts is None:
            check_sum(container, network)
        before = _assumed_before(container, network)
        network.sources.update(dict.fromkeys(before, "assumed"))
        scope = read_scope(container, network.hyperparameters["max_z"])
        checkpoint = Checkpoint(network, container, choice, scope, before)
        _check_evaluates(checkpoint)
    except AssayError as error:
        raise AssayError(printable(str(error))) from None
    except _UNEXPECTED as error:
        reason = printable(reprlib.repr(error))
        raise AssayError(f"{path} cannot be understood ({reason}): save model.state_dict() alone") from error
    return checkpoint


def _assumed_before(container: Container, network: Network) -> list[str]:
    """The settings in doubt that a file states because they were assumed before it was written, as it or the identity
    card of a normalized model tells.
    """
    card = container.config.get(IDENTITY_CARD)
    told = container.content.get(_ASSUMED)
    if look_up(card, "doubts"):
        sources = look_up(card, "hyperparameter_sources")
        told = [name for name, source in sources.items() if source == "assumed"] if isinstance(sources, dict) else []
    return [name for name in network.hyperparameters if isinstance(told, list) and name in told]


def _of_another_program(container: Container) -> AssayError | None:
    """What to say of a file that is no student, if its names tell which program wrote it that Assay does not read."""
    names = tensor_names(container)
    if any(_TENSOR_OF_SCHNETPACK.search(name) for name in names):
        return None
    return model_of_another_program(container.path, container.not_run, names)


def content_of(model: Potential, in_doubt: Sequence[str] = ()) -> dict[str, Any]:
    """What a checkpoint of Assay holds of a model: its weights, and how it is built again.

    Args:
        model: the model.
        in_doubt: the settings that were assumed of the student that it was made of, see ``Checkpoint.in_doubt``.
    """
    assumed = {_ASSUMED: list(in_doubt)} if in_doubt else {}
    config = {"architecture": model.architecture, **model.hyperparameters}
    return {"model_state_dict": model.state_dict(), "config": config} | assumed


def write(checkpoint: Checkpoint, variant: str, model_path: str | Path, card_path: str | Path) -> None:
    """Write ``model.safetensors`` and ``model.json``, both or neither."""
    content, card = checkpoint.to_bytes(), checkpoint.card(variant)
    with atomic_path(model_path) as temporary:
        temporary.write_bytes(content)
        write_json(card_path, card)


def load_model(path: str | Path, dtype: torch.dtype = torch.float32) -> Potential:
    """The network in a checkpoint, normalized or not. Raises as ``normalize`` does."""
    return normalize(path).build(dtype)


def probe(max_z: int, cutoff_A: float) -> tuple[Tensor, Tensor]:
    """Atomic numbers (max_z,) int64, each once, at fixed irregular positions (max_z, 3) float64, angstrom.

    Neighbors are at all distances from a sixth of the cutoff, so that every radial function sees some.
    """
    side = max(2, round(max_z ** (1 / 3) + 0.5))
    sites = torch.cartesian_prod(*[torch.arange(side, dtype=torch.float64)] * 3)[:max_z]
    jitter = torch.rand(sites.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.arange(1, len(sites) + 1), (sites + 0.5 * jitter) * cutoff_A / 3


def parameter_counts(network: Network) -> tuple[int, int]:
    """Number of parameters, and of those whose gradient of the energy is not zero by construction.

    Measured on a network with random weights in float64, so that weights that happen to be zero count as usable.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(network.architecture, network.hyperparameters).double()
    numbers, positions = probe(model.max_z, model.cutoff)
    batch = torch.zeros_like(numbers)
    energy = model.energy(numbers, positions, batch, 1, build_graph(positions, batch, model.cutoff))
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(energy.sum(), parameters, allow_unused=True)
    used = sum(int((gradient != 0).sum()) for gradient in gradients if gradient is not None)
    return count_parameters(model), used


def _check_evaluates(checkpoint: Checkpoint) -> None:
    """Refuse weights with which single precision overflows."""
    model = checkpoint.build()
    numbers, positions = probe(model.max_z, model.cutoff)
    positions, batch = positions.float(), torch.zeros_like(numbers)
    result = model.energy_and_forces(numbers, positions, batch, 1, build_graph(positions, batch, model.cutoff))
    if not (bool(torch.isfinite(result.energy).all()) and bool(torch.isfinite(result.forces).all())):
        path = checkpoint.container.path
        raise AssayError(
            f"{path} gives energies that are not finite, so its weights are damaged: copy or save it again"
        )
