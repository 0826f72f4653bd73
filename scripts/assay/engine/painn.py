"""The Python interface of the compiled engine: the energy, forces, virial and parameter gradients of PaiNN.

It computes this project's PaiNN and schnetpack's, whose blocks are the same at rank 1 (docs/engine.md).
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from assay.engine.constants import ACTIVATIONS, ENVELOPES, MAX_HEAD, SOFTPLUS_IS_LINEAR_FROM, Hyperparameters
from assay.engine.library import library, pointer
from assay.models import EnergyForces, PaiNN, Potential, SchnetpackPaiNN
from assay.models.graph import EdgeGraph
from assay.models.painn import Block
from assay.models.repulsion import CHARGE_POWER, contact_radii

Network = PaiNN | SchnetpackPaiNN

# The numbers that activations take in the engine, which are their usual ones.
ACTIVATION_ARGUMENTS = {"silu": (), "softplus": (1.0, SOFTPLUS_IS_LINEAR_FROM), "shifted_softplus": (1.0, 1.0)}


class Evaluation(NamedTuple):
    """What the engine computes; None for what was not asked for.

    Attributes:
        energy: the energy of each structure without its reference energies, eV, float64 (S,).
        forces: the negative gradient of the weighted sum of energies by the positions, eV/angstrom, (N, 3).
        virial: the virial of each structure, times its weight, eV, float64 (S, 3, 3).
        gradients: the gradient of the weighted sum of energies by all parameters, (P,), in the model's order.
    """

    energy: Tensor
    forces: Tensor | None
    virial: Tensor | None
    gradients: Tensor | None


def why_unsupported(model: Potential) -> str | None:
    """Say why the engine cannot compute this network here; None where it can."""
    if not isinstance(model, Network):
        return f"it computes painn and schnetpack-painn, not {model.architecture}"
    h = _hyperparameters(model)
    for name in ("activation", "head_activation"):
        usual = ACTIVATION_ARGUMENTS.get(h[name])
        if usual is None or tuple(h[f"{name}_arguments"]) != usual[: len(h[f"{name}_arguments"])]:
            return f"it computes the activations {', '.join(ACTIVATIONS)} with their usual numbers, not {h[name]}"
    if len(h["head"]) > MAX_HEAD:
        return f"it computes at most {MAX_HEAD} hidden layers of the head, not {len(h['head'])}"
    if any(p.device.type != "cpu" for p in model.parameters()):
        return "it computes on the CPU"
    if library() is None:
        return "there is no C++ compiler for it that works: install g++"
    return None


class Engine:
    """A network as the engine computes it.

    Args:
        model: the network; its hyperparameters and dtype are kept, its parameters are copied.
    """

    def __init__(self, model: Network):
        h = _hyperparameters(model)
        self.dtype = next(model.parameters()).dtype
        self.name = f"painn_{h['rank']}_" + {torch.float32: "float32", torch.float64: "float64"}[self.dtype]
        same = ("hidden", "n_blocks", "n_rbf", "max_z", "filter_bias", "repulsion", "floor", "epsilon")
        radial = _radial_constants(model)
        hyperparameters = Hyperparameters(
            **{name: h[name] for name in same},
            gaussian=h["radial_basis"] == "gaussian",
            evenly_spaced=self.dtype == torch.float32 and _evenly_spaced(radial, h),
            envelope=ENVELOPES.index(h["envelope"]),
            activation=ACTIVATIONS.index(h["activation"]),
            head_activation=ACTIVATIONS.index(h["head_activation"]),
            n_head=len(h["head"]),
            head=(ctypes.c_int64 * MAX_HEAD)(*h["head"]),
            cutoff=h["cutoff_A"],
            envelope_begin=h["envelope_begin_A"],
            envelope_end=h["envelope_end_A"],
            energy_scale=float(model.energy_scale),
        )
        new = self._function("new", ctypes.c_void_p)
        elements = _element_constants(model, self.dtype)
        self.handle = ctypes.c_void_p(new(ctypes.byref(hyperparameters), pointer(elements), pointer(radial)))
        self.max_z = model.max_z
        self.shapes = [p.shape for p in model.parameters()]
        position = {id(p): k for k, p in enumerate(model.parameters())}
        # Each block of the engine has parameters of its own; those of blocks that share them are equal.
        self.positions = [position[id(p)] for layer in _layers(model) for p in layer.parameters()]
        self.set_parameters(list(model.parameters()))

    def __del__(self) -> None:
        self._function("free", None)(self.handle)

    def _function(self, what: str, result: type | None) -> Any:
        function = getattr(library(), f"{self.name}_{what}")
        function.restype = result
        return function

    def set_parameters(self, parameters: list[Tensor]) -> None:
        """Copy parameters into the engine, in the order of ``model.parameters()``."""
        flat = torch.cat([parameters[k].detach().reshape(-1) for k in self.positions])
        self._function("set_parameters", None)(self.handle, pointer(flat))

    def _in_order_of_the_model(self, gradients: Tensor) -> Tensor:
        """Return the gradient by each parameter of the model; that of a shared one is the sum over its blocks."""
        if self.positions == list(range(len(self.shapes))):
            return gradients
        totals = [gradients.new_zeros(shape.numel()) for shape in self.shapes]
        parts = gradients.split([self.shapes[k].numel() for k in self.positions])
        for k, part in zip(self.positions, parts, strict=True):
            totals[k] += part
        return torch.cat(totals)

    def evaluate(
        self,
        atomic_numbers: Tensor,
        positions: Tensor,
        batch: Tensor,
        n_structures: int,
        graph: EdgeGraph,
        *,
        forces: bool = True,
        virial: bool = False,
        weights: Tensor | None = None,
        gradients: bool = False,
    ) -> Evaluation:
        """Compute energies and, where they are asked for, forces, virials and parameter gradients.

        Args:
            atomic_numbers, positions, batch, n_structures, graph: the arguments of ``Potential.energy_and_forces``,
                with atoms sorted by structure and edges sorted by center.
            forces, virial: whether to compute them; the virial needs the forces.
            weights: float64 (S,), weight of each energy in the sum that is differentiated; None for 1.
            gradients: whether to differentiate by the parameters.

        Raises:
            ValueError: edges or atoms are not sorted, or the network does not know an atomic number.
        """
        edge_index, shift = graph.edge_index.contiguous(), graph.shift.to(self.dtype).contiguous()
        for name, ids in (("edges", edge_index[1]), ("atoms", batch)):
            if bool((ids[1:] < ids[:-1]).any()):
                raise ValueError(f"{name} are not in order: sort edges by center and atoms by structure")
        if len(atomic_numbers) and int(atomic_numbers.max()) > self.max_z:
            raise ValueError(f"the network knows atomic numbers up to {self.max_z}")
        energy = torch.empty(n_structures, dtype=torch.float64)
        out = Evaluation(
            energy,
            torch.empty(len(positions), 3, dtype=self.dtype) if forces else None,
            torch.empty(n_structures, 3, 3, dtype=torch.float64) if virial else None,
            torch.empty(sum(self.shapes[k].numel() for k in self.positions), dtype=self.dtype) if gradients else None,
        )
        sizes = torch.tensor([len(positions), n_structures, edge_index.shape[1]])
        at = positions.detach().to(self.dtype).contiguous()
        tensors = [sizes, atomic_numbers, batch, edge_index, at, shift, weights]
        self._function("evaluate", None)(
            self.handle, *map(pointer, tensors), ctypes.c_int(torch.get_num_threads()), *map(pointer, out)
        )
        return out if out.gradients is None else out._replace(gradients=self._in_order_of_the_model(out.gradients))


def _hyperparameters(model: Network) -> dict[str, Any]:
    """The hyperparameters by the names that PaiNN has for them, those that only one of the networks has besides."""
    h = model.hyperparameters | {"envelope_begin_A": 0.0, "envelope_end_A": model.cutoff}
    if isinstance(model, PaiNN):
        return h | {"head_activation": h["activation"], "activation_arguments": [], "head_activation_arguments": []}
    h |= {"envelope": h["cutoff_function"], "filter_bias": True, "repulsion": False, "floor": False, "rank": 1}
    if h["envelope"] == "mollifier":
        h["envelope_end_A"] = model.cutoff - h["cutoff_arguments"][0]
    elif h["envelope"] == "switch":
        h["envelope_begin_A"], h["envelope_end_A"] = h["cutoff_arguments"]
    return h


def _layers(model: Network) -> Iterator[nn.Module]:
    """The layers in the order of the engine, those that blocks share once for each block."""
    yield model.embedding
    for block in cast(Iterable[Block], model.blocks):
        layers = (block.filter, block.context, block.mix, block.mix_tensors, block.update)
        yield from (layer for layer in layers if layer is not None)
    yield model.head


def _radial_constants(model: Network) -> Tensor:
    """The centers and widths of Gaussians, or the frequencies of sines and ones; float64 (2, R)."""
    if model.radial.kind == "gaussian":
        return torch.stack([model.radial.centers, model.radial.widths]).double()
    return torch.stack([model.radial.frequencies, torch.ones_like(model.radial.frequencies)]).double()


def _evenly_spaced(radial: Tensor, h: dict[str, Any]) -> bool:
    """Whether radial functions are those of the basis before any training, so that one follows from another."""
    n_rbf, cutoff = h["n_rbf"], h["cutoff_A"]
    if h["radial_basis"] == "gaussian":
        width = cutoff / max(n_rbf - 1, 1)
        even = torch.stack([torch.arange(n_rbf) * width, torch.full((n_rbf,), width)])
    else:
        even = torch.stack([torch.arange(1, n_rbf + 1) * (math.pi / cutoff), torch.ones(n_rbf)])
    return torch.allclose(radial, even.double(), rtol=1e-6, atol=0.0)


def _element_constants(model: Network, dtype: torch.dtype) -> Tensor:
    """The covalent radius, angstrom, and the screening of the repulsion by atomic number, float64 (2, max_z + 1).

    In double precision the screening is the one that the network keeps, rounded to single precision.
    """
    powers = torch.tensor([float(z) ** CHARGE_POWER for z in range(model.max_z + 1)], dtype=torch.float64)
    if not isinstance(model, PaiNN):
        return torch.stack([torch.zeros_like(powers), powers])  # schnetpack's network has no use for them
    if dtype == torch.float64 and model.repulsion is not None:
        powers = model.repulsion.screening.double()
    return torch.stack([contact_radii(model.max_z, model.cutoff).double(), powers])


def accelerated(model: Potential) -> Callable[..., EnergyForces]:
    """Return ``model.energy_and_forces`` for inference, computed by the engine if it supports the model."""
    if why_unsupported(model) is not None:
        return model.energy_and_forces
    network = cast(Network, model)
    engine = Engine(network)

    def energy_and_forces(
        atomic_numbers: Tensor,
        positions: Tensor,
        batch: Tensor,
        n_structures: int,
        graph: EdgeGraph,
        *,
        virial: bool = False,
    ) -> EnergyForces:
        """See ``Potential.energy_and_forces``."""
        out = engine.evaluate(atomic_numbers, positions, batch, n_structures, graph, virial=virial)
        energy = out.energy.index_add(0, batch, network.reference_energy.double()[atomic_numbers])
        assert out.forces is not None  # they were asked for
        return EnergyForces(energy, out.forces, out.virial)

    return energy_and_forces
