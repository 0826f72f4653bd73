"""Ask the teacher about every geometry that the physics checks look at: the shipped reference, made again."""

import shutil
from pathlib import Path

import pandas as pd

from assay.physics.labelling import Entry, make_reference
from assay.physics.reference import write_reference
from assay.sampling.teacher import Teacher
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("listed_reference")

with exit_on_error(snakemake.log[0]):
    table = pd.read_csv(snakemake.input.molecules, keep_default_na=False)
    entries = [Entry(**row) for row in table.to_dict("records")]
    teacher = Teacher(**snakemake.params.teacher)
    frames = make_reference(entries, teacher, snakemake.params.settings, Path(snakemake.params.parts))
    write_reference(snakemake.output[0], frames, teacher.name)
    shutil.copy(snakemake.output[0], snakemake.params.shipped)
