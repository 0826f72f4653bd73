"""Make one smaller form of a student, or go on with its training where the last run stopped."""

import logging
from pathlib import Path

import torch

from assay.checkpoint import load_model
from assay.compression.methods import Workshop, begin, save
from assay.data import read_dataset
from assay.workflow.errors import exit_on_error
from assay.workflow.files import atomic_path

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("compress_form", variant="tiny", form="pruned-16-tuned")

with exit_on_error(log=snakemake.log[0]):
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(snakemake.threads)
    settings, form = snakemake.params.settings, snakemake.params.form
    train, validation = (
        read_dataset(path).spaced(settings[f"{name}_structures"])
        for name, path in (("train", snakemake.input.train), ("validation", snakemake.input.validation))
    )
    workshop = Workshop(
        load_model(snakemake.input.model), train, validation, settings, Path(snakemake.output[0]).parent
    )
    if form["kind"] == "pruned":
        made = workshop.pruned(form["channels"], form["tuned"])
    elif form["kind"] == "low_rank":
        made = workshop.low_rank(form["share"])
    else:
        made = workshop.smaller(begin(snakemake.input.smaller, train, snakemake.params.teacher), form["learns"])
    with atomic_path(snakemake.output[0]) as path:
        save(made, path)
