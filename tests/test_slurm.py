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

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_missing() is not None, reason=str(why_missing())),
    pytest.mark.skipif(importlib.util.find_spec(PLUGIN) is None, reason=f"{PLUGIN} is not installed"),
]


def test_a_student_is_judged_through_sbatch(tmp_path):
    target = "results/ultra_tiny/accuracy.json"
    profile = ["--workflow-profile", ROOT / "profiles/slurm", "--slurm-init-seconds-before-status-checks", "5"]
    (tmp_path / "slurm").mkdir()
    with one_node(tmp_path / "slurm"):
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", *profile, "--jobs", "2", target],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / target).read_text())["variant"] == "ultra_tiny"
    submitted = set(re.findall(r"slurm_logs/rule_(\w+)/", done.stderr))
    assert submitted >= {"normalize", "describe", "domain", "validate"} and "adopt" not in submitted
