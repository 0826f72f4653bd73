"""Run one student in the chosen programs of molecular dynamics."""

from pathlib import Path

import torch

from assay.benchmark.timing import OtherLoad
from assay.checkpoint import load_model
from assay.data import read_examples
from assay.engines.cases import of_size
from assay.engines.programs import PROGRAMS
from assay.engines.run import expect, run_program
from assay.structures.structure import knows
from assay.workflow.config_models.commands_yaml import EngineTask
from assay.workflow.config_models.physics_yaml import Tolerance
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("run_engines", variant="tiny")


def main() -> None:
    params, others = snakemake.params, OtherLoad()
    torch.set_num_threads(1)
    card = read_json(snakemake.input.card)
    structures = [s for s in read_examples(params.splits.values()) if knows(card.get("elements"), s)]
    settings, tolerance = EngineTask(**params.settings), Tolerance(**params.tolerance)
    expected = expect(load_model(snakemake.input.model, torch.float64), structures)
    timed = [of_size(structures, size) for size in sorted(settings.sizes)]
    files = {path.name: path for path in map(Path, snakemake.input.files)}
    found = {}
    for name in params.programs:
        program = PROGRAMS[name]
        own = {file: files[file] for file in program.files}
        found[name] = run_program(program, own, timed, expected, settings, tolerance)
        print(f"{program.title}: {found[name].get('error', 'done')}")
    about = header(card["variant"], card["checkpoint_sha256"])
    loads = {"load_of_other_processes": others.fraction(), "settings": params.settings}
    write_json(snakemake.output[0], about | loads | {"programs": found})


with exit_on_error(snakemake.log[0]):
    main()
