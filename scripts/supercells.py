"""Make rattled, strained and vacant supercells of crystals."""

import ase.io

from assay.sampling.supercells import supercells
from assay.workflow.errors import exit_on_error
from assay.workflow.files import atomic_path

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("supercells")

with exit_on_error(snakemake.log[0]):
    made = supercells(**snakemake.params.recipe)
    with atomic_path(snakemake.output[0]) as path:
        ase.io.write(path, [structure.to_ase() for structure in made], format="extxyz")
