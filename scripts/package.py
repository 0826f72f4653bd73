"""Pack a student with what runs it and what is known of it: package.zip, with a wheel in it."""

from pathlib import Path

import torch

from assay.checkpoint import normalize
from assay.engine.model_file import why_not_computed
from assay.engines.lammps.packaged import packaged_plugin
from assay.package.build import example_files, write_package
from assay.package.card import write_card
from assay.package.wheel import engine_files, make_wheel
from assay.runtime.engine import MODEL
from assay.runtime.student import FALLBACK
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json
from assay.workflow.records import whole_record

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("package", variant="tiny")

with exit_on_error(snakemake.log[0]):
    checkpoint, variant = normalize(snakemake.input.model), snakemake.wildcards.variant
    results = {Path(path).stem: read_json(path) for path in [snakemake.input.card, *snakemake.input.results]}
    files = {Path(path).name: Path(path) for path in snakemake.input.files}
    for path in snakemake.input.record:
        results["training"] = whole_record(read_json(path))
    engine = engine_files() if why_not_computed(checkpoint.build(torch.float32)) is None else {}
    plugin = packaged_plugin() if engine and snakemake.params.lammps_plugin else {}
    lammps = next((Path(name).parent.name for name in plugin), None)
    card = write_card(results, files, has_engine=bool(engine), lammps=lammps, **snakemake.params.card)
    inside = {name: files[name].read_bytes() for name in ((MODEL, FALLBACK) if engine else (FALLBACK,))}
    wheel = make_wheel(variant, results["model"]["checkpoint_sha256"], inside | engine | plugin, card)
    example = example_files(checkpoint.build(torch.float64), checkpoint.atomic_numbers)
    facts = {Path(path).name: Path(path) for path in [snakemake.input.card, *snakemake.input.results]}
    own = engine | {"README.md": card.encode(), wheel.name: wheel.content}
    write_package(snakemake.output[0], variant, files | facts | example | own)
