"""What the rules share: the checked config, the variants, the device, the environment.

Needs config/config.yaml and what overrides it; makes nothing.

Every job has a log in logs/<rule>/ and a benchmark in benchmarks/<rule>/, and runs in CONDA under
--software-deployment-method conda. One that times something owns the machine: it takes `threads: workflow.cores` and
`resources: device_percent=100`.
"""

import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir, "scripts")))

from assay.workflow.config import check_config, present, resolve_device
from assay.workflow.errors import AssayError
from assay.workflow.files import sidecars

try:
    check_config(config, Path(workflow.basedir, "config", "schema.yaml"))
except AssayError as error:
    raise WorkflowError(str(error)) from None

VARIANTS = present(config["variants"])
SPLITS = present(config["dataset"]["splits"])

DEVICE = resolve_device(config["device"])

CONDA = Path(workflow.basedir, "envs", f"{DEVICE}.yaml")


wildcard_constraints:
    variant="|".join(map(re.escape, VARIANTS)),


# The identity card of a variant, and those of all. Another origin of equal weights changes them and reruns nothing.
# All that follows `adopt` takes its model or these, whether it reads them or not: Snakemake plans anew what depends on
# a checkpoint directly, and would rerun the rest.
CARD = ancient("results/{variant}/model.json")
CARDS = ancient(expand("results/{variant}/model.json", variant=VARIANTS))


def checkpoint_of(wildcards):
    """The checkpoint file of a variant, as the user gave it."""
    return VARIANTS[wildcards.variant]["checkpoint"]


def model_of(wildcards):
    """The normalized model of a variant; what follows it is planned by its content."""
    return checkpoints.adopt.get(variant=wildcards.variant).output.model
