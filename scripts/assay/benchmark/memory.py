"""How much memory a computation takes at its peak, and what giving it back costs."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import onnxruntime
import torch

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # options of mallopt, from malloc.h of glibc
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Measures the peak memory of this process over what it holds now.

    On a GPU it counts what PyTorch allocates there. On a CPU it counts resident memory, weights and caches of
    allocators included, as Linux sees it; elsewhere it is not measured.
    """

    def __init__(self, device: torch.device | str = "cpu"):
        self._gpu = torch.device(device).type == "cuda"
        _trim()
        self._base = self._resident("VmRSS")

    def of(self, call: Callable[[], object]) -> float | None:
        """Make the call and return its peak over the base in MB (10^6 bytes); None where that cannot be measured."""
        if self._gpu:
            torch.cuda.reset_peak_memory_stats()
            call()
            return (torch.cuda.max_memory_allocated() - self._base) / 1e6
        _trim()
        with suppress(OSError):
            _CLEAR.write_text("5")  # resets the peak
        call()
        peak = self._resident("VmHWM")
        return (peak - self._base) / 1e6 if peak else None

    def _resident(self, field: str) -> float:
        """The bytes that the field of /proc/self/status or the GPU tells; 0 if unknown."""
        if self._gpu:
            return float(torch.cuda.memory_allocated())
        with suppress(OSError):
            for line in _STATUS.read_text().splitlines():
                if line.startswith(field):
                    return float(line.split()[1]) * 1024
        return 0.0


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, on Linux with glibc.

    Otherwise each large tensor is memory fresh from the system, which clears every page of it: batches in float64 were
    seen to take up to three times as long.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL("libc.so.6")
            library.mallopt(_M_MMAP_MAX, 0)
            library.mallopt(_M_TRIM_THRESHOLD, -1)


@functools.cache
def share_session_memory() -> None:
    """Let the sessions of ``OnnxStudent`` that are opened from now on share one arena of memory on the CPU.

    An arena keeps the most that a call ever took. Sessions that are called in turns would each keep that much.
    """
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    unlimited, default = 0, -1
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(unlimited, default, default, default))


def largest_cache_MB() -> float | None:
    """The largest cache of this machine's first processor core in MB (10^6 bytes), as Linux tells it; else None."""
    sizes = [float(file.read_text().strip().rstrip("K")) * 1024 / 1e6 for file in _CACHES.glob("index*/size")]
    return max(sizes, default=None)


def _trim() -> None:
    """Give freed memory back to the system, so that earlier work does not hide the peak of what comes."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
