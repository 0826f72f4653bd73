"""Check somebody's own labelled structures, split them, and store them for the training."""

from pathlib import Path

from assay.accuracy.domain import domain_beside
from assay.sampling.own_data import store_data
from assay.workflow.errors import exit_on_error
from assay.workflow.files import write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("store_data")

with exit_on_error(snakemake.log[0]):
    described = {path: domain_beside(path) for path in snakemake.params.origins}
    about = store_data(
        train=snakemake.params.train,
        validation=snakemake.params.validation,
        share=snakemake.params.share,
        seed=snakemake.params.seed,
        into=(Path(snakemake.output.train), Path(snakemake.output.validation)),
        origins={path: domain.seen for path, domain in described.items() if domain and domain.seen},
    )
    print(about["sentence"])
    write_json(snakemake.output.about, about)
