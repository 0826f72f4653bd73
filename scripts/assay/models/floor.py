"""A floor under the distances that a network sees, so that it cannot extrapolate into contacts that no label shows."""

from __future__ import annotations

from torch import Tensor, nn

from assay.models.graph import Graph
from assay.models.repulsion import contact_radii

FROM, TO = 0.55, 0.85  # of the sum of covalent radii


class DistanceFloor(nn.Module):
    """d to a smooth function of it that is d beyond 0.85 and constant below 0.55 of the sum of covalent radii.

    With t = (d - a) / (b - a) between them, its slope is the quintic smoothstep 10 t^3 - 15 t^4 + 6 t^5, so that it has
    three continuous derivatives. Inside, the repulsion of nuclei decides alone.

    Args:
        max_z: largest atomic number.
        cutoff: radius of the neighbor list, angstrom.
    """

    radius: Tensor

    def __init__(self, max_z: int, cutoff: float):
        super().__init__()
        self.register_buffer("radius", contact_radii(max_z, cutoff), persistent=False)

    def forward(self, atomic_numbers: Tensor, distance: Tensor, graph: Graph) -> Tensor:
        """Floored distances, graph.edge_shape, from distances in angstrom."""
        radius = self.radius[atomic_numbers]
        contact = graph.gather(radius) + graph.spread(radius)
        a, b = FROM * contact, TO * contact
        t = ((distance - a) / (b - a)).clamp(0.0, 1.0)
        rise = t * t * t * t * (2.5 - 3.0 * t + t * t)
        return 0.5 * (a + b) + (b - a) * rise + (distance - b).clamp(min=0.0)
