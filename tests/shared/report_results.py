"""Results of three students as the rules leave them, small and made up: what the tests of the report read."""

from __future__ import annotations

import json
import os
import re

import ase.io
import numpy as np
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from assay.accuracy.training_data import TrainingData
from assay.report import dag
from assay.report.evidence import read_students
from assay.report.page import write_markdown, write_page
from assay.report.summary import summarize, write_comparison
from assay.workflow import plots
from assay.workflow.config_models.config_yaml import Targets

GOALS = Targets(force_accuracy=0.95, speedup_over_teacher=5.0, latency_ms=4.0, dag_speedup=1.2)
STUDENTS = {"original": (427_292, 1.0), "tiny": (77_203, 1.6), "ultra_tiny": (21_459, 2.9)}
JOBS = [("validate", name, 1e9 + k, 10.0) for k, name in enumerate(STUDENTS)]
RUNTIMES = {
    "eager": ("model.safetensors", 6.0),
    "onnx": ("model.onnx", 1.0),
    "compiled": ("model.pt2", 0.7),
    "onnx int8": ("model.int8.onnx", 0.6),
}
SIZES, BATCHES = (5, 20, 60), (1, 8, 64)
SPLITS = ("seen_molecules", "unseen_molecules", "larger_molecules")
MOLECULES = ("CH3CH2OH", "C6H6", "CH3SH", "bicyclobutane", "C2H6CHOH", "SiH4")
CHECKS = {"rotation": "screening", "forces_are_gradient": "screening", "nve_drift": "dynamics", "torsions": "dynamics"}


def make_results(folder, students=STUDENTS):
    """Write results/<student>/ for each student into ``folder``, complete but for files that no one reads."""
    drawn = draw_figure(folder / "drawn.svg").read_bytes()
    for name, (n_parameters, error) in students.items():
        here = folder / name
        (here / "figures").mkdir(parents=True)
        contents = {
            "model": model(name, n_parameters, folder / f"{name}.pt"),
            "accuracy": accuracy(name, error),
            "physics": physics(name, failed=["nve_drift"] if name == "ultra_tiny" else []),
            "benchmark": benchmark(name, n_parameters),
            "export": export(name, n_parameters),
            "quantization": quantization(name),
        }
        for branch, content in contents.items():
            (here / f"{branch}.json").write_text(json.dumps(content))
        (folder / f"{name}.training.json").write_text(json.dumps(training(name)))
        for file, scale in (("model.onnx", 5.0), ("model.int8.onnx", 1.6)):
            (here / file).write_bytes(bytes(int(n_parameters * scale)))
        for figure in ("parity", "errors", "novelty"):
            (here / "figures" / f"{figure}.svg").write_bytes(drawn)
        ase.io.write(here / "worst.xyz", [wrong(formula) for _ in SPLITS for formula in MOLECULES], format="extxyz")
    return folder


def wrong(formula):
    """A molecule on whose first atom the student feels 0.5 eV/angstrom along x too much."""
    atoms = molecule(formula)
    forces = atoms.positions - atoms.positions.mean(0)
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=forces)
    atoms.arrays["student_forces"] = forces.copy()
    atoms.arrays["student_forces"][0, 0] += 0.5
    return atoms


def header(name):
    return {
        "schema_version": 1,
        "variant": name,
        "checkpoint_sha256": (name.encode().hex() * 10)[:64],
        "device": "cpu",
        "device_name": "a processor",
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "created_utc": "2026-11-23T20:04:14+00:00",
    }


def model(name, n_parameters, checkpoint):
    return header(name) | {
        "architecture": "painn",
        "hyperparameters": {"hidden": 64, "n_blocks": 2, "cutoff_A": 5.0},
        "n_parameters": n_parameters,
        "n_parameters_used": n_parameters - 9,
        "elements": ["H", "C", "N", "O"],
        "tensors_sha256": "ab" * 32,
        "source": {"path": str(checkpoint), "sha256": "cd" * 32, "size_bytes": 5 * n_parameters},
    }


