"""A student on an NVIDIA GPU: torch and Triton, and nothing of the project.

Only what computes ``model.assay`` with CUDA enters here, and what chooses its neighbors there. docs/engine.md has the
mathematics, in the symbols that the kernels use. Under Triton's interpreter (``TRITON_INTERPRET=1``) all of it runs on
a CPU too, thousands of times slower, which is how it is tested where there is no GPU.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path


def why_not_here() -> str | None:
    """Say why the kernels cannot run on this machine; None where they can."""
    for package in ("torch", "triton"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed: pip install torch, with CUDA"
    import torch

    if not torch.cuda.is_available():
        return "torch finds no GPU: mend the driver, or install torch with CUDA"
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "Triton finds no C compiler: install gcc, or name one by the environment variable CC"
    headers = sysconfig.get_paths()["include"]
    if not Path(headers, "Python.h").is_file():
        return f"Triton needs Python's headers, and {headers} has no Python.h: install them (python3-dev)"
    return None
