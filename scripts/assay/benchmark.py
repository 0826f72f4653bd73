"""How fast a student is: every runtime at every size and batch, beside its teacher, in one interleaved run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from assay.data.teacher import Labels, Teacher
from assay.errors import AssayError
from assay.memory import PeakMemory
from assay.neighbors import neighbor_list
from assay.predictors import BatchPredictor, load_predictor
from assay.structures import Structure, collate, nearest_in_size
from assay.timing import Call, Timing, clock, interleave, matrix_peak, ratio

FALL = 0.05  # by which throughput must fall with batch size to be called a fall
SUMMARY = ("runtime", "system_size", "batch_size", "n_atoms", "latency_ms_median", "structures_per_s", "atoms_per_s",
           "us_per_atom", "ns_per_day", "speedup_over_teacher", "fraction_of_matrix_peak")  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        system_sizes: atoms; the structures of the data nearest to each are taken.
        batch_sizes: structures in one call.
        detailed_batch_sizes: of them, where the teacher and calls without neighbor search are timed too.
        max_atoms: larger batches are left out.
        seconds: for which each call is measured at each point.
        min_rounds: turns of each call at least.
        max_rounds: and at most.
        time_step_fs: of the dynamics whose speed is told in ns/day.
    """

    system_sizes: Sequence[int]
    batch_sizes: Sequence[int]
    detailed_batch_sizes: Sequence[int]
    max_atoms: int
    seconds: float
    min_rounds: int
    max_rounds: int
    time_step_fs: float


@dataclass(frozen=True)
class Point:
    """One batch that every runtime evaluates.

    Attributes:
        system_size: atoms that a structure should have.
        structures: of about that size.
    """

    system_size: int
    structures: list[Structure]

    @property
    def n_atoms(self) -> int:
        """Of the batch."""
        return sum(map(len, self.structures))

    @property
    def key(self) -> tuple[int, int]:
        """System size and batch size."""
        return self.system_size, len(self.structures)


class Benchmark:
    """One run over all points.

    Args:
        files: model files by the name of their runtime; where "eager" is among them, floating point operations are
            counted and ratios to it are given.
        structures: to choose from.
        teacher: whose calls are timed beside.
        settings: what is measured.
        device: "cpu" or "cuda".
        threads: of the CPU.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        structures: Sequence[Structure],
        teacher: Teacher,
        settings: Settings,
        device: str,
        threads: int,
    ):
        self.settings, self.teacher, self.device, self.threads = settings, teacher, device, threads
        self.timed = clock(device)
        self.points = choose_points(structures, settings)
        self.runtimes: dict[str, BatchPredictor] = {}
        self.about: dict[str, dict[str, Any]] = {}
        self.first: dict[tuple[str, tuple[int, int]], dict[str, Any]] = {}
        for name, path in files.items():
            self._load(name, path)
        if not self.runtimes:
            reasons = "; ".join(row["error"] for row in self.about.values())
            raise AssayError(f"no runtime can load its model file ({reasons}): make the files again")

    def run(self) -> dict[str, Any]:
        """Measure everything: the body of benchmark.json."""
        peak = matrix_peak(self.device)
        rows, teachers = [], []
        for point in self.points:
            found, teacher = self._measure(point, peak["gflop_per_s"])
            rows += found
            teachers += teacher
        return {
            "matrix_peak": peak,
            "runtimes": self.about,
            "teacher": {"name": self.teacher.name, "rows": teachers},
            "rows": rows,
            "summary": summarize(rows),
        }

    def _load(self, name: str, path: Path) -> None:
        """Load a runtime and let it meet every point once, smallest first: its memory, first calls and failures."""
        self.about[name] = {"file": path.name, "size_bytes": path.stat().st_size}
        memory, start = PeakMemory(self.device), time.perf_counter()
        try:
            predictor = load_predictor(path, device=self.device, threads=self.threads)
        except AssayError as error:
            self.about[name]["error"] = str(error)
            return
        assert isinstance(predictor, BatchPredictor)
        self.about[name] |= {
            "load_s": time.perf_counter() - start,
            "runtime": predictor.runtime,
            "device": predictor.device,
            "dtype": predictor.dtype,
        }
        self.runtimes[name] = predictor
        for point in sorted(self.points, key=lambda point: point.n_atoms):
            self.first[name, point.key] = self._first_call(partial(predictor.evaluate, point.structures), memory)

    def _first_call(self, call: Call, memory: PeakMemory) -> dict[str, Any]:
        durations: list[float] = []
        try:
            peak = memory.of(lambda: durations.append(self.timed(call)))
        except Exception as error:  # whatever a runtime raises is a result
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        return {"first_call_ms": durations[0] * 1e3, "peak_memory_MB": peak}

    def _measure(self, point: Point, peak_gflop_per_s: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows of all runtimes, and of the teacher, at one point."""
        size, batch_size = point.key
        detailed = batch_size in self.settings.detailed_batch_sizes
        able = {name: p for name, p in self.runtimes.items() if "error" not in self.first[name, point.key]}
        search, n_edges = self._search(point)
        calls: dict[str, Call] = {name: partial(p.evaluate, point.structures) for name, p in able.items()}
        calls["neighbor search"] = search
        if detailed:
            prepared = {f"{name}, neighbors known": p.prepare(point.structures) for name, p in able.items()}
            calls |= {name: call for name, call in prepared.items() if call is not None}
            calls |= teacher_calls(self.teacher, point.structures)
        timings = interleave(
            calls,
            self.settings.seconds,
            min_rounds=self.settings.min_rounds,
            max_rounds=self.settings.max_rounds,
            timed=self.timed,
            first_s={name: self.first[name, point.key]["first_call_ms"] / 1e3 for name in able},
        )
        gflop = count_gflop(able["eager"], point.structures) if "eager" in able else None
        common = {"system_size": size, "batch_size": batch_size, "n_atoms": point.n_atoms, "n_edges": n_edges}
        rows = []
        for name in self.runtimes:
            row = {"runtime": name, **common, **self.first[name, point.key]}
            if name in able:
                row |= describe(timings, name, common, self.settings.time_step_fs)
                rate = None if gflop is None else gflop / timings[name].median_s
                row |= {
                    "matrix_gflop": gflop,
                    "fraction_of_matrix_peak": None if rate is None else rate / peak_gflop_per_s,
                }
            rows.append(row)
        teacher = [
            {"call": name, **common, **timings[name].summary()} for name in ("teacher", "teacher restarted") if detailed
        ]
        return rows, teacher

    def _search(self, point: Point) -> tuple[Call, int]:
        """The neighbor search of a batch, and the number of directed edges that it finds."""
        cutoff = max(predictor.cutoff_A for predictor in self.runtimes.values())
        _, positions, batch = collate(point.structures, self.device)
        search = partial(neighbor_list, positions, batch, cutoff)
        return search, search()[0].shape[1]


