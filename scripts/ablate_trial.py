"""Train one setting of the ablation from one seed, or go on where the last run stopped."""

import logging
from pathlib import Path

from assay.ablation.trial import run_trial
from assay.data import read_dataset
from assay.training.states import remove_states, unfinished
from assay.workflow.errors import exit_on_error
from assay.workflow.files import write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("ablate_trial", setting="base", seed="0")

with exit_on_error(log=snakemake.log[0]):
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    params = snakemake.params
    seed, states = snakemake.wildcards.seed, Path(params.states)
    train = read_dataset(snakemake.input.train).spaced(params.train_structures)
    validation = read_dataset(snakemake.input.validation).spaced(params.validation_structures)
    state = unfinished(states, seed, [params.training, train.content_sha256(), validation.content_sha256()])
    trial = run_trial(params.training, int(seed), train, validation, state, snakemake.threads, params.device)
    about = {"setting": snakemake.wildcards.setting, "change": params.change, "training": params.training}
    write_json(snakemake.output[0], header(None, device=params.device) | about | trial)
    remove_states(states, seed)