def training(name):
    curve = [{"step": k, "force_accuracy": 1 - 2 / k**0.4} for k in (500, 1000, 2000)]
    recipe = {"rounds": [2000], "seed": 0}
    return header(name) | {
        "curve": curve,
        "data_sets": [{"n_structures": 9000, "sha256": "01" * 32}, {"n_structures": 16802, "sha256": "23" * 32}],
        "devices": [{"device_name": "a GPU"}, {"device_name": "a processor"}],
        "hours": 0.75,
        "recipe": recipe,
    }


def accuracy(name, error):
    splits = {}
    for k, split in enumerate(SPLITS):
        relative = 0.03 * error * (1 + 0.15 * k)
        worst = [
            {
                "name": f"{formula} {k}",
                "molecule": formula,
                "n_atoms": len(molecule(formula)),
                "force_rmse_eV_per_A": 0.5 * error / (1 + j),
                "energy_error_eV_per_atom": -0.004 * error,
            }
            for j, formula in enumerate(MOLECULES)
        ]
        splits[split] = {
            "n_structures": 400,
            "n_structures_in_file": 1044 if k else 400,
            "n_atoms": 9000,
            "n_molecules": 100,
            "force_accuracy": 1 - relative,
            "force_r2": 1 - relative**2,
            "force_mae_eV_per_A": 0.9 * relative,
            "force_rmse_eV_per_A": 1.4 * relative,
            "energy_mae_eV_per_atom": 0.03 * relative,
            "energy_rmse_eV_per_atom": 0.04 * relative,
            "confidence_intervals": {"force_accuracy": [1 - 1.05 * relative, 1 - 0.95 * relative]},
            "baselines": {"zero_force_mean_energy": {"force_mae_eV_per_A": 0.9}},
            "domain": {
                "flagged_fraction": 0.1 * k,
                "unknown_pattern_fraction": 0.05 * k,
                "flagged": {"n_structures": 40 * k} | ({"force_mae_eV_per_A": 1.6 * relative} if k else {}),
                "unflagged": {"n_structures": 400 - 40 * k, "force_mae_eV_per_A": 0.8 * relative},
                "rank_correlation_with_force_rmse": 0.4,
                "unknown_patterns": {"N bonded to F, F, F": 3},
            },
            "labels": {
                "energy_unit": "eV",
                "force_unit": "eV/angstrom",
                "force_slope": 1.0,
                "force_correlation": 0.99,
                "suspicions": [],
                "outliers": [],
                "sentence": "Energies are taken for eV; forces are taken for eV/angstrom.",
            },
            "worst": worst,
        }
    coverage = {
        "N": {
            "n_training_atoms": 1234,
            "n_patterns_known": 17,
            "n_patterns_rare": 3,
            "most_frequent": {"N bonded to C, C, H": 800, "N bonded to C, H, H": 400},
        }
    }
    described = TrainingData("part", 38_464, 283_301, "45" * 32).record
    return header(name) | {"training_data": described, "coverage": coverage, "splits": splits}


def physics(name, failed):
    checks = {}
    for check, needed_for in CHECKS.items():
        value = 3.2e-3 if check in failed else 4.0e-7
        criterion = {
            "value_name": "energy_spread_eV",
            "value": value,
            "unit": "eV",
            "max": 1e-5,
            "passed": check not in failed,
            "because": "rounding stays below this",
        }
        checks[check] = {
            "question": f"does {check.replace('_', ' ')} hold?",
            "needed_for": needed_for,
            "outcome": "fail" if check in failed else "pass",
            "message": "energy spread eV is 0.0032, above 1e-05" if check in failed else "",
            "criteria": [criterion],
            "raw": {},
            "wall_s": 1.5,
            "cpu_s": 1.4,
        }
    checks["torsions"] |= {"outcome": "not applicable", "message": "the reference has no torsion", "criteria": []}
    verdict = "screening-only" if failed else "md-ready"
    body = {"verdict": verdict, "failed": failed, "not_applicable": ["torsions"], "checks": checks}
    exports = {"model.onnx": body, "model.int8.onnx": body | {"verdict": "reject", "failed": ["rotation"]}}
    return header(name) | body | {"exports": exports}


