"""Let the teacher label the crystals of the shipped periodic dataset, and ship them."""

from assay.sampling.crystals import crystals, labelled, ship
from assay.sampling.teacher import Teacher
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("crystals")

with exit_on_error(log=snakemake.log[0]):
    teacher = Teacher(**snakemake.params.teacher)
    dataset = labelled(crystals(**snakemake.params.recipe), teacher.process())
    ship(dataset, snakemake.params.teacher, snakemake.output[0])
