"""Properties of a material by dynamics of one variant, or of the teacher: properties.json."""

from pathlib import Path

import numpy as np

from assay.benchmark.timing import limit_threads
from assay.data.dataset import from_structures
from assay.data.hdf5 import write_hdf5
from assay.physics.material import HEATING_per_fs, material_record, read_start
from assay.predictors.interface import load_predictor
from assay.sampling.teacher import Teacher
from assay.workflow.config_models.commands_yaml import MaterialDynamics
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, short_digest, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("material", variant="tiny")

with exit_on_error(snakemake.log[0]):
    settings = MaterialDynamics(**snakemake.params.settings)
    threads, output = limit_threads(snakemake.threads), Path(snakemake.output.json)
    teacher = snakemake.params.get("teacher")
    if teacher:
        asked = Teacher(**teacher)
        predictor, identity = asked.process(), asked.identity
        about = header(None, device=predictor.device) | {"teacher": teacher["name"]}
    else:
        predictor = load_predictor(Path(snakemake.input.model), device=snakemake.params.device, threads=threads)
        card = read_json(snakemake.input.card)
        identity = card["checkpoint_sha256"]
        about = header(card["variant"], identity, snakemake.params.device)
    start = read_start(snakemake.input.structure)
    atoms = [start.atomic_numbers, start.positions, start.pbc, np.zeros(0) if start.cell is None else start.cell]
    what = [identity, predictor.runtime, HEATING_per_fs, settings.model_dump(), *(values.tolist() for values in atoms)]
    key = short_digest(what)
    found, labelled = material_record(predictor, start, settings, output.with_suffix(f".{key}"))
    write_json(output, about | {"runtime": predictor.runtime, "settings": settings.model_dump()} | found)
    if teacher:
        write_hdf5(snakemake.output.frames, from_structures(labelled))
    for kept in output.parent.glob(f"{output.stem}.*.npz"):
        kept.unlink()
