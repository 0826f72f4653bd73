"""Long dynamics of unseen molecules: endurance.json."""

import time
from dataclasses import asdict
from pathlib import Path

from assay.data import read_dataset
from assay.endurance import Settings, choose, endure
from assay.errors import exit_on_error
from assay.files import read_json, write_json
from assay.predictors import load_predictor
from assay.provenance import header
from assay.timing import limit_threads

with exit_on_error(snakemake.log[0]):
    settings, started = Settings(**snakemake.params.settings), time.perf_counter()
    threads = limit_threads(snakemake.threads)
    predictor = load_predictor(Path(snakemake.input.model), device=snakemake.params.device, threads=threads)
    structures = choose(read_dataset(Path(snakemake.input.split)), settings.molecules)
    card = read_json(snakemake.input.card)
    result = header(card["variant"], card["checkpoint_sha256"], snakemake.params.device) | {
        "runtime": predictor.runtime,
        "settings": asdict(settings),
        **endure(predictor, structures, settings),
        "wall_s": time.perf_counter() - started,
    }
    write_json(snakemake.output[0], result)
