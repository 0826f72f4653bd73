"""Let a teacher label a part of the structures of a file, resuming from what is labelled already."""

from pathlib import Path

from assay.sampling.own_labels import label_structures, places_of, read_structures
from assay.sampling.teacher import Teacher
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("label_structures", part="0")

with exit_on_error(snakemake.log[0]):
    part, parts = int(snakemake.wildcards.part), snakemake.params.parts
    path = snakemake.input.structures
    structures = read_structures(path, part, parts)
    n_structures = len(places_of(path, part, parts))
    teacher, folder = Teacher(**snakemake.params.teacher), Path(snakemake.params.folder)
    print(label_structures(structures, teacher, folder, Path(snakemake.output[0]), n_structures))
