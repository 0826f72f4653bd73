"""What a network sees of a distance: floored, against extrapolation into contacts, and counted from contact."""

from __future__ import annotations

from torch import Tensor, nn

from assay.models.graph import Graph
from assay.models.repulsion import contact_radii
from assay.runtime.network_constants import FLAT_BELOW, UNCHANGED_BEYOND


class _OfContact(nn.Module):
    """What knows the contact of two atoms, the sum of their covalent radii.

    Args:
        max_z: the largest atomic number.
        cutoff: the radius of the neighbor list, angstrom.
    """

    radius: Tensor

    def __init__(self, max_z: int, cutoff: float):
        super().__init__()
        self.register_buffer("radius", contact_radii(max_z, cutoff), persistent=False)

    def _contact(self, atomic_numbers: Tensor, graph: Graph) -> Tensor:
        """The contact of each edge, angstrom, in a shape that broadcasts to ``graph.edge_shape``."""
        radius = self.radius[atomic_numbers]
        return graph.at_neighbor(radius) + graph.at_center(radius)


class DistanceFloor(_OfContact):
    """A smooth function of the distance d: d itself beyond b, and constant below a.

    a and b are 0.55 and 0.85 of the contact. Between them, with t = (d - a) / (b - a), the slope is the quintic
    smoothstep 10 t^3 - 15 t^4 + 6 t^5, so that the function has three continuous derivatives. Below a the network feels
    no change of the distance, and only the repulsion of the nuclei acts.
    """

    def forward(self, atomic_numbers: Tensor, distance: Tensor, graph: Graph) -> Tensor:
        """Return the floored distances of distances in angstrom, both of shape ``graph.edge_shape``."""
        contact = self._contact(atomic_numbers, graph)
        a, b = FLAT_BELOW * contact, UNCHANGED_BEYOND * contact
        t = ((distance - a) / (b - a)).clamp(0.0, 1.0)
        rise = t * t * t * t * (2.5 - 3.0 * t + t * t)
        return 0.5 * (a + b) + (b - a) * rise + (distance - b).clamp(min=0.0)


class FromContact(_OfContact):
    """The distance less the contact, which is about zero for a single bond of any two elements.

    One filter then suits bonds of all elements, where it would see each at another distance.
    """

    def forward(self, atomic_numbers: Tensor, distance: Tensor, graph: Graph) -> Tensor:
        """Return distances from contact for distances, both in angstrom and of shape ``graph.edge_shape``."""
        return distance - self._contact(atomic_numbers, graph)
