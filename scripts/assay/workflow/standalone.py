"""A rule's script without its rule: run on its own, or in a debugger, with what the rule would hand over."""

from __future__ import annotations

from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.dag import DAG
from snakemake.iocontainers import Log, Snakemake
from snakemake.jobs import Job
from snakemake.settings.types import DAGSettings, OutputSettings, Quietness, ResourceSettings


def mock_snakemake(rule_name: str, **wildcards: str) -> Snakemake:
    """The ``snakemake`` object of one job of the workflow in the current folder; its log is the terminal.

    A script that ends up here instead of in a rule starts with::

        if "snakemake" not in globals():
            from assay.workflow.standalone import mock_snakemake

            snakemake = mock_snakemake("normalize", variant="tiny")
    """
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(ResourceSettings(cores=1), snakefile=Path("Snakefile"))._workflow
        workflow.dag_settings = DAGSettings()
        rule = workflow.get_rule(rule_name)
        job = Job(rule, DAG(workflow, rules=[rule]), wildcards)
        terminal = Log(["/dev/stderr"])
        return Snakemake(
            job.input, job.output, job.params, job.wildcards, job.threads, job.resources, terminal, {}, rule_name, None
        )
