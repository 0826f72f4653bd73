"""Collect the molecules of the dataset and split them."""

from pathlib import Path

from assay.data.molecules import collect, recombine_more, write_molecules
from assay.data.splits import for_training, split
from assay.errors import exit_on_error

with exit_on_error(log=snakemake.log[0]):
    recipe = snakemake.params.recipe
    odd_pieces = Path(snakemake.input.pieces).read_text().split()[1:]
    molecules = collect(snakemake.input.lists, odd_pieces, **recipe["collect"], seed=recipe["seed"])
    splits = split(molecules, **recipe["split"], seed=recipe["seed"])
    more = recombine_more(molecules, odd_pieces, **recipe["train_recombined"])
    splits["train_recombined"] = for_training(more, splits, recipe["split"]["max_similarity"])
    write_molecules(snakemake.output[0], splits)
