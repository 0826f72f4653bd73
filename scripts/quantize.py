"""Try every way to quantize a student, judge each beside float32, and ship the best as model.int8.onnx."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from assay.benchmark.timing import OtherLoad, limit_threads, threads
from assay.data import read_dataset
from assay.quantize import arithmetic
from assay.quantize.comparison import BATCH_SIZES, Limits, Motion, choose_scheme, compare_schemes, typical
from assay.quantize.instructions import int8_instructions
from assay.quantize.schemes import SCHEMES
from assay.workflow.errors import exit_on_error
from assay.workflow.files import atomic_path, read_json, write_json
from assay.workflow.provenance import header


def sample(path, count: int, seed: int) -> list:
    dataset = read_dataset(path)
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:count]
    return list(dataset.subset(chosen))


def main() -> None:
    settings, card = snakemake.params.settings, read_json(snakemake.input.card)
    n_threads, load = limit_threads(snakemake.threads), OtherLoad()
    unseen = sample(snakemake.input.unseen, settings["structures"], settings["seed"])
    training = sample(snakemake.input.train, settings["calibration_structures"], settings["seed"])
    batches = [training[start : start + 8] for start in range(0, len(training), 8)]
    with TemporaryDirectory() as folder:
        files = {"fp32": Path(snakemake.input.onnx), "fp16": Path(snakemake.input.half)}
        for scheme in SCHEMES:
            files[scheme.name] = Path(folder, f"{scheme.name}.onnx")
            scheme.apply(files["fp32"], files[scheme.name], batches)
        rows = compare_schemes(
            files, unseen, Motion(**settings["motion"]), settings["molecules"], settings["seconds"], n_threads
        )
        work = arithmetic.integer_savings(
            files["fp32"], typical(unseen, BATCH_SIZES[-1]), n_threads, settings["seconds"]
        )
        int8 = [scheme.name for scheme in SCHEMES if scheme.is_int8]
        decision = choose_scheme(rows, int8, Limits(**settings["limits"]), work["matmul_share"])
        for scheme in SCHEMES:
            rows[scheme.name]["description"] = scheme.description
        with atomic_path(snakemake.output.model) as path:
            shutil.copyfile(files[decision["chosen"]], path)
    result = header(card["variant"], card["checkpoint_sha256"]) | decision
    result |= {"schemes": rows, "limits": settings["limits"], "cpu_int8_instructions": int8_instructions()}
    result |= {"arithmetic": work, "threads": threads(), "other_load_fraction": load.fraction()}
    write_json(snakemake.output.table, result)


with exit_on_error(snakemake.log[0]):
    main()
