"""The figures of a student as the rules draw them, from as many made-up numbers as the shipped config measures."""

from __future__ import annotations

import itertools

import numpy as np

from assay.accuracy.domain import Novelty
from assay.accuracy.figures import draw_errors, draw_novelty, draw_parity
from assay.accuracy.metrics import Errors
from assay.benchmark.figures import draw_benchmark
from assay.physics.figures import draw_all

STRUCTURES = {"seen_molecules": 620, "unseen_molecules": 1000, "larger_molecules": 96, "new_molecules": 204}
ELEMENTS = ("H", "C", "N", "O", "F", "P", "S", "Cl", "Br")
PHYSICS = ("overview", "nve", "cutoff", "continuity", "dimers", "contacts", "torsions", "vibrations", "energies")
N_ATOMS = 24  # atoms of every structure
RUNTIMES = 8


def draw_student(folder, benchmark):
    """Draw every figure of a student into its results folder; ``benchmark`` is the content of its benchmark.json."""
    draw = np.random.default_rng(0)
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    errors = {name: made_up_errors(draw, count) for name, count in STRUCTURES.items()}
    rows = {name: errors_by_size_and_element(draw) for name in STRUCTURES}
    novelties = {
        name: [Novelty(float(score), 0, ("N bonded to F",) if k % 20 == 0 else ()) for k, score in enumerate(scores)]
        for name, scores in ((name, draw.gamma(9.0, 0.08, count)) for name, count in STRUCTURES.items())
    }
    draw_parity(figures / "parity.svg", errors)
    draw_errors(figures / "errors.svg", errors, rows)
    draw_novelty(figures / "novelty.svg", errors, novelties, "38,464 of 283,301 training structures")
    draw_all(checks(draw), {name: figures / f"{name}.svg" for name in PHYSICS})
    draw_benchmark(folder / "benchmark.svg", many_runtimes(benchmark))


def made_up_errors(draw, count):
    forces = draw.standard_t(3, (count * N_ATOMS, 3))
    energy = draw.normal(-100.0, 3.0, count)
    numbers = draw.choice([1, 6, 7, 8], count * N_ATOMS)
    wrong = forces + draw.normal(scale=0.1, size=forces.shape)
    return Errors(numbers, np.full(count, N_ATOMS), energy + draw.normal(0.0, 0.05, count), energy, wrong, forces)


def errors_by_size_and_element(draw):
    sizes = [{"n_atoms_min": n, "n_atoms_max": n + 9, "force_rmse_eV_per_A": draw.uniform()} for n in (1, 11, 21, 31)]
    elements = {symbol: dict.fromkeys(("force_rmse_eV_per_A", "force_accuracy"), draw.uniform()) for symbol in ELEMENTS}
    return {"per_size": sizes, "per_element": elements}


def checks(draw):
    """Checks of physics.json: 50 criteria, and what their figures show."""
    criteria = [
        {"value_name": "energy_spread_eV", "value": 10.0 ** -draw.uniform(2, 8), "max": 1e-5, "passed": True}
        for _ in range(5)
    ]
    raw = {
        "nve": {
            "molecules": [f"molecule {k}" for k in range(6)],
            "step_0.25_fs": trace(draw),
            "step_0.5_fs": trace(draw),
        },
        "cutoff": {
            "scan_pair": "methane and water",
            "scan_distance_A": np.linspace(4.2, 5.2, 111).tolist(),
            "scan_energy_eV": noise(draw, 111),
            "scan_force_eV_per_A": noise(draw, 111),
            "energy_jump_eV": np.abs(noise(draw, 56)).tolist(),
        },
        "continuity": {"paths": [loop(draw, f"molecule {k}") for k in range(8)]},
        "dimer_curves": {"curves": curves(draw)},
        "contact_curves": {"curves": curves(draw)},
        "torsions": {"scans": {f"scan {k}": scan(draw) for k in range(13)}},
        "vibrations": {"molecules": {"all": beside(draw, 265, "frequencies_per_cm", "teacher_per_cm", 900.0)}},
        "conformers": {"molecules": {f"conformer {k}": energies(draw) for k in range(10)}},
        "tautomers": {"pairs": {f"tautomer {k}": energies(draw) for k in range(11)}},
    }
    named = [*raw, "rotation", "batch"]
    return {name: {"outcome": "pass", "message": "", "criteria": criteria, "raw": raw.get(name, {})} for name in named}


def trace(draw):
    kinds = {kind: [noise(draw, 250) for _ in range(6)] for kind in ("total_meV_per_atom", "shadow_meV_per_atom")}
    return {"time_fs": np.linspace(0.0, 500.0, 250).tolist()} | kinds


def loop(draw, name, steps=32):
    unexplained = noise(draw, steps, 1e-6)
    jump = float(np.abs(unexplained).max())
    return {"name": name, "unexplained_eV": unexplained, "energy_eV": noise(draw, steps + 1), "largest_jump_eV": jump}


def curves(draw):
    distance = np.linspace(0.6, 5.0, 55)
    wall = np.exp(3.0 * (1.2 - distance)) - np.exp(1.5 * (1.2 - distance))
    return {
        "-".join(pair): {
            "distance_A": distance.tolist(),
            "energy_eV": (wall + noise(draw, 55, 0.02)).tolist(),
            "teacher_eV": wall.tolist(),
        }
        for pair in itertools.combinations_with_replacement(ELEMENTS, 2)
    }


def scan(draw):
    return {"coordinate": np.linspace(-180, 165, 24).tolist()} | energies(draw, 24)


def energies(draw, count=4):
    return beside(draw, count, "energy_kcal_per_mol", "teacher_kcal_per_mol", 1.0)


def beside(draw, count, own, teacher, scale):
    values = np.abs(noise(draw, count, scale))
    return {own: (1.01 * values).tolist(), teacher: values.tolist()}


def noise(draw, count, scale=1.0):
    return draw.normal(scale=scale, size=count).tolist()


def many_runtimes(benchmark):
    """A benchmark with the rows of each runtime under more names, and what the chart needs beside them."""
    rows = [row | {"matrix_gflop": 1e-3 * row["n_atoms"]} for row in benchmark["rows"] if "error" not in row]
    extra = [row | {"runtime": f"{row['runtime']} {k}"} for row in rows for k in range(1, RUNTIMES // 4)]
    teacher = benchmark["teacher"]
    calls = [row | {"n_atoms": row["system_size"]} for row in teacher["rows"]]
    return benchmark | {"rows": rows + extra, "teacher": teacher | {"rows": calls}}
