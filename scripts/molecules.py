"""Collect the molecules of the dataset and split them."""

import itertools
from pathlib import Path

from assay.sampling.molecules import altered, bridged, collect, listed, recombine_more, write_molecules
from assay.sampling.splits import for_training, never_seen, split
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("molecules")

with exit_on_error(log=snakemake.log[0]):
    recipe = snakemake.params.recipe
    odd_pieces = Path(snakemake.input.pieces).read_text().split()[1:]
    molecules = collect(snakemake.input.lists, odd_pieces, **recipe["collect"], seed=recipe["seed"])
    splits = split(molecules, **recipe["split"], seed=recipe["seed"])
    max_atoms, max_similarity = (recipe["split"][name] for name in ("max_atoms", "max_similarity"))
    more = recombine_more(molecules, odd_pieces, **recipe["train_recombined"])
    splits["train_recombined"] = for_training(more, splits, max_similarity)
    splits["new_molecules"] = never_seen(listed([snakemake.input.new], max_atoms), splits)
    for part in ("train_bridged", "train_caged", "train_small_cages"):
        strained = bridged(itertools.chain(*splits.values()), odd_pieces, **recipe[part])
        splits[part] = for_training(strained, splits, max_similarity)
    changed = altered(itertools.chain(*splits.values()), **recipe["train_altered"])
    splits["train_altered"] = for_training(changed, splits, max_similarity)
    write_molecules(snakemake.output[0], splits)
