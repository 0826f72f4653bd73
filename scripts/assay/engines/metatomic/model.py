"""A student as a model of metatomic: energies alone, of which metatomic takes the gradient; float64 outside.

``python -m assay.engines.metatomic.model MODEL CARD OUT`` writes the file, in an interpreter that has metatomic.
"""

# ruff: noqa: UP006, UP035, UP045  # TorchScript compiles this module and knows List, Dict and Optional alone

import sys
from pathlib import Path
from typing import Dict, List, Optional

import ase.data
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import AtomisticModel, ModelCapabilities, ModelMetadata, ModelOutput, NeighborListOptions, System
from torch import Tensor

from assay.checkpoint import load_model
from assay.export.forms import TablePotential
from assay.export.lowering import lower
from assay.export.tables import table_inputs
from assay.export.torchscript import scriptable
from assay.models.graph import Graph
from assay.workflow.files import atomic_path, read_json


class AtomicEnergies(TablePotential):
    """The energy of each atom, eV (N,), over the inputs of ``TablePotential``."""

    def _evaluate(  # type: ignore[override]  # energies alone
        self, atomic_numbers: Tensor, positions: Tensor, shift: Tensor, graph: Graph, outgoing: Tensor, members: Tensor
    ) -> Tensor:
        vectors = graph.at_neighbor(positions) - graph.at_center(positions) + shift
        return self.model.atomic_energies(atomic_numbers, vectors, graph)


class Student(torch.nn.Module):
    """A student behind the interface of metatomic.

    Args:
        network: ``AtomicEnergies`` as TorchScript compiles it.
        cutoff: radius of the neighbor search, angstrom.
    """

    def __init__(self, network: torch.nn.Module, cutoff: float):
        super().__init__()
        self.network = network
        self.cutoff = cutoff
        self.neighbors = NeighborListOptions(cutoff=cutoff, full_list=True, strict=True)

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:
        """The neighbor list that a program must bring."""
        return [self.neighbors]

    def forward(
        self, systems: List[System], outputs: Dict[str, ModelOutput], selected_atoms: Optional[Labels]
    ) -> Dict[str, TensorMap]:
        """Return the energy, eV, of each system or of each atom, as ``outputs`` asks."""
        if "energy" not in outputs:
            return {}
        numbers: List[Tensor] = []
        owners: List[Tensor] = []
        places: List[Tensor] = []
        first: List[Tensor] = []
        second: List[Tensor] = []
        vectors: List[Tensor] = []
        n_atoms = 0
        for k, system in enumerate(systems):
            block = system.get_neighbor_list(self.neighbors)
            pairs = block.samples.values.to(torch.int64)
            size = system.types.shape[0]
            numbers.append(system.types.to(torch.int64))
            owners.append(torch.full([size], k, dtype=torch.int64, device=system.types.device))
            places.append(torch.arange(size, device=system.types.device))
            first.append(pairs[:, 0] + n_atoms)
            second.append(pairs[:, 1] + n_atoms)
            vectors.append(block.values.reshape(-1, 3))
            n_atoms += size
        owner, place = torch.cat(owners), torch.cat(places)
        energies = self.atomic_energies(torch.cat(numbers), torch.cat(first), torch.cat(second), torch.cat(vectors))
        if selected_atoms is not None:
            chosen = selected_atoms.values.to(torch.int64)
            kept = torch.isin(owner * n_atoms + place, chosen[:, 0] * n_atoms + chosen[:, 1])
            owner, place, energies = owner[kept], place[kept], energies[kept]
        if outputs["energy"].sample_kind == "atom":
            samples = Labels(["system", "atom"], torch.stack([owner, place], 1).to(torch.int32))
        else:
            systems_here = torch.arange(len(systems), device=owner.device)
            samples = Labels(["system"], systems_here.to(torch.int32).reshape(-1, 1))
            energies = torch.zeros([len(systems)], dtype=energies.dtype, device=owner.device).index_add(
                0, owner, energies
            )
        zero = torch.zeros([1, 1], dtype=torch.int32, device=owner.device)
        components: List[Labels] = []
        found = TensorBlock(energies.reshape(-1, 1), samples, components, Labels(["energy"], zero))
        return {"energy": TensorMap(Labels(["_"], zero), [found])}

    def atomic_energies(self, numbers: Tensor, first: Tensor, second: Tensor, vectors: Tensor) -> Tensor:
        """Return the energy of each atom, float64 (N,), eV; the vectors lead from ``first`` to ``second``, angstrom."""
        n_atoms = numbers.shape[0]
        if n_atoms == 0:
            return torch.zeros([0], dtype=vectors.dtype, device=vectors.device)
        origin = torch.zeros([n_atoms, 3], dtype=torch.float32, device=vectors.device)
        batch = torch.zeros([n_atoms], dtype=torch.int64, device=vectors.device)
        inputs = table_inputs(numbers, origin, batch, second, first, vectors.to(torch.float32), self.cutoff)
        energies: Tensor = self.network(
            inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], inputs[5], inputs[6], inputs[7]
        )
        return energies.to(vectors.dtype)


def write(model_path: Path, card_path: Path, path: Path) -> None:
    """Write a normalized model as a file of metatomic, atomically."""
    model, card = load_model(model_path), read_json(card_path)
    network = scriptable(lower(model, AtomicEnergies))
    symbols = card.get("elements") or list(ase.data.chemical_symbols[1 : model.max_z + 1])
    capabilities = ModelCapabilities(
        outputs={"energy": ModelOutput(unit="eV", sample_kind="atom", description="the energy of the student")},
        atomic_types=[ase.data.atomic_numbers[symbol] for symbol in symbols],
        interaction_range=model.cutoff * model.hyperparameters["n_blocks"],
        length_unit="angstrom",
        supported_devices=["cpu", "cuda"],
        dtype="float64",
    )
    scope = (card.get("scope") or {}).get("sentence") or "what it was trained on, of which its file tells nothing"
    metadata = ModelMetadata(
        name=card["variant"], description=f"A student for {scope}; checkpoint {card['checkpoint_sha256']}."
    )
    exported = AtomisticModel(Student(network, model.cutoff).eval(), metadata, capabilities)
    with atomic_path(path) as temporary:
        exported.save(str(temporary))


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:]))
