"""Write the report of all variants: a page for people, data for machines."""

from pathlib import Path

from assay.report import dag
from assay.report.engines import read_engines
from assay.report.evidence import read_students, require_current
from assay.report.gpu_earlier import read_earlier_gpu
from assay.report.page import write_markdown, write_page
from assay.report.peers import read_peers
from assay.report.properties import read_properties
from assay.report.summary import summarize, write_comparison
from assay.workflow.config_models.config_yaml import Targets
from assay.workflow.errors import exit_on_error
from assay.workflow.files import write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("report")

with exit_on_error(log=snakemake.log[0]):
    folder = Path(snakemake.output.summary).parents[1]
    students = read_students(folder / variant for variant in snakemake.params.variants)
    require_current(students)
    jobs = dag.read_jobs(folder.parent / "benchmarks", snakemake.params.tables, snakemake.params.timed)
    goals = Targets(**snakemake.params.targets)
    summary = summarize(students, dag.summarize(jobs), goals, snakemake.params.teachers, snakemake.params.data)
    summary["peers"] = read_peers(folder / "peers/peers.json", students)
    summary["properties"] = read_properties(folder, students, **snakemake.params.properties)
    summary["earlier_gpu"] = read_earlier_gpu(
        snakemake.input.gpu, students, snakemake.params.shipped, summary["device"]
    )
    summary["engines"] = read_engines(folder / "engines", students)
    more = [(summary[section] or {}).get("figure") for section in ("properties", "engines")]
    drawn = [*snakemake.input.figures, *filter(None, more)]
    write_json(snakemake.output.summary, summary)
    write_comparison(snakemake.output.comparison, summary)
    write_markdown(snakemake.output.markdown, summary)
    write_page(snakemake.output.page, summary, students, [Path(path) for path in drawn])
