"""A student on an NVIDIA GPU: torch and Triton, and nothing of the project.

Only what computes ``model.assay`` with CUDA enters here, and what chooses its neighbors there. docs/engine.md has the
mathematics, in the symbols that the kernels use. Under Triton's interpreter (``TRITON_INTERPRET=1``) all of it runs on
a CPU too, thousands of times slower, which is how it is tested where there is no GPU.
"""

from __future__ import annotations

import importlib.util


def why_not_here() -> str | None:
    """Say why the kernels cannot run on this machine; None where they can."""
    for package in ("torch", "triton"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed: pip install torch, with CUDA"
    import torch

    return None if torch.cuda.is_available() else "torch finds no GPU: mend the driver, or install torch with CUDA"
