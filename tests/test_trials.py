"""What the documentation shows of ablations and compressions, from their results and from nothing else."""

from assay.report.earlier import keep
from assay.report.trials import ablation, compression, take_over
from assay.workflow.files import write_json

ABOUT = {
    "created_utc": "2026-11-27T00:00:00",
    "device_name": "a processor",
    "versions": {"torch": "2.13"},
    "load_of_other_processes": 0.5,
}
TIMES = {"median": 0.8, "p5": 0.7, "p95": 0.9}


def error(ratio, low=None, high=None, says=None):
    return {"mean": 0.1 * ratio, "ratio": ratio, "low": low, "high": high, "says": says}


def test_a_row_says_the_ratio_its_interval_and_what_follows():
    setting = {"n_parameters": 12_345, "steps": 600, "seeds": [0, 1], "time_ratio": TIMES}
    base = setting | {"setting": "base", "force_mae_eV_per_A": error(1.0), "energy_mae_eV_per_atom": error(1.0)}
    other = setting | {
        "setting": "hidden=24+rank=1",
        "force_mae_eV_per_A": error(1.5, 1.25, 1.75, "worse"),
        "energy_mae_eV_per_atom": error(0.9, 0.8, 1.2, "no difference seen"),
    }
    text = ablation({"ablation": ABOUT | {"rows": [base, other], "training_seconds": 120.0}})
    assert "| base | 12,345 | 0.800 | 100 | 1.00 | 1.00 | – |" in text
    assert "| hidden=24, rank=1 | 12,345 | 0.800 | 150 | 1.50 (1.25–1.75) | 0.900 (0.800–1.20) | worse |" in text
    assert "600 steps from 2 seeds" in text and "took 2.00 minutes" in text and "50" in text


def test_stresses_have_a_column_where_structures_have_some():
    setting = {"setting": "base", "n_parameters": 1, "steps": 1, "seeds": [0, 1], "time_ratio": TIMES,
               "stress_mae_eV_per_A3": error(1.25)}  # fmt: skip
    setting |= {"force_mae_eV_per_A": error(1.0), "energy_mae_eV_per_atom": error(1.0)}
    text = ablation({"ablation": ABOUT | {"rows": [setting], "training_seconds": 60.0}})
    assert "| stress error |" in text and "| 1.00 | 1.00 | 1.25 | – |" in text
    row = {"size_ratio": 1.0, "time_ratio": TIMES, "force_mae_ratio": 1.0, "energy_mae_ratio": 1.0,
           "energy_force_consistency": 1e-4, "nve_drift_meV_per_atom_per_ps": 0.01, "verdict": None}  # fmt: skip
    rows = [
        row | {"form": f, "kind": "bits", "failed": [], "stress_mae_ratio": r} for f, r in (("a", 1.5), ("b", None))
    ]
    found = ABOUT | {"variant": "tiny", "rows": rows, "recommendation": {"form": None, "says": ""}}
    lines = compression({"compression": found}).splitlines()
    assert "| stress error |" in lines[0] and "| 1.50 |" in lines[2] and "not measured" in lines[3]


def test_a_table_of_filters_has_a_bound_and_failed_checks_are_named():
    row = {"size_ratio": 0.5, "time_ratio": TIMES, "force_mae_ratio": 1.25, "energy_mae_ratio": 1.5,
           "energy_force_consistency": 1e-4, "nve_drift_meV_per_atom_per_ps": 0.02}  # fmt: skip
    rows = [
        row | {"form": "table-64", "kind": "table", "verdict": "reject", "failed": ["force_consistency"]},
        row | {"form": "float16", "kind": "bits", "verdict": None, "failed": []},
        row | {"form": "student", "kind": "network", "verdict": "md-ready", "failed": []},
    ]
    found = ABOUT | {"variant": "tiny", "rows": rows, "recommendation": {"form": None, "says": "Nothing pays."}}
    lines = compression({"compression": found}).splitlines()
    assert "≥ 0.800" in lines[2] and lines[2].endswith("| force consistency |")
    assert "0.800 (0.70–0.90)" in lines[3] and not lines[3].endswith("| none |")
    assert lines[4] == "| student | 0.500 | 0.800 (0.70–0.90) | 1.25 | 1.50 | 0.00010 | 0.020 | none |"
    assert "`tiny`: Nothing pays." in lines


def test_what_was_not_measured_names_its_command_and_a_run_keeps_what_was(tmp_path):
    assert "`snakemake ablate`" in ablation({}) and "`snakemake compress`" in compression({})
    write_json(tmp_path / "results.json", {"rows": [1]})
    (tmp_path / "results.svg").write_text("<svg/>")
    (tmp_path / "docs").mkdir()
    figures = take_over({"device": "cpu"}, {"ablation": tmp_path / "results.json"}, tmp_path / "docs")
    assert figures == {"device": "cpu", "ablation": {"rows": [1]}}
    assert (tmp_path / "docs/ablation.svg").read_text() == "<svg/>"
    assert keep({"device": "cuda"}, figures) == {"device": "cuda", "ablation": {"rows": [1]}}
