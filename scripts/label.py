"""Let the teacher label one part of the dataset, resuming from the shards that are there."""

from pathlib import Path

from assay.data.hdf5 import write_hdf5
from assay.sampling.molecules import identities, read_molecules
from assay.sampling.plan import plan
from assay.sampling.shards import dropped, label
from assay.sampling.teacher import Teacher
from assay.workflow.errors import exit_on_error

if __name__ == "__main__":
    if "snakemake" not in globals():
        from assay.workflow.standalone import mock_snakemake

        snakemake = mock_snakemake("label", part="validation")

    with exit_on_error(log=snakemake.log[0]):
        part, folder = snakemake.wildcards.part, Path(snakemake.params.shards)
        splits, checked = read_molecules(snakemake.input.molecules), identities(snakemake.input.checked)
        shards = plan(part, splits, snakemake.params.recipe, Teacher(**snakemake.params.teacher), checked)
        dataset = label(shards, folder, snakemake.threads, part)
        print(f"{part}: {len(dataset)} structures; dropped: {dict(dropped(shards, folder))}")
        write_hdf5(snakemake.output[0], dataset)
