"""Measure the exported forms of a student by the checks that concern an export."""

from pathlib import Path

from assay.physics.base import Subject
from assay.physics.checks import measure
from assay.physics.coverage import completed
from assay.physics.reference import reference_of
from assay.predictors.interface import load_predictor
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("probe_exports", variant="tiny")

with exit_on_error(snakemake.log[0]):
    card, settings = read_json(snakemake.input.card), snakemake.params.settings
    teacher, files = snakemake.params.teacher, {}
    reference = reference_of(snakemake.input.references, teacher)
    for path in map(Path, snakemake.input.models):
        model = load_predictor(path, device=snakemake.params.device, threads=snakemake.threads)
        judged_on = completed(reference, model.elements, snakemake.input.own)
        subject = Subject(model, model, judged_on, settings["dynamics"], settings["seed"], teacher)
        files[path.name] = {
            "dtype": model.dtype,
            "runtime": model.runtime,
            "checks": measure(subject, settings["checks"]),
        }
    result = header(card["variant"], card["checkpoint_sha256"], snakemake.params.device) | {"files": files}
    write_json(snakemake.output[0], result)