def choose_points(structures: Sequence[Structure], settings: Settings) -> list[Point]:
    """For each system size the batches that fit, of open structures nearest to it, repeated where there are too few."""
    if not structures:
        raise AssayError("there is no structure to time, in dataset.splits of the config: name splits that hold some")
    open_ = [structure for structure in structures if not structure.pbc.any()] or list(structures)
    points = []
    for size in settings.system_sizes:
        nearest = nearest_in_size(open_, size)[: max(settings.batch_sizes)]
        for batch_size in sorted(settings.batch_sizes):
            batch = list(itertools.islice(itertools.cycle(nearest), batch_size))
            if batch_size == 1 or sum(map(len, batch)) <= settings.max_atoms:
                points.append(Point(size, batch))
    return points


def teacher_calls(teacher: Teacher, structures: Sequence[Structure]) -> dict[str, Call]:
    """One call of the teacher for one structure, a new one each time: from scratch, and as dynamics does it, from the
    density of a geometry 0.001 angstrom away.
    """
    fresh, moving = itertools.cycle(structures), structures[0]
    draw, labels = np.random.default_rng(0), Labels(teacher)

    def from_scratch() -> object:
        structure = next(fresh)
        return Labels(teacher)(structure.atomic_numbers, structure.positions)

    def restarted() -> object:
        step = draw.normal(scale=1e-3, size=moving.positions.shape)
        return labels(moving.atomic_numbers, moving.positions + step)

    return {"teacher": from_scratch, "teacher restarted": restarted}


def describe(
    timings: Mapping[str, Timing], name: str, common: Mapping[str, int], time_step_fs: float
) -> dict[str, Any]:
    """What the timings of a point say about one runtime."""
    own = timings[name]
    known = timings.get(f"{name}, neighbors known")
    row = own.summary() | {
        "structures_per_s": common["batch_size"] / own.median_s,
        "atoms_per_s": common["n_atoms"] / own.median_s,
        "us_per_atom": own.median_s / common["n_atoms"] * 1e6,
        "ns_per_day": 86400.0 / own.median_s * time_step_fs * 1e-6,
        "neighbor_search_ms_median": timings["neighbor search"].median_s * 1e3,
        "latency_neighbors_known_ms_median": None if known is None else known.median_s * 1e3,
    }
    if "eager" in timings:
        row["latency_ratio_to_eager"] = ratio(own, timings["eager"])
    for call, key in (("teacher", "speedup_over_teacher"), ("teacher restarted", "speedup_over_restarted_teacher")):
        if call in timings:
            row[key] = {part: common["batch_size"] * value for part, value in ratio(timings[call], own).items()}
    return row


def count_gflop(predictor: BatchPredictor, structures: Sequence[Structure]) -> float:
    """10^9 floating point operations in the matrix products of one evaluation, energy and forces."""
    with FlopCounterMode(display=False) as counter:
        predictor.evaluate(structures)
    return counter.get_total_flops() / 1e9


def summarize(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The fastest runtime at each point, and whether throughput ever falls with batch size."""
    timed = [row for row in rows if "latency_ms_median" in row]
    fastest = []
    for key in dict.fromkeys((row["system_size"], row["batch_size"]) for row in timed):
        here = [row for row in timed if (row["system_size"], row["batch_size"]) == key]
        best = min(here, key=lambda row: row["latency_ms_median"])
        fastest.append({name: best[name] for name in SUMMARY if name in best})
    return {"fastest": fastest, "throughput_falls": falls(timed)}


def falls(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Where a larger batch has fewer atoms a second than the smaller one before it; its structures may be larger."""
    found = []
    for key in dict.fromkeys((row["runtime"], row["system_size"]) for row in rows):
        curve = sorted(
            (row for row in rows if (row["runtime"], row["system_size"]) == key), key=lambda row: row["batch_size"]
        )
        for small, large in itertools.pairwise(curve):
            if large["atoms_per_s"] < (1.0 - FALL) * small["atoms_per_s"]:
                step = {"runtime": key[0], "system_size": key[1], "from_batch": small["batch_size"]}
                change = large["atoms_per_s"] / small["atoms_per_s"]
                found.append(step | {"to_batch": large["batch_size"], "throughput_ratio": change})
    return found
