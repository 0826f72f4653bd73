"""Train one student on the teacher's labels, or go on where the last run stopped, and describe what it learned from."""

from functools import partial
from pathlib import Path

from assay.accuracy.domain import write_domain
from assay.accuracy.fitting import fit
from assay.data import read_dataset
from assay.training.processes import leads, run_in
from assay.training.run import train_student
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("train", student="tiny")

with exit_on_error(log=snakemake.log[0]):
    # Before the training, which would be lost where the validation data cannot tell what is usual.
    files, domain = (snakemake.input.train, snakemake.input.validation), None
    if leads():
        domain = fit(*map(read_dataset, files), **snakemake.params.domain)
    train = partial(
        train_student,
        name=snakemake.wildcards.student,
        train=Path(snakemake.input.train),
        validation=Path(snakemake.input.validation),
        student=snakemake.params.student,
        recipe=snakemake.params.recipe,
        teacher=snakemake.params.teacher,
        shipped=Path(snakemake.params.shipped),
        state_file=Path(snakemake.params.state),
        threads=max(1, snakemake.threads // snakemake.params.processes),
        device=snakemake.params.device,
        log=Path(snakemake.log[0]),
        checkpoint=Path(snakemake.output.student),
        record=Path(snakemake.output.record),
    )
    run_in(snakemake.params.processes, train)
    if domain is not None:
        write_domain(snakemake.output.domain, domain)
