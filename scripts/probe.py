"""Measure everything that the physics checks ask of a student; thresholds are applied later."""

from pathlib import Path

from assay.benchmark.memory import keep_freed_memory
from assay.physics.base import Subject
from assay.physics.checks import measure
from assay.physics.coverage import completed, gaps
from assay.physics.reference import reference_of
from assay.predictors.interface import load_predictor
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("probe", variant="tiny")


def load(dtype: str):
    return load_predictor(
        Path(snakemake.input.model), device=snakemake.params.device, dtype=dtype, threads=snakemake.threads
    )


with exit_on_error(snakemake.log[0]):
    keep_freed_memory()
    card, predictor = read_json(snakemake.input.card), load("float64")
    labelled = reference_of(snakemake.input.references, snakemake.params.teacher)
    reference = completed(labelled, predictor.elements, snakemake.input.own)
    subject = Subject(
        predictor=predictor,
        moving=load("float32"),
        reference=reference,
        dynamics=snakemake.params.settings["dynamics"],
        seed=snakemake.params.settings["seed"],
        teacher=snakemake.params.teacher,
    )
    result = header(card["variant"], card["checkpoint_sha256"], snakemake.params.device)
    result |= {"teacher": subject.teacher, "reference_teacher": subject.reference.teacher}
    result |= {"gaps": gaps(labelled, reference, predictor.elements, subject.teacher)}
    result |= {"dtype": subject.predictor.dtype, "dynamics_dtype": subject.moving.dtype, "checks": measure(subject)}
    write_json(snakemake.output[0], result)
