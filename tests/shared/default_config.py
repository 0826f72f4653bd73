"""The config that comes with the code, and its keys."""

import json
from pathlib import Path

from assay.workflow.config import load_config

FOLDER = Path(__file__).parents[2] / "config"
DEFAULT = json.loads(json.dumps(load_config(FOLDER)))  # parts that YAML's aliases share become parts of their own
FREE = ("arguments", "hyperparameters")  # what these hold is known to the calculator and to the network alone


def paths(entry, path=()):
    """Every key of a config, as a tuple of keys and indices."""
    parts = entry.items() if isinstance(entry, dict) else enumerate(entry) if isinstance(entry, list) else ()
    for key, value in parts:
        yield (*path, key)
        if key not in FREE:
            yield from paths(value, (*path, key))
