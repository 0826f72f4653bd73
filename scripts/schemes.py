"""Write a student in every scheme of fewer bits, and measure what each costs beside float32."""

from pathlib import Path

from assay.benchmark.timing import limit_threads
from assay.predictors.interface import load_predictor
from assay.quantize.comparison import measure_costs
from assay.quantize.samples import sample_known, sample_unseen, usual_errors, with_usual_errors
from assay.quantize.schemes import SCHEMES
from assay.workflow.config_models.physics_yaml import Motion
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("schemes", variant="tiny")

with exit_on_error(snakemake.log[0]):
    settings, n_threads = snakemake.params.settings, limit_threads(snakemake.threads)
    card = read_json(snakemake.input.card)
    whose = (snakemake.params.unseen, snakemake.params.teacher)
    unseen, _ = sample_unseen(*whose, settings["structures"], settings["seed"], card["elements"])
    n_calibration, known = settings["calibration_structures"], card["elements"]
    training = sample_known([snakemake.params.train], n_calibration, settings["seed"], known)
    batches = [training[start : start + 8] for start in range(0, len(training), 8)]
    files = {"fp32": Path(snakemake.input.onnx), "fp16": Path(snakemake.input.half)}
    if any(structure.energy_eV is None for structure in unseen):
        student, seed = load_predictor(snakemake.input.model, threads=n_threads), settings["seed"]
        usual = usual_errors(student, *whose, settings["structures"], seed, known)
        unseen = with_usual_errors(unseen, files["fp32"], usual, seed)
    for scheme, path in zip(SCHEMES, map(Path, snakemake.output.files), strict=True):
        scheme.apply(files["fp32"], path, batches)
        files[scheme.name] = path
    motion = Motion(**settings["motion"])
    write_json(snakemake.output.costs, measure_costs(files, unseen, motion, settings["molecules"], n_threads))
