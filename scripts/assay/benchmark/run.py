"""Times every runtime of a student at every size and batch, beside its teacher, in one interleaved run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from assay.benchmark.memory import PeakMemory, largest_cache_MB, share_session_memory
from assay.benchmark.points import Point, choose_points
from assay.benchmark.throughput import falls
from assay.benchmark.timing import Call, Timing, clock, interleave, matrix_peak, ratio
from assay.neighbors.lists import neighbor_list
from assay.predictors.calculators import CallInWorker
from assay.predictors.interface import BatchPredictor, load_runtime
from assay.sampling.teacher import Labels, Teacher
from assay.structures.geometry import moved
from assay.structures.structure import Structure, collate
from assay.workflow.config_models import config_yaml
from assay.workflow.errors import AssayError

SUMMARY = ("runtime", "system_size", "batch_size", "n_atoms", "latency_ms_median", "structures_per_s", "atoms_per_s",
           "us_per_atom", "ns_per_day", "speedup_over_teacher", "fraction_of_matrix_peak")  # fmt: skip


class Benchmark:
    """One run over all points.

    Args:
        files: model files by the name of their runtime (see ``load_runtime``); where "eager" is among them, floating
            point operations are counted and ratios to it are given.
        structures: the structures to choose from; where the model knows none of them, nothing is timed.
        teacher: the teacher whose calls are timed beside those of the student; None times none.
        settings: the sizes, batches and times to measure.
        device: "cpu" or "cuda".
        threads: the number of CPU threads.

    Raises:
        AssayError: no runtime can load its model file, or there is no structure.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        structures: Sequence[Structure],
        teacher: Teacher | None,
        settings: config_yaml.Benchmark,
        device: str,
        threads: int,
    ):
        self.settings, self.teacher, self.device, self.threads = settings, teacher, device, threads
        self.timed = clock(device)
        self.runtimes: dict[str, BatchPredictor] = {}
        self.on_one_thread: dict[str, BatchPredictor] = {}  # the same engines once more, which choose their threads
        self.about: dict[str, dict[str, Any]] = {}
        self.first: dict[tuple[str, tuple[int, int]], dict[str, Any]] = {}
        self.points = choose_points(structures, settings) if structures else []
        share_session_memory()
        for name, path in files.items():
            self._load(name, path)
        if not self.runtimes:
            reasons = "; ".join(row["error"] for row in self.about.values())
            raise AssayError(f"no runtime can load its model file ({reasons}): make the files again")

    def run(self) -> dict[str, Any]:
        """Measure everything and return the body of ``benchmark.json``."""
        peak, gflops = matrix_peak(self.device), self._count_gflops()
        rows, teachers = [], []
        for point in self.points:
            found, teacher = self._measure(point, peak["gflop_per_s"], gflops.get(point.key))
            rows += found
            teachers += teacher
        cache_MB = largest_cache_MB() if self.device == "cpu" else None
        return {
            "matrix_peak": peak,
            "largest_cache_MB": cache_MB,
            "runtimes": self.about,
            "teacher": {"name": self.teacher.name if self.teacher else None, "rows": teachers},
            "rows": rows,
            "summary": summarize(rows, cache_MB),
        }

    def _load(self, name: str, path: Path) -> None:
        """Load a runtime and call it once at every point, smallest first: its memory, first calls and failures."""
        self.about[name] = {"file": path.name, "size_bytes": path.stat().st_size}
        memory, start = PeakMemory(self.device), time.perf_counter()
        try:
            predictor = load_runtime(name, path, device=self.device, threads=self.threads)
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
        if predictor.runtime == "libassay" and self.threads > 1:
            alone = load_runtime(name, path, device=self.device, threads=1)
            assert isinstance(alone, BatchPredictor)
            self.on_one_thread[name] = alone
        for point in sorted(self.points, key=lambda point: point.n_atoms):
            self.first[name, point.key] = self._first_call(predictor.timed_call(point.structures), memory)
        predictor.give_back_memory()  # of points that may never be timed

    def _first_call(self, call: Call, memory: PeakMemory) -> dict[str, Any]:
        durations: list[float] = []
        try:
            peak = memory.of(lambda: durations.append(self.timed(call)))
        except Exception as error:  # whatever a runtime raises is a result
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        return {"first_call_ms": durations[0] * 1e3, "peak_memory_MB": peak}

    def _count_gflops(self) -> dict[tuple[int, int], float]:
        """Count floating point operations at every point where "eager" did not fail, in 10^9."""
        points = [p for p in self.points if "error" not in self.first.get(("eager", p.key), {"error": "not run"})]
        sizes = [(point.n_atoms, self._search(point)[1] or 0) for point in points]
        batches = [point.structures for point in points]
        counts = count_gflops(self.runtimes["eager"], batches, sizes) if points else []
        return dict(zip((point.key for point in points), counts, strict=True))

    def _measure(
        self, point: Point, peak_gflop_per_s: float, gflop: float | None
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Time all runtimes and the teacher at one point; their rows."""
        size, batch_size = point.key
        detailed = batch_size in self.settings.detailed_batch_sizes
        able = {name: p for name, p in self.runtimes.items() if not self._left_out(name, point)}
        search, n_edges = self._search(point)
        calls: dict[str, Call] = {name: p.timed_call(point.structures) for name, p in able.items()}
        if search is not None:
            calls["neighbor search"] = search
        if detailed:
            prepared = {f"{name}, neighbors known": p.prepare(point.structures) for name, p in able.items()}
            calls |= {name: call for name, call in prepared.items() if call is not None}
            calls |= {
                f"{name}, one thread": p.timed_call(point.structures)
                for name, p in self.on_one_thread.items()
                if name in able
            }
        if detailed and self.teacher and not self._is_large(point):
            calls |= teacher_calls(self.teacher, point.structures)
        first_s = {name: self.first[name, point.key]["first_call_ms"] / 1e3 for name in able}
        timings = interleave(
            calls,
            self.settings.seconds,
            min_rounds=self.settings.min_rounds,
            max_rounds=self.settings.max_rounds,
            timed=self.timed,
            first_s=first_s | {f"{name}, neighbors known": first_s[name] for name in able},  # the same computation
        )
        common: dict[str, Any] = {
            "system_size": size,
            "batch_size": batch_size,
            "n_atoms": point.n_atoms,
            "n_edges": n_edges,
        }
        rows = []
        for name in self.runtimes:
            row = {"runtime": name, **common, **self.first[name, point.key]}
            if name in able:
                row |= describe(timings, name, common, self.settings.time_step_fs)
                if isinstance(call := calls[name], CallInWorker):
                    row["transfer_ms_median"] = float(np.median(call.transfer_s)) * 1e3
                rate = None if gflop is None else gflop / timings[name].median_s
                row |= {
                    "matrix_gflop": gflop,
                    "fraction_of_matrix_peak": None if rate is None else rate / peak_gflop_per_s,
                }
            rows.append(row)
        teacher = [
            {"call": name, **common, **timings[name].summary()}
            for name in ("teacher", "teacher restarted")
            if name in timings
        ]
        return rows, teacher

    def _is_large(self, point: Point) -> bool:
        """Tell whether the structure is larger than those that are timed in batches."""
        return point.system_size > max(self.settings.system_sizes)

    def _left_out(self, name: str, point: Point) -> bool:
        """Tell whether a runtime failed at a point, or is too slow at a large one to be called again and again."""
        first = self.first[name, point.key]
        if self._is_large(point) and first.get("first_call_ms", 0.0) > 1e3 * self.settings.longest_s:
            first["left_out"] = f"its first call took more than {self.settings.longest_s:g} s"
        return "error" in first or "left_out" in first

    def _search(self, point: Point) -> tuple[Call | None, int | None]:
        """Return the neighbor search of a batch as a call, and the number of directed edges that it finds.

        Both are None where the cutoff of the model is not known.
        """
        cutoff = max(predictor.cutoff_A for predictor in self.runtimes.values())
        if not np.isfinite(cutoff):
            return None, None
        _, positions, batch = collate(point.structures, self.device, torch.float64)
        search = partial(neighbor_list, positions, batch, cutoff)
        return search, search()[0].shape[1]


def teacher_calls(teacher: Teacher, structures: Sequence[Structure]) -> dict[str, Call]:
    """Return two calls of the teacher: one from scratch on the next structure, one as dynamics makes it.

    The second starts from the density of a geometry 0.001 angstrom away. The teacher is made once, so that its time is
    without loading it; that of one in a process of its own is that inside the process.
    """
    cycled, moving, draw = itertools.cycle(structures), structures[0], np.random.default_rng(0)

    def fresh() -> Structure:
        return next(cycled)

    def near() -> Structure:
        return moved(moving, moving.positions + draw.normal(scale=1e-3, size=moving.positions.shape))

    if teacher.runs_apart:
        process = teacher.process()
        return {
            "teacher": CallInWorker(process, lambda: [fresh()]),
            "teacher restarted": CallInWorker(process, lambda: [near()], afresh=False),
        }
    anew, going_on = Labels(teacher), Labels(teacher)

    def label(labels: Labels, structure: Structure) -> object:
        return labels(structure.atomic_numbers, structure.positions, structure.cell, structure.pbc)

    def from_scratch() -> object:
        anew.forget()
        return label(anew, fresh())

    return {"teacher": from_scratch, "teacher restarted": lambda: label(going_on, near())}


def describe(
    timings: Mapping[str, Timing], name: str, common: Mapping[str, Any], time_step_fs: float
) -> dict[str, Any]:
    """Turn the timings of a point into the row of one runtime."""
    own = timings[name]
    known, search = timings.get(f"{name}, neighbors known"), timings.get("neighbor search")
    row = own.summary() | {
        "structures_per_s": common["batch_size"] / own.median_s,
        "atoms_per_s": common["n_atoms"] / own.median_s,
        "us_per_atom": own.median_s / common["n_atoms"] * 1e6,
        "ns_per_day": 86400.0 / own.median_s * time_step_fs * 1e-6,
        "neighbor_search_ms_median": None if search is None else search.median_s * 1e3,
        "latency_neighbors_known_ms_median": None if known is None else known.median_s * 1e3,
    }
    if "eager" in timings:
        row["latency_ratio_to_eager"] = ratio(own, timings["eager"])
    if f"{name}, one thread" in timings:
        row["latency_ratio_to_one_thread"] = ratio(own, timings[f"{name}, one thread"])
    for call, key in (("teacher", "speedup_over_teacher"), ("teacher restarted", "speedup_over_restarted_teacher")):
        if call in timings:
            row[key] = {part: common["batch_size"] * value for part, value in ratio(timings[call], own).items()}
    return row


def count_gflop(predictor: BatchPredictor, structures: Sequence[Structure]) -> float:
    """Count the floating point operations, in 10^9, of the matrix products of one evaluation of energy and forces."""
    with FlopCounterMode(display=False) as counter:
        predictor.evaluate(structures)
    return counter.get_total_flops() / 1e9


def count_gflops(
    predictor: BatchPredictor, batches: Sequence[Sequence[Structure]], sizes: Sequence[tuple[int, int]]
) -> list[float]:
    """Do as ``count_gflop`` for many batches, most of which are not evaluated.

    A product of a network has a row for each atom or each edge, so that the count is linear in their numbers. The three
    smallest batches give the factors and prove them: where they contradict each other, every batch is counted.

    Args:
        predictor: what is counted.
        batches: structures of each batch.
        sizes: numbers of atoms and of directed edges of each batch.
    """
    every = np.array(sizes, dtype=np.float64)
    smallest = np.argsort(every[:, 0], kind="stable")[:3]
    counted = [count_gflop(predictor, batches[index]) for index in smallest]
    factors, _, rank, _ = np.linalg.lstsq(every[smallest], counted)
    if len(smallest) == 3 and rank == 2 and np.allclose(every[smallest] @ factors, counted, rtol=1e-9, atol=0):
        return (every @ factors).tolist()
    return [count_gflop(predictor, batch) for batch in batches]


def summarize(rows: Sequence[Mapping[str, Any]], cache_MB: float | None) -> dict[str, Any]:
    """Find the fastest runtime at each point, and where throughput falls with batch size."""
    timed = [row for row in rows if "latency_ms_median" in row]
    fastest = []
    for key in dict.fromkeys((row["system_size"], row["batch_size"]) for row in timed):
        here = [row for row in timed if (row["system_size"], row["batch_size"]) == key]
        best = min(here, key=lambda row: row["latency_ms_median"])
        fastest.append({name: best[name] for name in SUMMARY if name in best})
    return {"fastest": fastest, "throughput_falls": falls(timed, cache_MB)}
