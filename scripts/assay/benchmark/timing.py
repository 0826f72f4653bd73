"""Timing that survives a noisy machine.

Calls that are compared run interleaved, A B A B, so that whatever else the machine does hits all of them alike, and are
compared by ratios within a round. A turn begins when threads that the previous runtime left spinning have come to rest,
and a short call runs untimed until caches are its own. Warm-up lasts until a call stops getting faster. Slow calls take
part in every second, fourth ... round only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from threadpoolctl import threadpool_info, threadpool_limits

Call = Callable[[], object]
Clock = Callable[[Call], float]

SHORT_s, SETTLE_s = 0.01, 0.003  # shorter calls run untimed for that long before each turn
TURN_s = 0.006  # the least time that one turn measures
REST_s, RESTLESS, REST_LIMIT_s = 0.003, 0.2, 0.2  # threads rest once they use less than the share RESTLESS of REST_s
PATIENCE = 2  # a call is warm after so many in a row that are no faster than the best
TOLERANCE = 0.05  # a call counts as faster if it is so by this share


@dataclass(frozen=True)
class Timing:
    """The durations of one call.

    Attributes:
        rounds_s: the durations in seconds, an array for each round that the call took part in, by number of the round.
        warmup_calls: the number of calls before the first that counts.
        steady: whether warm-up ended because the call had stopped getting faster, and not by its time limit.
    """

    rounds_s: Mapping[int, np.ndarray]
    warmup_calls: int
    steady: bool

    @property
    def calls_s(self) -> np.ndarray:
        """All durations, in seconds."""
        return np.concatenate(list(self.rounds_s.values()))

    @property
    def median_s(self) -> float:
        """The median of all calls, in seconds."""
        return float(np.median(self.calls_s))

    def summary(self) -> dict[str, Any]:
        """Return median, percentiles and spread as JSON has them; the spread is (p95 - p5) / median."""
        low, middle, high = map(float, np.percentile(self.calls_s * 1e3, (5, 50, 95)))
        return {
            "latency_ms_median": middle,
            "latency_ms_p5": low,
            "latency_ms_p95": high,
            "relative_spread": (high - low) / middle,
            "calls": len(self.calls_s),
            "rounds": len(self.rounds_s),
            "warmup_calls": self.warmup_calls,
            "steady": self.steady,
        }


def clock(device: torch.device | str = "cpu") -> Clock:
    """Return the function that times one call in seconds: by the wall clock on a CPU, by events on a GPU.

    A call that has a method ``seconds`` measures itself, where it runs: it is made by that method, which returns them.
    """
    timed = _gpu_seconds if torch.device(device).type == "cuda" else _wall_seconds

    def seconds(call: Call) -> float:
        itself = getattr(call, "seconds", None)
        return timed(call) if itself is None else itself()

    return seconds


def interleave(
    calls: Mapping[str, Call],
    seconds: float,
    *,
    min_rounds: int = 5,
    max_rounds: int = 100,
    timed: Clock | None = None,
    first_s: Mapping[str, float] | None = None,
) -> dict[str, Timing]:
    """Time calls in turns: A B C A B C ...

    Args:
        calls: the calls by name.
        seconds: the time for which each call is measured, unless it has had ``max_rounds`` turns before.
        min_rounds: the least number of turns of each call, whatever they take.
        max_rounds: the largest number of turns of each call.
        timed: the clock; that of the CPU if not given.
        first_s: the duration, in seconds and by name, of calls that were made before: the first of their warm-up.
    """
    timed, first_s = timed or clock(), first_s or {}
    warm = {name: _warm_up(call, timed, seconds, first_s.get(name)) for name, call in calls.items()}
    wanted = {name: int(np.clip(seconds / max(warm[name][0], TURN_s), min_rounds, max_rounds)) for name in calls}
    n_rounds = max(wanted.values())
    every = {
        name: 2 ** int(np.log2(n_rounds / wanted[name])) for name in calls
    }  # a power of two, so that all calls share the rare rounds
    rounds: dict[str, dict[int, np.ndarray]] = {name: {} for name in calls}
    for index in range(n_rounds):
        for name, call in calls.items():
            if index % every[name] == 0:
                rounds[name][index] = _turn(call, timed, warm[name][0])
    return {name: Timing(rounds[name], warm[name][1], warm[name][2]) for name in calls}


def ratio(one: Timing, other: Timing) -> dict[str, float]:
    """Return how many times as long ``one`` takes as ``other``: median, p5 and p95 of the ratios within each round."""
    common = sorted(one.rounds_s.keys() & other.rounds_s.keys())
    ratios = [np.median(one.rounds_s[index]) / np.median(other.rounds_s[index]) for index in common]
    low, middle, high = map(float, np.percentile(ratios, (5, 50, 95)))
    return {"median": middle, "p5": low, "p95": high}


def matrix_peak(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Time square matrix products and return the fastest, to which fractions of the peak refer."""
    sizes = (1024, 2048, 4096, 8192) if torch.device(device).type == "cuda" else (256, 512, 1024)
    timed, best = clock(device), dict.fromkeys(sizes, np.inf)
    for n in sizes:
        a, b = torch.randn(2, n, n, device=device).to(dtype)
        for _ in range(8):
            best[n] = min(best[n], timed(lambda a=a, b=b: a @ b))  # type: ignore[misc]
    rates = {n: 2 * n**3 / best[n] / 1e9 for n in sizes}
    fastest = max(rates, key=rates.__getitem__)
    return {"gflop_per_s": rates[fastest], "matrix_size": fastest, "dtype": str(dtype).removeprefix("torch.")}


