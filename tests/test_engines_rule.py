"""`snakemake engines` from a checkpoint to its table, in the programs that the config chooses."""

import shutil
from typing import get_args

import pytest
import yaml

from assay.engines.programs import PROGRAMS
from assay.engines.table import PASSES
from assay.workflow.config import load_config
from assay.workflow.config_models.commands_yaml import Engines
from assay.workflow.files import read_json
from shared.opt_in import installs
from shared.workflow_copy import ROOT, lay_out, snakemake


def test_the_config_names_every_program():
    [choice] = get_args(Engines.model_fields["programs"].annotation)
    allowed = get_args(get_args(choice)[0])
    assert list(allowed) == load_config(ROOT / "config")["engines"]["programs"] == list(PROGRAMS)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the workflow with the smallest student and its labelled splits."""
    tree = tmp_path_factory.mktemp("engines")
    lay_out(tree)
    splits = load_config(ROOT / "config")["dataset"]["splits"].values()
    for path in ["data/checkpoints/ultra_tiny.pt", *splits]:
        shutil.copy2(ROOT / path, tree / path)
    return tree


@pytest.mark.slow
@pytest.mark.parametrize("program", ["ase", pytest.param("lammps", marks=installs("lammps"))])
def test_the_rule_runs_a_chosen_program_and_no_other(tree, program):
    asked = {"programs": [program], "sizes": [60, 9], "size_s": 0.1, "drift_ps": 0.1}
    asked["max_drift_meV_per_atom_per_ps"] = 5  # in so short a time the total energy swings by more than it drifts
    variants = {"original": None, "tiny": None}
    (tree / "mine.yaml").write_text(yaml.safe_dump({"variants": variants, "engines": asked}))
    done = snakemake(tree, "-j", "1", "engines", "--configfile", "mine.yaml")
    assert done.returncode == 0, done.stdout
    [found] = read_json(tree / "results/engines/engines.json")["students"].values()
    assert list(found["programs"]) == [program]
    measured = found["programs"][program]
    assert len(measured["cases"]) == 2, measured
    assert {case["verdict"] for case in measured["cases"].values()} == {PASSES}, measured
    small, large = measured["speed"]
    assert small["n_atoms"] < large["n_atoms"] and min(small["ms_per_step"], large["ms_per_step"]) > 0.0
    page = (tree / "results/engines/engines.md").read_text()
    assert page.count(f"| ultra_tiny | {PROGRAMS[program].title} |") == 3
    assert not (tree / "results/ultra_tiny/model.metatomic.pt").exists()
