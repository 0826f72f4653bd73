"""Judge a student's energies and forces on every labelled split: accuracy.json, figures, and the worst structures."""

import resource
import time
from dataclasses import asdict
from pathlib import Path

import ase.io
import numpy as np

from assay.accuracy import evaluation
from assay.accuracy.domain import read_domain
from assay.accuracy.figures import draw_errors, draw_novelty, draw_parity
from assay.accuracy.shards import predict_piece, read_shards
from assay.benchmark.memory import keep_freed_memory
from assay.data import read_dataset
from assay.data.formats import count_structures
from assay.data.scope import Scope, count_outside
from assay.predictors.interface import load_predictor
from assay.workflow.errors import exit_on_error
from assay.workflow.files import atomic_path, read_json, write_json
from assay.workflow.provenance import header
from assay.workflow.teachers import labelled_by, whose_labels

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("validate", variant="tiny")


def main() -> None:
    keep_freed_memory()
    settings = evaluation.AccuracySettings(**snakemake.params.settings)
    domain = read_domain(snakemake.input.domain)
    errors, judged, novelties, named, outside = {}, {}, {}, [], {}
    started, shards = time.perf_counter(), list(snakemake.input.shards)
    if shards:
        merged = read_shards(shards)
        runtime, dtype = merged.about["runtime"], merged.about["dtype"]
        scope = Scope.from_record(merged.about["scope"]) if merged.about["scope"] else None
    else:
        predictor = load_predictor(
            Path(snakemake.input.model), device=snakemake.params.device, dtype="float32", threads=snakemake.threads
        )
        runtime, dtype, scope = predictor.runtime, predictor.dtype, predictor.scope
    for name, split in snakemake.params.splits.items():
        dataset = read_dataset(split, settings.max_structures, settings.seed)
        n_read = len(dataset)
        piece = merged.pieces[name] if shards else predict_piece(predictor, domain, dataset, name)
        try:
            found = evaluation.with_labels(piece.predictions, dataset, name)
        except evaluation.OutsideScope as reason:
            outside[name] = str(reason)
            print(f"{name} is not applicable: {reason}", flush=True)
            continue
        dataset, errors[name] = found.dataset, found.errors
        if found.without:
            print(f"{name}: {found.sentence}", flush=True)
        judged[name] = evaluation.accuracy_of_split(errors[name], dataset, settings)
        judged[name]["n_structures_in_file"] = count_structures(split) if n_read == settings.max_structures else n_read
        judged[name]["without_prediction"] = found.record
        judged[name]["labelled_by"] = whose_labels(labelled_by(split), snakemake.params.teacher)
        print(f"labels of {name}: {judged[name]['labels']['sentence']}", flush=True)
        judged[name]["scope"] = count_outside(scope, dataset) if scope else None
        if judged[name]["scope"] and judged[name]["scope"]["n_outside"]:
            said = "; ".join(judged[name]["scope"]["first"].values())
            print(f"{judged[name]['scope']['n_outside']} structures of {name} are outside of the scope, such as {said}")
        judged[name]["overlap"] = domain.overlap_with(list(dataset))
        if judged[name]["overlap"]:
            print(f"{name}: {judged[name]['overlap']['sentence']}", flush=True)
        judged[name]["domain"] = None
        if domain.training_data.known:
            novelties[name] = [piece.novelties[index] for index in np.flatnonzero(found.kept)]
            judged[name]["domain"] = evaluation.by_novelty(errors[name], novelties[name])
        named += evaluation.with_both_forces(judged[name]["worst"], errors[name], dataset)
    card = read_json(snakemake.input.card)
    result = header(card["variant"], card["checkpoint_sha256"], snakemake.params.device) | {
        "teacher": snakemake.params.teacher,
        "dtype": dtype,
        "runtime": runtime,
        "settings": asdict(settings),
        "wall_s": time.perf_counter() - started + (merged.about["wall_s"] if shards else 0.0),
        "peak_memory_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "training_data": domain.training_data.record,
        "coverage": domain.coverage(),
        "outside_scope": outside,
        "not_applicable": None if judged else "; ".join(outside.values()),
        "splits": judged,
    }
    draw_parity(snakemake.output.parity, errors)
    draw_errors(snakemake.output.errors, errors, judged)
    draw_novelty(snakemake.output.novelty, errors, novelties, domain.training_data.compared_with)
    with atomic_path(snakemake.output.worst) as temporary:
        ase.io.write(temporary, named, format="extxyz")
    write_json(snakemake.output.accuracy, result)


with exit_on_error(snakemake.log[0]):
    main()
