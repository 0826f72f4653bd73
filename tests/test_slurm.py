"""The workflow on a cluster: a real Slurm of one node, by the profile that is shipped for it."""

import importlib.util
import json
import re
import subprocess
import sys

import pytest

from shared.slurm import one_node, why_missing
from shared.workflow_copy import ROOT

PLUGIN = "snakemake_executor_plugin_slurm"

PROFILE = ["--workflow-profile", ROOT / "profiles/slurm", "--slurm-init-seconds-before-status-checks", "5"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec(PLUGIN) is None, reason=f"{PLUGIN} is not installed"),
]


def run(folder, *arguments):
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", *PROFILE, "--jobs", "2", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


def test_a_command_line_that_drops_the_device_of_the_profile_is_refused(tmp_path):
    """Before anything is submitted, so that no Slurm is needed."""
    done = run(tmp_path, "--config", "accuracy={seed: 3}", "--", "results/ultra_tiny/model.json")
    assert done.returncode == 1 and "each node would choose a device of its own" in done.stderr, done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.skipif(why_missing() is not None, reason=str(why_missing()))
def test_a_student_is_judged_through_sbatch(tmp_path):
    target = "results/ultra_tiny/accuracy.json"
    (tmp_path / "slurm").mkdir()
    with one_node(tmp_path / "slurm"):
        done = run(tmp_path, target)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / target).read_text())["variant"] == "ultra_tiny"
    submitted = set(re.findall(r"slurm_logs/rule_(\w+)/", done.stderr))
    assert submitted >= {"normalize", "describe", "domain", "validate"} and "adopt" not in submitted
