"""Install the packages of one peer into a folder of their own."""

from assay.errors import exit_on_error
from assay.peers.packages import install

with exit_on_error(snakemake.log[0]):
    install(snakemake.input[0], snakemake.output[0])
