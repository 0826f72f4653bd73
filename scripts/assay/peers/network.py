"""A peer of a student: another package's network of the same size, behind the interface of every model."""

from __future__ import annotations

import importlib
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from assay.models import count_parameters
from assay.neighbors.inputs import Inputs, open_inputs
from assay.neighbors.lists import neighbor_list
from assay.peers.packages import use
from assay.predictors.interface import BatchPredictor, ListPredictor, load_runtime
from assay.runtime.result import Result
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError, printable

# The module here that makes the network of each package; it is imported when it is asked for.
PEERS = {"schnetpack": "assay.peers.schnetpack", "mace": "assay.peers.mace"}
PROBES = (16, 32, 64)  # the widths whose parameters are counted


@dataclass(frozen=True)
class Size:
    """The size of a student, which its peers have too.

    Attributes:
        n_parameters: the number of parameters; a peer comes as near to it as its width allows.
        n_blocks: the number of rounds of messages.
        n_rbf: the number of radial basis functions.
        cutoff_A: the cutoff in angstrom.
        elements: the atomic numbers, ascending.
    """

    n_parameters: int
    n_blocks: int
    n_rbf: int
    cutoff_A: float
    elements: tuple[int, ...]


class Adapter(Protocol):
    """A module that makes a peer.

    Attributes:
        NAME: the name of the network in tables.
        DISTRIBUTION: the name of the package in registries.
        ABOUT: the settings in which it is timed, in words.
    """

    NAME: str
    DISTRIBUTION: str
    ABOUT: str

    def build(self, size: Size, width: int) -> nn.Module:
        """Build a network with fresh weights and ``width`` features an atom."""
        ...

    def bind(
        self, network: nn.Module, size: Size, atoms: Inputs, edge_index: Tensor, n_structures: int
    ) -> Callable[[], tuple[Tensor, Tensor]]:
        """Return a call that evaluates the network on open structures.

        The call returns energies (S,) in eV and forces (N, 3) in eV/angstrom.

        Args:
            network: what ``build`` returned.
            size: the size that the network was built for.
            atoms: the atoms of all structures, arrays (N, ...).
            edge_index: int64 (2, E) with rows (neighbor, atom).
            n_structures: the number S of structures.
        """
        ...


class PeerPredictor(ListPredictor):
    """A peer with its neighbors found by the lists of this project, so that networks are compared and nothing else."""

    def __init__(self, adapter: Adapter, network: nn.Module, size: Size, device: str):
        super().__init__(
            name=adapter.NAME,
            runtime="eager",
            device=device,
            dtype="float32",
            cutoff_A=size.cutoff_A,
            max_z=max(size.elements),
            elements=frozenset(size.elements),
        )
        self.adapter, self.network, self.size = adapter, network, size

    def call(self, structures: Sequence[Structure], virial: bool) -> Callable[[], Result]:
        """See ``ListPredictor.call``.

        Raises:
            AssayError: a structure is periodic: other packages are given pairs of atoms without their images.
        """
        periodic = next((structure for structure in structures if structure.pbc.any()), None)
        if periodic is not None:
            raise AssayError(
                f"{periodic.name} is periodic, and {self.name} is timed with open structures alone: name a split of "
                "molecules in dataset.splits of the config"
            )
        atoms = open_inputs(structures, self.name, self.device)
        edge_index, _ = neighbor_list(atoms.positions, atoms.batch, self.cutoff_A)
        evaluate = self.adapter.bind(self.network, self.size, atoms, edge_index, len(structures))

        def _evaluate() -> Result:
            energies, forces = evaluate()
            return Result(energies.detach().cpu().numpy(), forces.detach().cpu().numpy(), None)

        return _evaluate


def load_peers(
    folders: Mapping[str, Path], size: Size, device: str = "cpu"
) -> tuple[dict[str, PeerPredictor], dict[str, dict[str, Any]]]:
    """Load the peers of a student, with random weights.

    Args:
        folders: the folder of each installed package, by its name in ``PEERS``.
        size: the size of the student.
        device: "cpu" or "cuda".

    Returns:
        The peers that load, by package, and a description of each package, which is its ``error`` if it does not load.
    """
    peers, about = {}, {}
    for package, folder in folders.items():
        try:
            peers[package], about[package] = _load(package, folder, size, device)
        except Exception as error:  # whatever a package raises is the reason
            about[package] = {"error": printable(f"{type(error).__name__}: {error}", 300)}
    return peers, about


def in_engine(peers: Mapping[str, PeerPredictor]) -> tuple[dict[str, BatchPredictor], dict[str, str]]:
    """Read the networks of peers into the compiled engine, from files as their packages save them.

    Args:
        peers: the peers by package.

    Returns:
        The networks that the engine computes, by package, and the reasons why it does not compute the others.
    """
    found, reasons = {}, {}
    for package, peer in peers.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{package}.pt")
            try:
                torch.save(peer.network, path)
                found[package] = cast(BatchPredictor, load_runtime("engine", path))
            except Exception as error:  # of a package's pickles, or of a network that is not known here
                said = str(error) if isinstance(error, AssayError) else f"{type(error).__name__}: {error}"
                reasons[package] = printable(said.replace(f"{folder}/", ""), 300)
    return found, reasons


def _load(package: str, folder: Path, size: Size, device: str) -> tuple[PeerPredictor, dict[str, Any]]:
    use(folder)
    adapter = cast(Adapter, importlib.import_module(PEERS[package]))
    torch.manual_seed(0)
    width = nearest_width(lambda width: count_parameters(adapter.build(size, width)), size.n_parameters)
    network = adapter.build(size, width).to(device).eval().requires_grad_(False)
    n_parameters = count_parameters(network)
    return PeerPredictor(adapter, network, size, device), {
        "name": adapter.NAME,
        "package": adapter.DISTRIBUTION,
        "version": version(adapter.DISTRIBUTION),
        "about": adapter.ABOUT,
        "width": width,
        "n_parameters": n_parameters,
        "parameter_ratio": n_parameters / size.n_parameters,
    }


def nearest_width(count: Callable[[int], int], n_parameters: int) -> int:
    """Find the width at which a network has nearly ``n_parameters``.

    Matrices grow with the square of the width, biases and embeddings with the width. The count is therefore a parabola,
    which three widths determine.
    """
    a, b, c = np.polyfit(PROBES, [count(width) for width in PROBES], 2)
    root = (-b + math.sqrt(max(b * b - 4 * a * (c - n_parameters), 0.0))) / (2 * a)
    candidates = {max(1, math.floor(root)), max(1, math.ceil(root))}
    return min(candidates, key=lambda width: abs(np.polyval((a, b, c), width) - n_parameters))
