"""Put the errors of students that were trained on the same data beside each other, by what they began from."""

from assay.report.fine_tuning import collect
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("fine_tuning")

with exit_on_error(log=snakemake.log[0]):
    write_json(snakemake.output[0], collect([read_json(path) for path in snakemake.input]))
