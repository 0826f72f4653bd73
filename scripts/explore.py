"""One round of active learning: two students look for structures, and the teacher labels them."""

from pathlib import Path

from assay.accuracy.domain import read_domain
from assay.data.store import StoredDataset
from assay.predictors.interface import load_predictor
from assay.sampling.exploration import Exploration, explore
from assay.sampling.own_labels import label_structures
from assay.sampling.teacher import Teacher
from assay.workflow.errors import exit_on_error
from assay.workflow.files import write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("explore", round="1")

with exit_on_error(snakemake.log[0]):
    members = [load_predictor(path, device=snakemake.params.device, threads=1) for path in snakemake.input.members]
    data = [structure for path in snakemake.input.data for block in StoredDataset(path).blocks() for structure in block]
    settings, number = Exploration(**snakemake.params.settings), int(snakemake.wildcards.round)
    chosen, record = explore((members[0], members[1]), read_domain(snakemake.input.domain[0]), data, settings, number)
    print(record["sentence"])
    teacher, folder = Teacher(**snakemake.params.teacher), Path(snakemake.params.folder)
    labelled = label_structures(chosen, teacher, folder, Path(snakemake.output.labels), len(chosen))
    write_json(snakemake.output.record, record | {"labels": labelled})
