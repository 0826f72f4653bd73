"""Find the structures of one round of active learning: two students look for frames that are worth a label."""

import ase.io

from assay.accuracy.domain import read_domain
from assay.data.store import StoredDataset
from assay.predictors.interface import load_predictor
from assay.sampling.exploration import explore
from assay.workflow.config_models.students_yaml import Exploration
from assay.workflow.errors import exit_on_error
from assay.workflow.files import atomic_path, write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("explore", round="1")

with exit_on_error(snakemake.log[0]):
    members = [load_predictor(path, device=snakemake.params.device, threads=1) for path in snakemake.input.members]
    data = [structure for path in snakemake.input.data for block in StoredDataset(path).blocks() for structure in block]
    settings, number = Exploration(**snakemake.params.settings), int(snakemake.wildcards.round)
    chosen, record = explore((members[0], members[1]), read_domain(snakemake.input.domain[0]), data, settings, number)
    print(record["sentence"])
    with atomic_path(snakemake.output.frames) as temporary:
        ase.io.write(temporary, [frame.to_ase() for frame in chosen], format="extxyz")
    write_json(snakemake.output.record, record)
