"""Where a result came from: the keys that every JSON of Assay starts with."""

from __future__ import annotations

import platform
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

SCHEMA_VERSION = 1

_PACKAGES = (
    "torch",
    "triton",
    "torch-cluster",
    "onnx",
    "onnxruntime-gpu",
    "numpy",
    "scipy",
    "ase",
    "rdkit",
    "tblite",
    "vesin",
    "snakemake",
)


def header(
    variant: str | None, checkpoint_sha256: str | None = None, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """The keys that a JSON starts with.

    Args:
        variant: the student that the file is about; None if it is about several.
        checkpoint_sha256: the SHA-256 of the normalized model, which is the same for equal weights from any file; None
            if the file is about several models.
        device: the device that computed the numbers.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "variant": variant,
        "checkpoint_sha256": checkpoint_sha256,
        "device": str(device),
        "device_name": device_name(device),
        "versions": versions(),
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def versions() -> dict[str, str]:
    """Python and the installed packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def device_name(device: torch.device | str) -> str:
    """The make of a processor or GPU, as its system names it."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
