"""Find out what a student was trained on, and which description of that speaks for it."""

from assay.accuracy.domain import domain_of, write_domain
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("domain", variant="tiny")

with exit_on_error(snakemake.log[0]):
    domain = domain_of(
        checkpoint=snakemake.params.checkpoint,
        description=snakemake.params.description,
        file=next(iter(snakemake.input.get("description", [])), None),
        shipped=snakemake.params.shipped,
    )
    print(domain.training_data.sentence)
    write_domain(snakemake.output[0], domain)
