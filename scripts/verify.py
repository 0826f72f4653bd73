"""Judge every exported file of a student against the network in double precision: export.json."""

import os
from pathlib import Path

os.environ["OMP_WAIT_POLICY"] = "passive"  # read when torch is loaded: threads that wait leave their core to other jobs

import torch

from assay.benchmark.memory import keep_freed_memory
from assay.checkpoint import normalize
from assay.data import read_examples
from assay.verification.verify import verify
from assay.workflow.config_models.physics_yaml import Export
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("verify", variant="tiny")

with exit_on_error(snakemake.log[0]):
    keep_freed_memory()
    torch.set_num_threads(snakemake.threads)
    settings = Export(**snakemake.params.settings)
    card, checkpoint = read_json(snakemake.input.card), normalize(snakemake.input.model)
    files = {Path(path).name: Path(path) for path in snakemake.input.files}
    structures = read_examples(snakemake.params.splits.values())
    model, elements = checkpoint.build(torch.float64), checkpoint.atomic_numbers
    result = verify(model, elements, files, snakemake.params.missing, structures, settings)
    write_json(snakemake.output[0], header(card["variant"], card["checkpoint_sha256"]) | result)
