"""A copy of the workflow to run elsewhere: the real rules and config, and stand-ins for what they are given."""

import shutil
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config", "envs", "profiles", "rules", "scripts")


def lay_out(tree, stand_in=None, real=()):
    """Copy the workflow into ``tree``, with a line of text for each of its data files, and with the script ``stand_in``
    (None keeps the real ones) for all scripts but those in ``real``.
    """
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, tree / part)
    for script in (tree / "scripts").glob("*.py"):
        if stand_in is not None and script.name not in real:
            script.write_text(stand_in)
    for path in data_files(yaml.safe_load((tree / "config/config.yaml").read_text())):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(f"first {path}")


def data_files(entry):
    """Every file under data/ that a part of the config names."""
    if isinstance(entry, str):
        return {entry} if entry.startswith("data/") and Path(entry).suffix else set()
    parts = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
    return {path for part in parts for path in data_files(part)}
