"""Store the ratios of this run's benchmarks, which later runs are held against."""

from assay.benchmark import regression
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("baseline")

with exit_on_error(snakemake.log[0]):
    benchmarks = dict(zip(snakemake.params.variants, map(read_json, snakemake.input), strict=True))
    write_json(snakemake.params.baseline, regression.make_baseline(benchmarks))
