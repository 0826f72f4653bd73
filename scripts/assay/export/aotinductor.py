"""The lowered network compiled to machine code by AOTInductor: the fastest form on the processor that compiled it.

``model.pt2`` takes ``lowering.TableInputs``, in that order, of any sizes; ``tables.table_inputs`` makes them from a
neighbor list. It needs a C++ compiler to be made, and none to be run.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import fx
from torch._inductor import aoti_compile_and_package, config
from torch.export import Dim

from assay.export.lowering import INPUTS, example_inputs
from assay.files import atomic_path

IDENTITY = "identity"
FIXED = {"positions": 1, "shift": 1}  # inputs whose axes from this one on have a fixed size


def save(network: fx.GraphModule, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Compile ``network`` (of ``lowering.lower``) and write a ``.pt2`` file, atomically, with ``metadata`` inside."""
    inputs = tuple(example_inputs())
    dynamic = tuple(
        dict.fromkeys(range(FIXED.get(name, tensor.dim())), Dim.DYNAMIC)
        for name, tensor in zip(INPUTS, inputs, strict=True)
    )
    logging.getLogger("torch._inductor").setLevel(logging.ERROR)
    program = torch.export.export(network, inputs, dynamic_shapes=dynamic)
    settings = {"cpp.dynamic_threads": True, "aot_inductor.metadata": {IDENTITY: json.dumps(metadata)}}
    with atomic_path(path) as temporary, config.patch(settings):
        aoti_compile_and_package(program, package_path=str(temporary))
