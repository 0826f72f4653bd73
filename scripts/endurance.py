"""Long dynamics of unseen molecules: endurance.json."""

from pathlib import Path

from assay.benchmark.timing import limit_threads
from assay.data import MANY, read_dataset
from assay.dynamics.endurance import endure, known_molecules, molecules_of_all_sizes
from assay.predictors.interface import load_predictor
from assay.workflow.config_models.commands_yaml import Endurance
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, short_digest, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("endure", variant="tiny")

with exit_on_error(snakemake.log[0]):
    settings = Endurance(**snakemake.params.settings)
    threads = limit_threads(snakemake.threads)
    predictor = load_predictor(Path(snakemake.input.model), device=snakemake.params.device, threads=threads)
    dataset, card = read_dataset(snakemake.params.split, MANY), read_json(snakemake.input.card)
    known, n_of_others = known_molecules(dataset, card["elements"])
    molecules = molecules_of_all_sizes(known, settings.molecules)
    what = [card["checkpoint_sha256"], predictor.runtime, settings.model_dump(), dataset.content_sha256()]
    key = short_digest(what)
    output = Path(snakemake.output[0])
    result = header(card["variant"], card["checkpoint_sha256"], snakemake.params.device) | {
        "runtime": predictor.runtime,
        "settings": settings.model_dump(),
        "n_structures_of_other_elements": n_of_others,
        **endure(predictor, molecules, settings, output.with_suffix(f".{key}.npz")),
    }
    write_json(output, result)
    for state in output.parent.glob("endurance.*.npz"):
        state.unlink()
