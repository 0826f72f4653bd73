"""PaiNN's energy, forces, virial and parameter gradients by the compiled engine."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from assay.engine.library import library, pointer
from assay.models import EnergyForces, PaiNN, Potential, build_model
from assay.models.graph import EdgeGraph
from assay.models.repulsion import contact_radii

MAX_HEAD = 8


class _Settings(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("hidden", "n_blocks", "n_rbf", "max_z", "filter_bias", "gaussian")),
        *((name, ctypes.c_int64) for name in ("cosine", "repulsion", "floor", "n_head")),
        ("head", ctypes.c_int64 * MAX_HEAD),
        *((name, ctypes.c_double) for name in ("cutoff", "epsilon", "energy_scale")),
    ]


class Evaluation(NamedTuple):
    """Energy float64 (S,) in eV, reference energies left out; forces (N, 3) in eV/angstrom; virial float64 (S, 3, 3)
    in eV; gradients (P,), of the weighted sum of energies in every parameter.
    """

    energy: Tensor
    forces: Tensor | None
    virial: Tensor | None
    gradients: Tensor | None


def why_unsupported(model: Potential) -> str | None:
    """Why the engine does not compute this network here; None where it does."""
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
    """One network in the engine.

    Args:
        model: of which hyperparameters, dtype and parameters are taken.
    """

    def __init__(self, model: PaiNN):
        h = model.hyperparameters
        self.dtype = next(model.parameters()).dtype
        self.name = f"painn_{model.rank}_" + {torch.float32: "float32", torch.float64: "float64"}[self.dtype]
        settings = _Settings(
            h["hidden"], h["n_blocks"], h["n_rbf"], h["max_z"], h["filter_bias"], h["radial_basis"] == "gaussian",
            h["envelope"] == "cosine", h["repulsion"], h["floor"],
            len(h["head"]), (ctypes.c_int64 * MAX_HEAD)(*h["head"]),
            h["cutoff_A"], h["epsilon"], float(model.energy_scale),
        )  # fmt: skip
        radii = contact_radii(h["max_z"], h["cutoff_A"]).double()
        new = self._function("new", ctypes.c_void_p)
        self.handle = ctypes.c_void_p(new(ctypes.byref(settings), pointer(radii)))
        self.max_z = model.max_z
        self.n_parameters = sum(p.numel() for p in model.parameters())
        self.read(list(model.parameters()))

    def __del__(self) -> None:
        self._function("free", None)(self.handle)

    def _function(self, what: str, result: type | None) -> Any:
        function = getattr(library(), f"{self.name}_{what}")
        function.restype = result
        return function

    def read(self, parameters: list[Tensor]) -> None:
        """Take these parameters, in the order of the model's."""
        flat = torch.cat([p.detach().reshape(-1) for p in parameters])
        self._function("read", None)(self.handle, pointer(flat))

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
        """Evaluate structures.

        Args:
            atomic_numbers, positions, batch, n_structures, graph: as in ``Potential.energy_and_forces``; edges sorted
                by atom, structures one after the other.
            forces, virial: whether to compute them; the virial comes with the forces.
            weights: float64 (S,), of each energy in what is differentiated; None for 1.
            gradients: differentiate in the parameters.

        Raises:
            ValueError: edges or atoms out of order, or an atomic number that the network does not know.
        """
        edge_index, shift = graph.edge_index.contiguous(), graph.shift.to(self.dtype).contiguous()
        for name, ids in (("edges", edge_index[1]), ("atoms", batch)):
            if bool((ids[1:] < ids[:-1]).any()):
                raise ValueError(f"{name} are not in order: sort edges by atom and atoms by structure")
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
    """``model.energy_and_forces``, for inference, by the engine where it computes the model."""
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
        """As ``Potential.energy_and_forces``."""
        out = engine.evaluate(atomic_numbers, positions, batch, n_structures, graph, virial=virial)
        energy = out.energy.index_add(0, batch, painn.reference_energy.double()[atomic_numbers])
        assert out.forces is not None  # they were asked for
        return EnergyForces(energy, out.forces, out.virial)

    return energy_and_forces
