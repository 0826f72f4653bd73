"""Ask a teacher about somebody's own molecules: a reference of the physics checks for students of this teacher."""

import shutil
from pathlib import Path

from assay.physics.own_structures import make_own_reference
from assay.physics.reference import write_reference
from assay.sampling.teacher import Teacher
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("own_reference", reference="mine")

with exit_on_error(snakemake.log[0]):
    teacher, settings = Teacher(**snakemake.params.teacher), snakemake.params.settings
    parts = Path("data/build/parts/physics", snakemake.wildcards.reference)
    frames = make_own_reference(snakemake.input.structures, teacher, settings, parts)
    write_reference(snakemake.output[0], frames, teacher.name)
    shipped = Path(snakemake.params.shipped)
    shipped.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(snakemake.output[0], shipped)
