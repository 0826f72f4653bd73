"""Collect the molecules of the dataset and split them."""

from pathlib import Path

from assay.data.molecules import collect, write_molecules
from assay.data.splits import split
from assay.errors import exit_on_error

with exit_on_error(log=snakemake.log[0]):
    recipe = snakemake.params.recipe
    odd_pieces = Path(snakemake.input.pieces).read_text().split()[1:]
    molecules = collect(snakemake.input.lists, odd_pieces, **recipe["collect"], seed=recipe["seed"])
    write_molecules(snakemake.output[0], split(molecules, **recipe["split"], seed=recipe["seed"]))