def benchmark(name, n_parameters):
    rows = []
    for runtime, (_, cost) in RUNTIMES.items():
        for size in SIZES:
            for batch in BATCHES:
                n_atoms = size * batch
                latency = 0.4 * cost + n_atoms * cost * n_parameters**0.7 * 6e-6
                row = {
                    "runtime": runtime,
                    "system_size": size,
                    "batch_size": batch,
                    "n_atoms": n_atoms,
                    "n_edges": 12 * n_atoms,
                    "latency_ms_median": latency,
                    "latency_ms_p5": 0.97 * latency,
                    "latency_ms_p95": 1.1 * latency,
                    "structures_per_s": 1e3 * batch / latency,
                    "atoms_per_s": 1e3 * n_atoms / latency,
                    "us_per_atom": 1e3 * latency / n_atoms,
                    "ns_per_day": 43.2 / latency,
                    "neighbor_search_ms_median": 0.1,
                    "peak_memory_MB": 30.0,
                    "fraction_of_matrix_peak": 0.2,
                }
                if batch == 1:
                    teacher = {"median": 0.6 * size / latency, "p5": 0.5 * size / latency, "p95": 0.7 * size / latency}
                    restarted = {share: 0.5 * value for share, value in teacher.items()}
                    row |= {"speedup_over_teacher": teacher, "speedup_over_restarted_teacher": restarted}
                rows.append(row)
    rows.append({"runtime": "onnx", "system_size": 60, "batch_size": 128, "error": "OutOfMemory: too large"})
    return header(name) | {
        "load_of_other_processes": 0.2,
        "matrix_peak": {"gflop_per_s": 90.0, "matrix_size": 1024, "dtype": "float32"},
        "runtimes": {key: {"file": file, "size_bytes": 5 * n_parameters} for key, (file, _) in RUNTIMES.items()},
        "teacher": {
            "name": "GFN2-xTB",
            "own": True,
            "rows": [
                {"call": "teacher", "system_size": n, "batch_size": 1, "n_atoms": n, "latency_ms_median": 0.6 * n}
                for n in SIZES
            ],
        },
        "rows": rows,
        "summary": {"fastest": [], "throughput_falls": []},
    }


def export(name, n_parameters):
    files = {}
    for file in ("model.onnx", "model.edges.onnx", "model.ts.pt"):
        files[file] = {
            "size_bytes": 5 * n_parameters,
            "sha256": "ef" * 32,
            "parity": {"energy_error_eV_max": 2e-6, "forces_error_eV_per_A_max": 8e-6, "passed": True, "cases": []},
            "determinism": {"runs": 200, "passed": True},
            "passed": True,
        }
    missing = {"model.pt2": "there is no C++ compiler on this machine"}
    return header(name) | {"files": files, "missing": missing, "passed": True}


