"""Part 2: how long energies and forces take, from one molecule to 20,000 atoms, beside networks of other packages."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.benchmark.points import Point, choose_points
from assay.benchmark.timing import Call, clock, interleave, matrix_peak
from assay.checkpoint import normalize
from assay.gpu_hour.hour import Hour, Piece
from assay.gpu_hour.names import KEPT, KERNELS, PEAK
from assay.gpu_hour.parity import examples
from assay.gpu_hour.runtimes import NAMES, load_runtime_of
from assay.models import count_parameters
from assay.peers.network import PEERS, Size, load_peers
from assay.predictors.gpu import GpuPredictor
from assay.predictors.interface import BatchPredictor
from assay.runtime.gpu.neighbors import lists_all_pairs
from assay.structures.structure import Structure
from assay.workflow.config_models.config_yaml import Benchmark
from assay.workflow.errors import AssayError

BOX_ATOMS = 20_000
SPACE_A = 1.5  # between the molecules of two images of the box


def settings(dry: bool) -> Benchmark:
    """The sizes and batches that are timed."""
    full = Benchmark(
        system_sizes=[20], single_sizes=[100, 1000, 5000, BOX_ATOMS], batch_sizes=[1, 4, 16, 64, 256, 1024],
        detailed_batch_sizes=[], max_atoms=40_000, seconds=0.25, min_rounds=5, max_rounds=50, longest_s=2.0,
        time_step_fs=0.5,
    )  # fmt: skip
    less = {"single_sizes": [60], "batch_sizes": [1, 2], "seconds": 0.01, "max_rounds": 5}
    return full.model_copy(update=less) if dry else full


def in_box(structure: Structure) -> Structure:
    """A droplet that repeats in a box just large enough, so that its density stays that of a liquid."""
    low, high = structure.positions.min(0), structure.positions.max(0)
    return replace(structure, cell=np.diag(high - low + SPACE_A), pbc=np.ones(3, bool))


def pieces(hour: Hour, folder: Path) -> dict[str, Piece]:
    """What is measured: each point of each student, all of its runtimes in turns.

    Args:
        hour: the device and the time.
        folder: where exported files are made.
    """
    chosen = settings(hour.dry)
    points = choose_points(examples(), chosen)
    largest = points[-1]
    points.append(Point(largest.system_size, [in_box(largest.structures[0])]))
    found: dict[str, Piece] = {PEAK: lambda: matrix_peak(hour.device)}
    for variant in hour.variants:
        load = functools.cache(functools.partial(_loaded, hour, variant, folder))
        for point in points:
            box = " in a box" if point.structures[0].pbc.any() else ""
            name = f"{variant}, {len(point.structures)} x {point.system_size} atoms{box}"
            found[name] = functools.partial(_timed, hour, load, point, chosen)
    return found


def _loaded(hour: Hour, variant: str, folder: Path) -> tuple[dict[str, BatchPredictor], dict[str, str]]:
    """All runtimes and peers of a student, and the reasons why others are not available."""
    runtimes: dict[str, BatchPredictor] = {}
    reasons = {}
    for name in hour.wanted(NAMES):
        if name != "eager float64":
            try:
                runtimes[name] = load_runtime_of(hour, variant, name, folder)
            except AssayError as error:
                reasons[name] = str(error)
    checkpoint = normalize(hour.checkpoint(variant))
    model = checkpoint.build()
    h = model.hyperparameters
    n_parameters, elements = count_parameters(model), tuple(checkpoint.atomic_numbers or ())
    size = Size(n_parameters, h["n_blocks"], h["n_rbf"], model.cutoff, elements)
    peers, about = load_peers(dict.fromkeys(PEERS, folder), size, hour.device)
    reasons |= {package: f"not available: {said['error']}" for package, said in about.items() if "error" in said}
    return runtimes | peers, reasons


def _timed(hour: Hour, load: Any, point: Point, chosen: Benchmark) -> dict[str, Any]:
    runtimes, reasons = load()
    timed, first_s = clock(hour.device), {}
    calls: dict[str, Call] = {}
    rows: dict[str, Any] = {name: {"error": why} for name, why in reasons.items()}
    every = {name: predictor.timed_call(point.structures) for name, predictor in runtimes.items()}
    kernels = runtimes.get(KERNELS)
    sizes, pbc = np.array([len(s) for s in point.structures]), np.stack([s.pbc for s in point.structures])
    if isinstance(kernels, GpuPredictor) and not lists_all_pairs(sizes, pbc):
        every[KEPT] = kernels.timed_call(point.structures, search=False)
    for name, call in every.items():
        try:
            timed(call)
            first_s[name] = timed(call)
        except Exception as error:  # of memory, or of a peer: a result
            rows[name] = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
            continue
        if first_s[name] > chosen.longest_s:
            rows[name] = {"error": f"left out: its second call took {first_s[name]:.1f} s"}
        else:
            calls[name] = call
    timings = interleave(
        calls, chosen.seconds, min_rounds=chosen.min_rounds, max_rounds=chosen.max_rounds, timed=timed,
        first_s={name: first_s[name] for name in calls},
    )  # fmt: skip
    for name, timing in timings.items():
        rows[name] = timing.summary() | {"us_per_atom": timing.median_s / point.n_atoms * 1e6}
    return {"n_atoms": point.n_atoms, "batch_size": len(point.structures), "runtimes": rows}
