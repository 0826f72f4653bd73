"""A copy of the workflow to run elsewhere: the real rules and config, and stand-ins for what they are given."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from assay.workflow.config import load_config

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "config", "docs/engines", "envs", "profiles", "rules", "scripts")
# Writes a digest of its inputs into its outputs, and notes in jobs.jsonl when it ran.
STAND_IN = """
import hashlib, json, time
from pathlib import Path

started = time.time()
time.sleep(0.2)
content = b"".join(Path(path).read_bytes() for path in snakemake.input if Path(path).is_file())
for path in snakemake.output:
    Path(path).write_text(path + hashlib.sha256(content).hexdigest())
owns_device = snakemake.resources.device_percent == 100
with Path("jobs.jsonl").open("a") as log:
    row = {"rule": snakemake.rule, "owns_device": owns_device, "started": started, "ended": time.time()}
    row["single_inputs"] = [name for name, value in snakemake.input.items() if isinstance(value, str)]
    log.write(json.dumps(row) + "\\n")
"""


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
    for path in data_files(load_config(ROOT / "config")):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(f"first {path}")


class Rule(NamedTuple):
    """A rule as it is written: the text of its inputs, its parameters and its script; empty where it has none."""

    inputs: str
    params: str
    script: str


def rules():
    """Every rule by its name."""
    found = {}
    for file in (ROOT / "rules").glob("*.smk"):
        for name, body in re.findall(r"^rule (\w+):(.*?)(?=^\S|\Z)", file.read_text(), re.DOTALL | re.MULTILINE):
            parts = [re.search(rf"    {part}:(.*?)\n    \w+:", body, re.DOTALL) for part in ("input", "params")]
            script = re.search(r'"\.\./(scripts/\w+\.py)"', body)
            texts = (part[1] if part else "" for part in parts)
            found[name] = Rule(*texts, (ROOT / script[1]).read_text() if script else "")
    return found


def data_files(entry):
    """Every file under data/ that a part of the config names."""
    if isinstance(entry, str):
        return {entry} if entry.startswith("data/") and Path(entry).suffix else set()
    parts = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
    return {path for part in parts for path in data_files(part)}


def snakemake(tree, *arguments):
    """Run Snakemake in ``tree`` as a user would; the finished process, stderr and stdout together."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    return subprocess.run(
        command,
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
    )


def snapshot(tree, folder="results"):
    """Path -> (date, content) of every file of a folder of results."""
    return {
        path.relative_to(tree / folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted((tree / folder).rglob("*"))
        if path.is_file()
    }


def changed(before, after):
    """The files that were made anew or differ in content."""
    return {path for path in after if after[path] != before.get(path)}
