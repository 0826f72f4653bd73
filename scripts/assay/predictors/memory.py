"""Batches that are too large for the memory of a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch

from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

# What CUDA, cuBLAS and ONNX Runtime say. TorchScript raises their errors, and torch's, as a plain RuntimeError.
NO_MEMORY = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "Failed to allocate memory for requested buffer")

Found = TypeVar("Found")


def is_out_of_memory(error: Exception) -> bool:
    """Whether a runtime failed because a GPU has too little memory: by the type of its error, or else by its words."""
    told_by_words = not isinstance(error, AssayError) and any(words in str(error) for words in NO_MEMORY)
    return isinstance(error, torch.OutOfMemoryError) or told_by_words


def in_memory(
    structures: Sequence[Structure], batch: np.ndarray, evaluate: Callable[[list[Structure]], Found], device: str
) -> Iterator[tuple[np.ndarray, Found]]:
    """Evaluate a batch at once or, where a GPU has too little memory for that, in halves, and halves of these.

    Args:
        structures: S of them.
        batch: int64 (B,), the places of those that are evaluated.
        evaluate: evaluates structures.
        device: where it does, "cpu" or "cuda".

    Yields:
        The places of the structures that were evaluated at once, in the order of ``batch``, and what was found.

    Raises:
        AssayError: a structure alone does not fit.
    """
    own = [structures[k] for k in batch]
    try:
        found = evaluate(own)
    except Exception as error:  # those of ONNX Runtime have no common base class
        if device == "cpu" or not is_out_of_memory(error):
            raise
        if len(own) == 1:
            raise AssayError(
                f"{own[0].name} with {len(own[0])} atoms does not fit into the memory of the GPU: set device: cpu in "
                "the config"
            ) from None
    else:
        yield batch, found
        return
    print(f"the GPU has no memory for {len(own)} structures at once: in halves", file=sys.stderr)
    torch.cuda.empty_cache()
    for half in np.split(batch, [len(own) // 2]):
        yield from in_memory(structures, half, evaluate, device)
