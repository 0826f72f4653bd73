"""Let the teacher label the crystals of the shipped periodic dataset, and ship them."""

from assay.sampling.crystals import crystals, labelled, ship
from assay.sampling.teacher import Teacher
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("crystals")

with exit_on_error(log=snakemake.log[0]):
    process = Teacher(**snakemake.params.teacher).process()
    dataset = labelled(crystals(**snakemake.params.recipe), process)
    ship(dataset, snakemake.params.teacher | {"versions": process.told["versions"]}, snakemake.output[0])
