"""Compare the trainings of the ablation with its base, and time their networks in turns: one table, one figure."""

from assay.ablation.figures import draw
from assay.ablation.summary import summarize
from assay.benchmark.models import time_beside_first
from assay.benchmark.timing import OtherLoad, limit_threads
from assay.data import read_examples
from assay.models import build_model
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("ablate")

with exit_on_error(log=snakemake.log[0]):
    settings, others = snakemake.params.settings, OtherLoad()
    limit_threads(1)
    trials = [read_json(path) for path in snakemake.input.trials]
    rows = summarize(trials, settings["confidence"])
    networks = {row["setting"]: build_model(settings["base"]["architecture"], row["hyperparameters"]) for row in rows}
    times = time_beside_first(networks, read_examples([snakemake.input.validation]), settings["seconds"])
    result = header(None) | {
        "settings": settings,
        "load_of_other_processes": others.fraction(),
        "training_devices": sorted({trial["device_name"] for trial in trials}),
        "training_seconds": sum(trial["seconds"] for trial in trials),
        "rows": [row | {"time_ratio": times[row["setting"]]} for row in rows],
    }
    write_json(snakemake.output.json, result)
    draw(snakemake.output.figure, rows)
