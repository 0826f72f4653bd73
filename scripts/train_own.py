"""Train a student of one's own, or go on where the last run stopped, and describe what it learned from."""

from functools import partial
from pathlib import Path

from assay.accuracy.domain import domain_beside, write_domain
from assay.accuracy.fitting import DESCRIBED, fit_stored
from assay.data.store import StoredDataset
from assay.training.own import train_own
from assay.training.processes import leads, run_in
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("train_own", student="small")

with exit_on_error(snakemake.log[0]):
    train, validation = Path(snakemake.input.train), Path(snakemake.input.validation)
    n_processes, origin = snakemake.params.training["processes"], snakemake.params.origin
    learned = domain_beside(origin["path"]) if origin else None
    seen = learned.overlap_with(list(StoredDataset(validation).sample(DESCRIBED))) if learned else None
    # Before the training, which would be lost where the validation data cannot tell what is usual.
    domain = fit_stored(train, validation, **snakemake.params.domain) if leads() else None
    run = partial(
        train_own,
        name=snakemake.wildcards.student,
        train=train,
        validation=validation,
        about_data=Path(snakemake.input.about),
        student=snakemake.params.student,
        training=snakemake.params.training | {"threads": max(1, snakemake.threads // n_processes)},
        origin=origin,
        seen=seen,
        teacher=snakemake.params.teacher,
        said=snakemake.params.said,
        states=Path(snakemake.params.states),
        device=snakemake.params.device,
        log=Path(snakemake.log[0]),
        checkpoint=Path(snakemake.output.student),
        record=Path(snakemake.output.record),
        curve=Path(snakemake.output.curve),
    )
    run_in(n_processes, run)
    if domain is not None:
        write_domain(snakemake.output.domain, domain.after(learned) if origin else domain)
