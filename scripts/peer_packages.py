"""Install the packages of one peer into a folder of their own."""

from assay.peers.packages import install
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("peer_packages", package="schnetpack")

with exit_on_error(snakemake.log[0]):
    install(snakemake.input[0], snakemake.output[0])
