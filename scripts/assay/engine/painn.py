"""The Python interface of the compiled engine: PaiNN's energy, forces, virial and parameter gradients."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from assay.engine.constants import MAX_HEAD, Hyperparameters
from assay.engine.library import library, pointer
from assay.models import EnergyForces, PaiNN, Potential, build_model
from assay.models.graph import EdgeGraph
from assay.models.repulsion import contact_radii


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
    if not isinstance(model, PaiNN):
        return f"it computes painn, not {model.architecture}"
    fresh = cast(PaiNN, build_model(model.architecture, model.hyperparameters)).radial.state_dict()
    if any(not torch.equal(fresh[name].to(value), value) for name, value in model.radial.state_dict().items()):
        return "it computes evenly spaced radial functions only"
    if model.hyperparameters["activation"] != "silu" or len(model.hyperparameters["head"]) > MAX_HEAD:
        return f"it computes silu and at most {MAX_HEAD} hidden layers of the head"
    if any(p.device.type != "cpu" for p in model.parameters()):
        return "it computes on the CPU"
    if library() is None:
        return "there is no C++ compiler for it: install g++"
    return None


class Engine:
    """A network as the engine computes it.

    Args:
        model: the network; its hyperparameters and dtype are kept, its parameters are copied.
    """

    def __init__(self, model: PaiNN):
        h = model.hyperparameters
        self.dtype = next(model.parameters()).dtype
        self.name = f"painn_{model.rank}_" + {torch.float32: "float32", torch.float64: "float64"}[self.dtype]
        same = ("hidden", "n_blocks", "n_rbf", "max_z", "filter_bias", "repulsion", "floor", "epsilon")
        hyperparameters = Hyperparameters(
            **{name: h[name] for name in same},
            gaussian=h["radial_basis"] == "gaussian",
            cosine=h["envelope"] == "cosine",
            n_head=len(h["head"]),
            head=(ctypes.c_int64 * MAX_HEAD)(*h["head"]),
            cutoff=h["cutoff_A"],
            energy_scale=float(model.energy_scale),
        )
        radii = contact_radii(h["max_z"], h["cutoff_A"]).double()
        new = self._function("new", ctypes.c_void_p)
        self.handle = ctypes.c_void_p(new(ctypes.byref(hyperparameters), pointer(radii)))
        self.max_z = model.max_z
        self.n_parameters = sum(p.numel() for p in model.parameters())
        self.set_parameters(list(model.parameters()))

    def __del__(self) -> None:
        self._function("free", None)(self.handle)

    def _function(self, what: str, result: type | None) -> Any:
        function = getattr(library(), f"{self.name}_{what}")
        function.restype = result
        return function

    def set_parameters(self, parameters: list[Tensor]) -> None:
        """Copy parameters into the engine, in the order of ``model.parameters()``."""
        flat = torch.cat([p.detach().reshape(-1) for p in parameters])
        self._function("set_parameters", None)(self.handle, pointer(flat))

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
            torch.empty(self.n_parameters, dtype=self.dtype) if gradients else None,
        )
        sizes = torch.tensor([len(positions), n_structures, edge_index.shape[1]])
        at = positions.detach().to(self.dtype).contiguous()
        tensors = [sizes, atomic_numbers, batch, edge_index, at, shift, weights]
        self._function("evaluate", None)(
            self.handle, *map(pointer, tensors), ctypes.c_int(torch.get_num_threads()), *map(pointer, out)
        )
        return out


def accelerated(model: Potential) -> Callable[..., EnergyForces]:
    """Return ``model.energy_and_forces`` for inference, computed by the engine if it supports the model."""
    if why_unsupported(model) is not None:
        return model.energy_and_forces
    painn = cast(PaiNN, model)
    engine = Engine(painn)

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
        energy = out.energy.index_add(0, batch, painn.reference_energy.double()[atomic_numbers])
        assert out.forces is not None  # they were asked for
        return EnergyForces(energy, out.forces, out.virial)

    return energy_and_forces
