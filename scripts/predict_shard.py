"""Predict a share of the structures of every labelled split: one of many shards, which `validate` judges as one."""

import time
from pathlib import Path

from assay.accuracy.domain import read_domain
from assay.accuracy.shards import Shard, about_predictor, predict_piece, write_shard
from assay.benchmark.memory import keep_freed_memory
from assay.data import read_dataset
from assay.predictors.interface import load_predictor
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("predict_shard", variant="tiny", scatteritem="1-of-2")


def main() -> None:
    keep_freed_memory()
    params, started = snakemake.params, time.perf_counter()
    predictor = load_predictor(
        Path(snakemake.input.model), device=params.device, dtype="float32", threads=snakemake.threads
    )
    domain = read_domain(snakemake.input.domain)
    number, n_shards = map(int, snakemake.wildcards.scatteritem.split("-of-"))
    pieces = {}
    for name, split in params.splits.items():
        dataset = read_dataset(split, params.max_structures, params.seed, part=(number - 1, n_shards))
        pieces[name] = predict_piece(predictor, domain, dataset, name)
    about = about_predictor(predictor) | {"wall_s": time.perf_counter() - started}
    write_shard(snakemake.output[0], Shard(pieces, about))


with exit_on_error(snakemake.log[0]):
    main()
