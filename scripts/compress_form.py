"""Make one smaller form of a student, or go on with its training where the last run stopped."""

import logging
from pathlib import Path

import torch

from assay.checkpoint import normalize
from assay.compression.methods import Workshop, begin, save
from assay.data import read_dataset
from assay.workflow.errors import exit_on_error

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
    path, student, teacher = (
        Path(snakemake.output.checkpoint),
        normalize(snakemake.input.model),
        snakemake.params.teacher,
    )
    workshop = Workshop(student.build(), train, validation, settings, path.parent)
    scope, in_doubt = student.scope, student.in_doubt
    if form["kind"] == "pruned":
        made = workshop.pruned(form["channels"], form["tuned"])
    elif form["kind"] == "low_rank":
        made = workshop.low_rank(form["share"])
    else:
        begun = begin(snakemake.input.smaller, train, teacher)
        made, scope, in_doubt = workshop.smaller(begun.model, form["learns"]), begun.scope, begun.in_doubt
        teacher = begun.teacher if form["learns"] is None else teacher
    save(made, path, scope, teacher, in_doubt)
