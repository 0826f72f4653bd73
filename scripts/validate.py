"""Judge a student's energies and forces on every labelled split: accuracy.json, figures, and the worst structures."""

import resource
import time
from pathlib import Path

import ase.io

from assay.accuracy.domain import read_domain
from assay.accuracy.evaluation import OutsideScope
from assay.accuracy.figures import draw_errors, draw_novelty, draw_parity
from assay.accuracy.shards import about_predictor, predict_piece, read_shards
from assay.accuracy.splits import Judged, judge_split
from assay.benchmark.memory import keep_freed_memory
from assay.data import read_dataset
from assay.data.formats import count_structures
from assay.data.scope import Scope
from assay.predictors.interface import load_predictor
from assay.workflow.config_models.config_yaml import Accuracy
from assay.workflow.errors import exit_on_error
from assay.workflow.files import atomic_path, read_json, write_json
from assay.workflow.provenance import header
from assay.workflow.teachers import labelled_by, whose_labels

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("validate", variant="tiny")


def main() -> None:
    keep_freed_memory()
    params, started = snakemake.params, time.perf_counter()
    settings = Accuracy(**params.settings)
    domain = read_domain(snakemake.input.domain)
    judged: dict[str, Judged] = {}
    outside: dict[str, str] = {}
    if snakemake.input.shards:
        merged = read_shards(snakemake.input.shards)
        about = merged.about
    else:
        predictor = load_predictor(
            Path(snakemake.input.model), device=params.device, dtype="float32", threads=snakemake.threads
        )
        about = about_predictor(predictor)
    scope = Scope.from_record(about["scope"]) if about["scope"] else None
    for name, split in params.splits.items():
        dataset = read_dataset(split, settings.max_structures, settings.seed)
        piece = merged.pieces[name] if snakemake.input.shards else predict_piece(predictor, domain, dataset, name)
        try:
            judged[name] = judge_split(piece, dataset, domain, scope, settings, name)
        except OutsideScope as reason:
            outside[name] = str(reason)
            print(f"{name} is not applicable: {reason}", flush=True)
            continue
        drawn = len(dataset) == settings.max_structures
        judged[name].row["n_structures_in_file"] = count_structures(split) if drawn else len(dataset)
        judged[name].row["labelled_by"] = whose_labels(labelled_by(split), params.teacher)
        print(*judged[name].sentences(name), sep="\n", flush=True)
    card = read_json(snakemake.input.card)
    result = header(card["variant"], card["checkpoint_sha256"], params.device) | {
        "teacher": params.teacher,
        "dtype": about["dtype"],
        "runtime": about["runtime"],
        "settings": settings.model_dump(),
        "wall_s": time.perf_counter() - started + about.get("wall_s", 0.0),
        "peak_memory_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "training_data": domain.training_data.record,
        "coverage": domain.coverage(),
        "outside_scope": outside,
        "not_applicable": None if judged else "; ".join(outside.values()),
        "splits": {name: split.row for name, split in judged.items()},
    }
    errors = {name: split.errors for name, split in judged.items()}
    novelties = {name: split.novelties for name, split in judged.items() if split.novelties is not None}
    draw_parity(snakemake.output.parity, errors)
    draw_errors(snakemake.output.errors, errors, result["splits"])
    draw_novelty(snakemake.output.novelty, errors, novelties, domain.training_data.compared_with)
    with atomic_path(snakemake.output.worst) as temporary:
        ase.io.write(temporary, [atoms for split in judged.values() for atoms in split.worst], format="extxyz")
    write_json(snakemake.output.accuracy, result)


with exit_on_error(snakemake.log[0]):
    main()
