"""The network compiled to machine code by AOTInductor, for the kind of processor that compiled it.

``model.pt2`` takes ``forms.SlotInputs``, in that order, of any sizes; ``tables.slot_inputs`` makes them from a neighbor
list. It refuses tensors of other dtypes, ranks or strides. It needs a C++ compiler to be made, and none to be run.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import fx
from torch._inductor import aoti_compile_and_package, config
from torch.export import Dim

from assay.checkpoint.exported import IDENTITY_KEY
from assay.engine.toolchain import compiler, missing_files
from assay.export.checked_inputs import checking_inputs
from assay.export.forms import SlotInputs, SlotPotential
from assay.export.lowering import dynamic_axes
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path


def save(network: fx.GraphModule, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Compile and write a ``.pt2`` file, atomically.

    Args:
        network: the result of ``lowering.lower`` in the form of slots.
        path: the file to write.
        metadata: what the file says about itself, of plain types; it is stored as JSON under ``IDENTITY_KEY``.

    Raises:
        AssayError: there is no C++ compiler that works, or no folder for its temporary files.
    """
    command = compiler()
    if command is None:
        [reason] = missing_files().values()
        raise AssayError(f"{path} cannot be made: {reason}")
    inputs = SlotPotential.example()
    dynamic = tuple(
        dict.fromkeys(dynamic_axes(name, tensor), Dim.DYNAMIC)
        for name, tensor in zip(SlotInputs._fields, inputs, strict=True)
    )
    logging.getLogger("torch._inductor").setLevel(logging.ERROR)
    fx.config.do_not_emit_stack_traces = True  # nobody reads the source lines of each operation, and they take time
    program = torch.export.export(network, tuple(inputs), dynamic_shapes=dynamic)
    settings = {
        "cpp.dynamic_threads": True,
        "cpp.cxx": (command,),
        "aot_inductor.metadata": {IDENTITY_KEY: json.dumps(metadata)},
    }
    checked = checking_inputs(metadata["max_z"])
    with atomic_path(path) as temporary, _temporary_folder(), config.patch(settings), checked:
        aoti_compile_and_package(program, package_path=str(temporary))


@contextmanager
def _temporary_folder() -> Iterator[None]:
    """Let inductor write where no path holds a space, which its commands would part; its cache stays where it is."""
    usual = tempfile.gettempdir()
    if " " not in usual:
        yield
        return
    for folder in ("/tmp", "/var/tmp", str(Path.cwd())):
        if " " not in folder and os.access(folder, os.W_OK):
            tempfile.tempdir, os.environ["TMPDIR"] = folder, folder
            try:
                yield
            finally:
                tempfile.tempdir, os.environ["TMPDIR"] = usual, usual
            return
    raise AssayError(f"temporary files go to {usual}, and compilers take no path with a space: set TMPDIR to another")
