"""Install the packages of one peer into a folder of their own."""

from assay.peers.packages import install
from assay.workflow.errors import exit_on_error

with exit_on_error(snakemake.log[0]):
    install(snakemake.input[0], snakemake.output[0])
