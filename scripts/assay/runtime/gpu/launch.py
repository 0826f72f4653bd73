"""How kernels are launched: one after the other, or so that the launch of one overlaps the run of the one before.

Only the first axis of a grid may grow with the number of atoms: the others end at 65,535 programs.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

FEW_ATOMS = 640  # up to so many atoms a kernel takes hardly longer than its launch
OVERLAPS_FROM = (9, 0)  # the compute capability of the first GPUs that can (programmatic dependent launch)


def options(n_atoms: int, device: torch.device) -> dict[str, Any]:
    """What every kernel is launched with; see ``component_kernels.after_inputs``."""
    overlap = n_atoms <= FEW_ATOMS and _can_overlap(device)
    return {"OVERLAP": overlap, "launch_pdl": overlap}


@functools.cache
def _can_overlap(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= OVERLAPS_FROM
