"""Let a teacher label a part of the structures of a file, resuming from what is labelled already."""

from functools import partial
from pathlib import Path

from assay.sampling.own_labels import label_structures, places_of, read_structures, tried_structures
from assay.sampling.teacher import Teacher
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("label_structures", part="0")

with exit_on_error(snakemake.log[0]):
    path = snakemake.input.structures
    places = places_of(path, int(snakemake.wildcards.part), snakemake.params.parts)
    structures = read_structures(path, places)
    teacher, folder = Teacher(**snakemake.params.teacher), Path(snakemake.params.folder)
    tried = partial(tried_structures, **snakemake.params.tried)
    print(label_structures(structures, teacher, folder, Path(snakemake.output[0]), len(places), tried))
