"""Hold the ratios of this run's benchmarks against a stored baseline."""

from assay.benchmark import regression
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("compare_speed")

with exit_on_error(snakemake.log[0]):
    params = snakemake.params
    benchmarks = dict(zip(params.variants, map(read_json, snakemake.input.benchmarks), strict=True))
    baseline = regression.read_baseline(snakemake.input.baseline)
    comparison = regression.compare_with_baseline(benchmarks, baseline, params.tolerance)
    write_json(snakemake.output.json, comparison)
    regression.write_markdown(snakemake.output.page, comparison)
