"""The energy of each pair of atoms by itself, so that messages need not carry what two elements tell alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from assay.models.graph import Graph, Term
from assay.runtime.network_constants import n_element_pairs, pair_rows


class PairEnergies(nn.Module):
    """E_i = 1/2 sum_j f(d_ij) sum_r c_r(Z_i, Z_j) psi_r(d_ij), with a row of coefficients for each two elements.

    psi are the radial functions of the network and f is its envelope. Coefficients begin as zero. Those of elements a
    and b, counted from 0 with a >= b, are the row a (a + 1) / 2 + b of the table. Other elements have none.

    Args:
        elements: rising atomic numbers of the elements that have pair energies.
        max_z: the largest atomic number.
        n_rbf: the number of radial functions, R.

    Raises:
        ValueError: the elements do not rise, or are not all between 1 and ``max_z``.
    """

    elements: Tensor
    place: Tensor
    rows: Tensor

    def __init__(self, elements: Sequence[int], max_z: int, n_rbf: int):
        super().__init__()
        count = len(elements)
        if list(elements) != sorted(set(elements)) or not 1 <= elements[0] <= elements[-1] <= max_z:
            raise ValueError(f"pair_elements must be rising atomic numbers up to {max_z}, not {list(elements)}")
        self.table = nn.Parameter(torch.zeros(n_element_pairs(count), n_rbf))
        place = torch.full((max_z + 1,), count)
        place[list(elements)] = torch.arange(count)
        self.register_buffer("elements", torch.tensor(elements, dtype=torch.float32))
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("rows", torch.tensor(pair_rows(count)).reshape(-1), persistent=False)

    def forward(self, atomic_numbers: Tensor, basis: Tensor, envelope: Tensor, graph: Graph) -> Tensor:
        """The energy of each atom, eV (N,).

        Args:
            atomic_numbers: int64 (N,).
            basis: radial basis of each edge, ``graph.edge_shape`` + (R,).
            envelope: cutoff envelope of each edge, ``graph.edge_shape``.
            graph: the neighbor relation.
        """
        place = self.place.index_select(0, atomic_numbers)
        both = graph.at_center(place * (len(self.elements) + 1)) + graph.at_neighbor(place)
        with_none = torch.cat([self.table, self.table.new_zeros(1, self.table.shape[1])])
        coefficients = nn.functional.embedding(both, with_none.index_select(0, self.rows))
        return 0.5 * graph.aggregate(Term((coefficients * basis).sum(-1) * envelope))
