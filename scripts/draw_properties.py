"""Draw the properties of a material by all variants, beside those by the teacher."""

from assay.physics.material_figure import draw_material
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("properties")

with exit_on_error(log=snakemake.log[0]):
    students = dict(zip(snakemake.params.variants, map(read_json, snakemake.input.students), strict=True))
    teacher = read_json(snakemake.input.teacher) if snakemake.input.teacher else None
    draw_material(snakemake.output[0], students, teacher)
