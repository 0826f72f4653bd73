"""Train a student of one's own, or go on where the last run stopped, and describe what it learned from."""

from functools import partial
from pathlib import Path

from assay.accuracy.domain import write_domain
from assay.accuracy.fitting import fit_stored
from assay.training.own import train_own
from assay.training.processes import leads, run_in
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("train_own", student="small")

with exit_on_error(snakemake.log[0]):
    train, validation = Path(snakemake.input.train), Path(snakemake.input.validation)
    n_processes = snakemake.params.training["processes"]
    run = partial(
        train_own,
        name=snakemake.wildcards.student,
        train=train,
        validation=validation,
        about_data=Path(snakemake.input.about),
        student=snakemake.params.student,
        training=snakemake.params.training | {"threads": max(1, snakemake.threads // n_processes)},
        origin=snakemake.params.origin,
        teacher=snakemake.params.teacher,
        states=Path(snakemake.params.states),
        device=snakemake.params.device,
        log=Path(snakemake.log[0]),
        checkpoint=Path(snakemake.output.student),
        record=Path(snakemake.output.record),
        curve=Path(snakemake.output.curve),
    )
    run_in(n_processes, run)
    if leads():
        write_domain(snakemake.output.domain, fit_stored(train, validation, **snakemake.params.domain))