def quantization(name):
    exact = dict.fromkeys(("size_ratio", "latency_ratio_batch1", "latency_ratio_batch32"), 1.0)
    exact |= {"force_mae_increase_relative": 0.0, "energy_mae_increase_relative": 0.0}
    schemes = {
        "fp32": exact | {"energy_force_consistency": 1e-5, "nve_drift_meV_per_atom_per_ps": 0.01},
        "dynamic": {
            "size_ratio": 0.38,
            "latency_ratio_batch1": 0.92,
            "latency_ratio_batch32": 0.95,
            "force_mae_increase_relative": 0.21,
            "energy_mae_increase_relative": 0.3,
            "energy_force_consistency": 0.02,
            "nve_drift_meV_per_atom_per_ps": 0.4,
        },
        "static": {
            "size_ratio": 0.31,
            "latency_ratio_batch1": 0.8,
            "latency_ratio_batch32": 0.62,
            "force_mae_increase_relative": 0.03,
            "energy_mae_increase_relative": 0.05,
            "energy_force_consistency": 1e-4,
            "nve_drift_meV_per_atom_per_ps": 0.02,
        },
    }
    for scheme in ("dynamic", "static"):
        ratios = {batch: schemes[scheme][f"latency_ratio_{batch}"] for batch in ("batch1", "batch32")}
        schemes[scheme]["latency"] = {
            batch: {"ratio": {"median": ratio, "p5": ratio - 0.04, "p95": ratio + 0.04}}
            for batch, ratio in ratios.items()
        }
    return header(name) | {
        "limits": {"size_ratio": 0.35, "latency_ratio_batch32": 0.7, "force_mae_increase_relative": 0.05},
        "schemes": schemes,
        "chosen": "static",
        "recommended": True,
        "reason": "static holds every limit",
        "arithmetic": {
            "matmul_share": 0.17,
            "best_possible_latency_ratio": 0.83,
            "attainable_latency_ratio": 0.95,
            "operator_ms": {
                "Mul": {"count": 181, "ms": 38.0, "share": 0.34},
                "Gemm": {"count": 21, "ms": 11.0, "share": 0.1},
            },
            "products": [],
        },
    }


def make_benchmarks(folder, jobs):
    """Snakemake's tables for jobs (rule, variant, start, duration), the last of them ending at ``start + duration``."""
    for rule, variant, start, duration in jobs:
        path = folder / rule / f"{variant}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {
            "s": f"{duration:.4f}",
            "h:m:s": "0:00:10",
            "max_rss": "420.5",
            "mean_load": "99.0",
            "cpu_time": "NA",
        }
        path.write_text("\t".join(columns) + "\n" + "\t".join(columns.values()) + "\n")
        os.utime(path, (start + duration, start + duration))
    return folder


def draw_figure(path):
    """Draw a figure with a density, and with every character that markup or addresses treat apart."""
    with plots.figure(path, 1, 2) as (_, axes):
        axes[0, 0].plot([1.0, 10.0], [0.123456, 2.0], label='teacher\'s "own"')
        axes[0, 0].set(xscale="log", title="a < b & c > 50 % of #1", ylabel="energy (eV/Å)")
        axes[0, 0].legend()
        plots.density(axes[0, 1], *np.random.default_rng(0).normal(size=(2, 500)))
    return path


def read(folder):
    return read_students(folder / name for name in STUDENTS)


def write_report(target, folder, benchmarks, teachers=None):
    """Every file of the report into the folder ``target``; its summary. The teacher of all is GFN2-xTB by default."""
    target.mkdir(exist_ok=True)
    students = read(folder)
    data = {"unseen_molecules": folder / "original/model.json"}
    times = dag.summarize(dag.read_jobs(benchmarks, STUDENTS, ["validate"]))
    summary = summarize(students, times, GOALS, teachers or dict.fromkeys(STUDENTS, "GFN2-xTB"), data)
    write_page(target / "report.html", summary, students, [])
    write_markdown(target / "report.md", summary)
    write_comparison(target / "comparison.csv", summary)
    return summary


def change(folder, branch, edit, students=STUDENTS):
    """Rewrite a JSON of every student, or of some."""
    for name in students:
        path = folder / name / f"{branch}.json"
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))


def cells(text, table):
    """Texts of the cells of a table's rows."""
    body = re.search(rf'<table class="{table}">.*?<tbody>(.*?)</tbody>', text, re.S).group(1)
    texts = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in body.split("</tr>")[:-1]]
    return [[re.sub(r"<[^>]+>", "", cell).strip() for cell in row] for row in texts]
