"""A rule's script without its rule: run on its own, or in a debugger, with what the rule would hand over."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.dag import DAG
from snakemake.iocontainers import Log, Snakemake
from snakemake.jobs import Job
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings

ROOT = Path(__file__).absolute().parents[3]  # the folder with the Snakefile that the script belongs to


def mock_snakemake(rule_name: str, **wildcards: str) -> Snakemake:
    """The ``snakemake`` object of one job of the workflow that the script belongs to.

    The folder of the Snakefile becomes the current one, wherever the script is started from, and the terminal is the
    log. The script of each rule has this between its imports and its work::

        if "snakemake" not in globals():
            from assay.workflow.standalone import mock_snakemake

            snakemake = mock_snakemake("normalize", variant="tiny")

    Wildcards on the command line go before those, and it may name files of config, as in
    ``python scripts/normalize.py variant=mine --configfile mine.yaml``.

    Args:
        rule_name: the name of the rule.
        wildcards: the value of each wildcard of the rule.

    Raises:
        SystemExit: an argument is no wildcard of the rule or has no value that the workflow knows, or an input of the
            job does not exist; the sentence says which.
    """
    parser = argparse.ArgumentParser(description=f"Run one job of the rule {rule_name}.")
    parser.add_argument("wildcards", nargs="*", metavar="NAME=VALUE", help="a wildcard of the rule")
    parser.add_argument("--configfile", nargs="+", type=Path, default=[], help="files of config")
    asked = parser.parse_args()
    for argument in asked.wildcards:
        if "=" not in argument:
            sys.exit(f"Error: {argument} is no wildcard: write it as NAME=VALUE, as in variant=tiny")
    wildcards |= dict(wildcard.split("=", 1) for wildcard in asked.wildcards)
    settings = ConfigSettings(configfiles=[path.absolute() for path in asked.configfile])
    os.chdir(ROOT)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(ResourceSettings(cores=1), settings, snakefile=ROOT / "Snakefile")._workflow
        workflow.dag_settings = DAGSettings()
        rule = workflow.get_rule(rule_name)
        for name, value in wildcards.items():
            if name not in rule.wildcard_names:
                known = ", ".join(sorted(rule.wildcard_names)) or "none"
                sys.exit(f"Error: the rule {rule_name} has no wildcard {name}: it has {known}")
            fitting = rule.wildcard_constraints.get(name, ".+")
            if fitting == "(?!)":  # as `one_of` of the rules has it
                sys.exit(
                    f"Error: the config has no {name} for the rule {rule_name}: name files of config that have one by "
                    "--configfile"
                )
            if not re.fullmatch(fitting, value):
                sys.exit(f"Error: {name}={value} is none that the workflow has: its {name} must match {fitting}")
        job = Job(rule, DAG(workflow, rules=[rule]), wildcards)
        missing = [path for path in job.input if not Path(path).exists()]
        if missing:
            sys.exit(f"Error: {missing[0]} does not exist: make it by `snakemake {missing[0]}`")
        terminal = Log(["/dev/stderr"])
        return Snakemake(
            job.input, job.output, job.params, job.wildcards, job.threads, job.resources, terminal, {}, rule_name, None
        )