def usable_cores() -> int:
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def limit_threads(wanted: int) -> int:
    """Let every library compute with ``wanted`` threads, at most one for each core, and return that number.

    Libraries that are loaded later keep their own number: import them before.
    """
    count = min(wanted, usable_cores())
    torch.set_num_threads(count)
    threadpool_limits(count)
    return count


def threads() -> dict[str, Any]:
    """Return how many threads each library computes with, and how many cores there are."""
    return {
        "torch": torch.get_num_threads(),
        "libraries": {Path(pool["filepath"]).name: pool["num_threads"] for pool in threadpool_info()},
        "cores_usable": usable_cores(),
        "cores": os.cpu_count(),
    }


class OtherLoad:
    """Measures how busy other processes keep this machine from now on."""

    def __init__(self) -> None:
        self._start = self._now()

    def fraction(self) -> float:
        """Return the share of all cores that others have used since the start, from 0 (idle) to 1."""
        others, wall = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return max(0.0, others / max(wall, 1e-9) / (os.cpu_count() or 1))

    @staticmethod
    def _now() -> tuple[float, float]:
        """Return the seconds of processor time that others used, and those of the wall clock."""
        every, own = psutil.cpu_times(), psutil.Process().cpu_times()
        idle = every.idle + getattr(every, "iowait", 0.0)
        return sum(every[:8]) - idle - sum(own[:4]), time.perf_counter()  # own time, and that of what it waited for


def _wall_seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _gpu_seconds(call: Call) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3


def _warm_up(call: Call, timed: Clock, limit_s: float, first_s: float | None) -> tuple[float, int, bool]:
    """Call until ``PATIENCE`` calls in a row are no faster, or ``limit_s`` is over; (fastest, number, steady)."""
    count, spent = (0, 0.0) if first_s is None else (1, first_s)
    best, idle = spent or np.inf, 0
    while idle < PATIENCE and (count < 2 or spent < limit_s):
        duration = timed(call)
        idle = idle + 1 if duration > best * (1.0 - TOLERANCE) else 0
        best, count, spent = min(best, duration), count + 1, spent + duration
    return best, count, idle > 0


def _turn(call: Call, timed: Clock, expected_s: float) -> np.ndarray:
    """Make the calls of one turn and return their durations in seconds."""
    _rest()
    spent = 0.0
    while expected_s < SHORT_s and spent < SETTLE_s:
        spent += timed(call)
    count = max(1, round(TURN_s / expected_s))
    return np.array([timed(call) for _ in range(count)])


def _rest() -> None:
    """Wait until no thread of this process computes: those of ONNX Runtime and OpenMP spin for a while after a call."""
    limit = time.perf_counter() + REST_LIMIT_s
    while time.perf_counter() < limit:
        used, started = time.process_time(), time.perf_counter()
        time.sleep(REST_s)
        if time.process_time() - used < RESTLESS * (time.perf_counter() - started):
            return
