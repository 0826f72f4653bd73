"""Time every scheme of fewer bits beside float32, weigh its gain against its cost, ship the best as model.int8.onnx."""

import shutil
from pathlib import Path

from assay.benchmark.memory import share_session_memory
from assay.benchmark.timing import OtherLoad, limit_threads, threads
from assay.quantize import arithmetic
from assay.quantize.comparison import BATCH_SIZES, choose_scheme, measure_times, on_labels_of
from assay.quantize.instructions import int8_instructions
from assay.quantize.samples import sample_unseen
from assay.quantize.schemes import SCHEMES
from assay.structures.structure import typical_batch
from assay.workflow.config_models.physics_yaml import QuantizeLimits
from assay.workflow.errors import exit_on_error
from assay.workflow.files import atomic_path, read_json, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("quantize", variant="tiny")


def main() -> None:
    settings, card = snakemake.params.settings, read_json(snakemake.input.card)
    share_session_memory()
    n_threads, load = limit_threads(snakemake.threads), OtherLoad()
    sources, teacher = snakemake.params.unseen, snakemake.params.teacher
    unseen, whose = sample_unseen(sources, teacher, settings["structures"], settings["seed"], card["elements"])
    files = {"fp32": Path(snakemake.input.onnx), "fp16": Path(snakemake.input.half)}
    files |= {scheme.name: Path(path) for scheme, path in zip(SCHEMES, snakemake.input.files, strict=True)}
    costs, times = read_json(snakemake.input.costs), measure_times(files, unseen, settings["seconds"], n_threads)
    rows = {name: costs[name] | times[name] for name in files}
    work = arithmetic.integer_savings(
        files["fp32"], typical_batch(unseen, BATCH_SIZES[-1]), n_threads, settings["seconds"]
    )
    int8 = [scheme.name for scheme in SCHEMES if scheme.is_int8]
    decision = choose_scheme(rows, int8, QuantizeLimits(**settings["limits"]), work["matmul_share"])
    decision = on_labels_of(decision, whose)
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
