"""Part 3: whether each runtime gives equal bits again, and keeps the energy of moving molecules."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from assay.dynamics.run import run_dynamics
from assay.gpu_hour.hour import Hour, Piece
from assay.gpu_hour.parity import ELEMENTS, examples
from assay.gpu_hour.runtimes import NAMES, load_runtime_of
from assay.structures.geometry import random_cluster
from assay.structures.structure import nearest_in_size
from assay.verification.determinism import count_results

STEP_fs, TEMPERATURE_K = 0.5, 300.0


def pieces(hour: Hour, folder: Path) -> dict[str, Piece]:
    """What is measured: determinism and dynamics at constant energy of each runtime of each student.

    Args:
        hour: the device and the time.
        folder: where exported files are made.
    """
    found: dict[str, Piece] = {}
    for variant in hour.variants:
        for name in hour.some_of(NAMES):
            load = functools.partial(load_runtime_of, hour, variant, name, folder)
            found[f"{variant}, {name}, determinism"] = functools.partial(_determinism, load, 3 if hour.dry else 50)
            found[f"{variant}, {name}, dynamics"] = functools.partial(_dynamics, load, hour.dry)
    return found


def _determinism(load: Any, runs: int) -> dict[str, Any]:
    draw = np.random.default_rng(2)
    batch = [random_cluster(draw, ELEMENTS, n_atoms, 1.9) for n_atoms in (30, 21, 5)]
    different = len(count_results(load().evaluate, batch, runs))
    return {"runs": runs, "n_atoms": sum(map(len, batch)), "different_results": different, "passed": different == 1}


def _dynamics(load: Any, dry: bool) -> dict[str, Any]:
    """The drift of the energy that velocity Verlet conserves to fourth order, of some molecules for 2 ps."""
    molecules = nearest_in_size(examples(), 20)[: 2 if dry else 16]
    n_steps = 20 if dry else 4000
    run = run_dynamics(load(), molecules, temperature_K=TEMPERATURE_K, step_fs=STEP_fs, n_steps=n_steps)
    time_ps = run.time_fs / 1000.0
    sizes = np.array([len(molecule) for molecule in molecules])
    slopes = np.polyfit(time_ps, run.shadow_eV - run.shadow_eV[0], 1)[0] / sizes * 1000.0
    spread = (run.shadow_eV - run.shadow_eV.mean(0)).std(0) / sizes * 1000.0
    return {
        "step_fs": STEP_fs,
        "duration_ps": n_steps * STEP_fs / 1000.0,
        "n_molecules": len(molecules),
        "drift_meV_per_atom_per_ps_median": float(np.median(np.abs(slopes))),
        "drift_meV_per_atom_per_ps_max": float(np.abs(slopes).max()),
        "spread_meV_per_atom_max": float(spread.max()),
        "blown_up": int(np.isfinite(run.blown_up_fs).sum()),
    }
