"""A student with the signature that NNPot of GROMACS asks of a TorchScript model."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from assay.checkpoint.exported import check_exported_here
from assay.workflow.files import atomic_path

ANGSTROM_PER_NM = 10.0
KJ_PER_MOL_PER_EV = 96.48533212331002


class NNPotStudent(nn.Module):
    """Energies by ``model.ts.pt``, of which GROMACS takes the gradient.

    Neighbors are the nearest images alone: a periodic box must be at least two cutoffs wide.

    Args:
        network: the content of ``model.ts.pt``.
        cutoff: the cutoff of the student, angstrom.
    """

    def __init__(self, network: torch.jit.ScriptModule, cutoff: float):
        super().__init__()
        self.network = network
        self.cutoff = cutoff
        self.to_angstrom, self.to_kJ_per_mol = ANGSTROM_PER_NM, KJ_PER_MOL_PER_EV  # TorchScript reads no globals

    def forward(
        self, positions: Tensor, atomic_numbers: Tensor, box: Tensor | None = None, pbc: Tensor | None = None
    ) -> Tensor:
        """Return the energy, float64, kJ/mol.

        Args:
            positions: (N, 3), nm.
            atomic_numbers: integers (N,).
            box: (3, 3), nm, lower triangular, lattice vectors in rows.
            pbc: bool (3,), which axes repeat; all do where there is a box and this is None.

        Raises:
            ValueError: a position is not finite, a lattice vector along which the box repeats is not two cutoffs wide,
                or there is no energy, of an element that the student was not trained on or of atoms at one place.
        """
        at = positions.to(torch.float64) * self.to_angstrom
        if not bool(torch.isfinite(at).all()):
            raise ValueError("there are positions that are not finite")
        n_atoms = at.shape[0]
        vectors = at.unsqueeze(0) - at.unsqueeze(1)  # (atom, neighbor, 3)
        if box is not None:
            cell = box.to(torch.float64) * self.to_angstrom
            repeats = torch.ones(3, dtype=torch.float64, device=at.device)
            if pbc is not None:
                repeats = pbc.to(torch.float64)
            for axis in [2, 1, 0]:
                if bool(repeats[axis] > 0.0):
                    is_finite = bool(torch.isfinite(cell[axis]).all())
                    if not is_finite or float(cell[axis, axis]) < 2.0 * self.cutoff:
                        raise ValueError("the box must be at least two cutoffs of the student wide")
                    images = torch.round(vectors[:, :, axis].detach() / cell[axis, axis])
                    vectors = vectors - images.unsqueeze(-1) * cell[axis]
        near = (vectors.detach() ** 2).sum(-1) < self.cutoff * self.cutoff
        near = near & ~torch.eye(n_atoms, dtype=torch.bool, device=at.device)
        atom, neighbor = torch.where(near)
        energy = self.energy(atomic_numbers, torch.stack([neighbor, atom]), vectors[atom, neighbor])
        if not bool(torch.isfinite(energy)):
            self.refuse(atomic_numbers)
        return energy * self.to_kJ_per_mol

    def energy(self, atomic_numbers: Tensor, edge_index: Tensor, vectors: Tensor) -> Tensor:
        """Energy, eV, of atoms (N,) with edges (2, E) and their vectors, angstrom (E, 3)."""
        n_atoms = atomic_numbers.shape[0]
        # The positions of the network stay at the origin, so that vectors keep the digits of double precision.
        energy, _, _ = self.network.from_edges(
            atomic_numbers.to(torch.int64),
            torch.zeros([n_atoms, 3], dtype=torch.float32, device=vectors.device),
            torch.zeros([n_atoms], dtype=torch.int64, device=vectors.device),
            edge_index,
            vectors,
        )
        return energy.sum()

    def refuse(self, atomic_numbers: Tensor) -> None:
        """Say why there is no energy: an atom of some element has none by itself, or else atoms lie at one place."""
        unknown: list[int] = []
        for element in torch.unique(atomic_numbers):
            no_edges = torch.zeros([2, 0], dtype=torch.int64, device=atomic_numbers.device)
            vectors = torch.zeros([0, 3], dtype=torch.float64, device=atomic_numbers.device)
            if not bool(torch.isfinite(self.energy(element.reshape(1), no_edges, vectors))):
                unknown.append(int(element))
        if len(unknown) > 0:
            raise ValueError("the student was not trained on atomic numbers " + str(unknown))
        raise ValueError("there are atoms at one place")


def write(scripted: Path, cutoff: float, path: Path) -> None:
    """Write ``model.ts.pt`` as a model of NNPot, atomically; the cutoff is in angstrom.

    Raises:
        AssayError: the file is damaged, or Assay did not export it.
    """
    check_exported_here(scripted)
    model = torch.jit.script(NNPotStudent(torch.jit.load(str(scripted)), cutoff).eval())
    with atomic_path(path) as temporary:
        torch.jit.save(model, str(temporary))
