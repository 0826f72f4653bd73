"""Measure all forms of a student beside it: size, time, errors and physics, and what is worth shipping."""

from pathlib import Path

import torch

from assay.benchmark.timing import OtherLoad, limit_threads
from assay.checkpoint import normalize
from assay.compression.comparison import compare
from assay.compression.figures import draw
from assay.data import read_examples
from assay.models import build_model
from assay.physics.reference import reference_of
from assay.structures.structure import evenly
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("compress_student", variant="tiny")


def load(path: str) -> tuple:
    """A form that was made: its network and the count of its numbers."""
    stored = torch.load(path, weights_only=True)
    config = dict(stored["config"])
    model = build_model(config.pop("architecture"), config)
    model.load_state_dict(stored["model_state_dict"])
    return model, stored["n_numbers"]


with exit_on_error(log=snakemake.log[0]):
    params, others = snakemake.params, OtherLoad()
    limit_threads(1)
    student = normalize(snakemake.input.model)
    rows, decided = compare(
        student.build(),
        {Path(path).stem: load(path) for path in snakemake.input.forms},
        read_json(snakemake.input.quantization),
        evenly(read_examples([snakemake.input.test]), params.settings["test_structures"]),
        reference_of(snakemake.input.references, params.teacher),
        params.settings,
        params.physics,
        params.teacher,
        None if student.atomic_numbers is None else frozenset(student.atomic_numbers),
    )
    card = read_json(snakemake.input.card)
    result = header(card["variant"], card["checkpoint_sha256"]) | {
        "settings": params.settings,
        "load_of_other_processes": others.fraction(),
        "recommendation": decided,
        "rows": rows,
    }
    write_json(snakemake.output.json, result)
    draw(snakemake.output.figure, rows)
