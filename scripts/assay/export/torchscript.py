"""TorchScript: the lowered network with its own neighbor search, for plain ``torch.jit.load`` in Python and C++."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import torch
from torch import Tensor, fx, nn

from assay.checkpoint.exported import IDENTITY_FILE
from assay.export.tables import find_pairs, table_inputs
from assay.workflow.files import atomic_path

aten = torch.ops.aten

# Operators that make a new tensor, and those that make it on the device of another tensor.
AS_INPUTS = {aten.zeros.default: aten.new_zeros.default, aten.full.default: aten.new_full.default}

OF_MACHINE = (".debug_pkl", ".data/serialization_id")  # records of source lines, and of a hash over them


class ScriptedPotential(nn.Module):
    """``forward`` finds the neighbors of open structures; ``from_edges`` takes a neighbor list.

    Both convert their inputs: integers to int64, and positions to float32 unless they are float64. Vectors of edges are
    formed before they are rounded to float32, so that float64 positions keep their digits wherever a structure lies.
    Results are NaN where ``LoweredPotential`` says so.

    Raises:
        torch.jit.Error: inputs of other shapes, or no atoms.
        RuntimeError: edges of atoms that are not there.

    Args:
        network: the result of ``lowering.lower`` in the form of tables.
        cutoff: radius of the neighbor search, angstrom.
    """

    def __init__(self, network: fx.GraphModule, cutoff: float):
        super().__init__()
        self.network = scriptable(network)
        self.cutoff = cutoff

    def forward(self, atomic_numbers: Tensor, positions: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return energy float64 (S,) in eV and forces (N, 3) in eV/angstrom.

        atomic_numbers int64 (N,); positions (N, 3), angstrom; batch int64 (N,), the structure of each atom.
        """
        numbers, at, structure = self._converted(atomic_numbers, positions, batch)
        neighbor, atom = find_pairs(at, structure, self.cutoff)
        return self._evaluate(numbers, at, structure, neighbor, atom, at[neighbor] - at[atom])[:2]

    @torch.jit.export
    def from_edges(
        self, atomic_numbers: Tensor, positions: Tensor, batch: Tensor, edge_index: Tensor, edge_shift: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return energy (S,) in eV, forces (N, 3) in eV/angstrom and virial (S, 3, 3) in eV, from a neighbor list, as
        periodic structures and dynamics need it.

        edge_index int64 (2, E), rows (neighbor, atom), both ways; edge_shift (E, 3), angstrom: the vector of an edge is
        positions[neighbor] - positions[atom] + edge_shift.
        """
        numbers, at, structure = self._converted(atomic_numbers, positions, batch)
        if edge_index.dim() != 2 or edge_index.shape[0] != 2 or list(edge_shift.shape) != [edge_index.shape[1], 3]:
            raise ValueError("edge_index must have the shape (2, E) and edge_shift (E, 3)")
        given = edge_index.to(torch.int64)
        edges = given.clamp(min=0)
        vectors = at[edges[0]] - at[edges[1]] + edge_shift
        return self._evaluate(numbers, tainted(at, given), structure, edges[0], edges[1], vectors)

    def _converted(self, atomic_numbers: Tensor, positions: Tensor, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the atoms with positions in float32 or float64.

        All coordinates are NaN in the place of one that is not finite, and all of them where an index is negative.
        """
        n_atoms = atomic_numbers.shape[0]
        if n_atoms == 0:
            raise ValueError("there must be atoms")
        if list(positions.shape) != [n_atoms, 3] or list(batch.shape) != [n_atoms] or atomic_numbers.dim() != 1:
            raise ValueError("atomic_numbers and batch must have the shape (N,), and positions (N, 3)")
        at = positions if positions.dtype == torch.float64 else positions.to(torch.float32)
        structure = batch.to(torch.int64)
        return atomic_numbers.to(torch.int64), tainted(at + 0.0 * at, structure), structure.clamp(min=0)

    def _evaluate(
        self, atomic_numbers: Tensor, positions: Tensor, batch: Tensor, neighbor: Tensor, atom: Tensor, vectors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate edges by their vectors (E, 3): to the network all atoms are at the origin, or NaN."""
        still, shift = (0.0 * positions).to(torch.float32), vectors.to(torch.float32)
        inputs = table_inputs(atomic_numbers, still, batch, neighbor, atom, shift, self.cutoff)
        energy, forces, virial = self.network(
            inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], inputs[5], inputs[6], inputs[7]
        )
        return energy, forces, virial


def tainted(positions: Tensor, indices: Tensor) -> Tensor:
    """Positions, which become NaN where an index is negative."""
    return positions.masked_fill((indices < 0).any(), float("nan"))


def to_torchscript(network: fx.GraphModule, cutoff: float) -> torch.jit.ScriptModule:
    """Script and freeze a network, keeping ``forward`` and ``from_edges``; arguments as in ``ScriptedPotential``."""
    scripted = torch.jit.script(ScriptedPotential(network, cutoff).eval())
    return torch.jit.freeze(scripted, preserved_attrs=["from_edges", "cutoff"])


def save(module: torch.jit.ScriptModule, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a ``.ts.pt`` file, atomically, with ``metadata`` as its extra file ``IDENTITY_FILE``.

    It is without what torch keeps for a debugger: the folders and lines of the source on the machine that wrote it.
    """
    whole = io.BytesIO(module.save_to_buffer(_extra_files={IDENTITY_FILE: json.dumps(metadata)}))
    with atomic_path(path) as temporary, ZipFile(whole) as given, ZipFile(temporary, "w") as kept:
        for entry in given.infolist():
            if not entry.filename.endswith(OF_MACHINE):
                kept.writestr(ZipInfo(entry.filename), given.read(entry), entry.compress_type)


def scriptable(network: fx.GraphModule) -> fx.GraphModule:
    """Return a copy made of operators that the scripting compiler knows, which runs on whichever device loads it."""
    network = copy.deepcopy(network)
    inputs = network.graph.find_nodes(op="placeholder")
    real = next(node for node in inputs if node.meta["val"].is_floating_point())
    for node in network.graph.nodes:
        if node.op != "call_function":
            continue
        if node.target is aten.sym_size.int:
            node.target = aten.size.int
        elif node.target is aten.sym_numel.default:
            node.target = aten.numel.default
        elif node.target is aten.mm.default:
            node.target = aten.matmul.default  # several aten::mm are merged after the first runs, and round differently
        elif node.target is aten._to_copy.default:
            node.target = aten.to.dtype
            node.kwargs = {"dtype": node.kwargs["dtype"]}
        elif (
            node.target in AS_INPUTS and node.all_input_nodes
        ):  # its size is an input's; others are folded to constants
            node.target = AS_INPUTS[node.target]
            node.args, node.kwargs = (real, *node.args), {"dtype": node.kwargs["dtype"]}
        if isinstance(node.target, torch._ops.OpOverload):
            node.target = node.target.overloadpacket
    network.recompile()
    return network
