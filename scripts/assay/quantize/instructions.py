"""Whether the processor multiplies eight-bit integers faster than floating-point numbers."""

from __future__ import annotations

from pathlib import Path

FAST = {"avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8", "asimddp", "i8mm"}


def int8_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str] | None:
    """Which instructions for products of int8 the processor names; none means that INT8 saves memory, not time.

    None where the system does not tell.
    """
    if not cpuinfo.is_file():
        return None
    flags = {
        flag
        for line in cpuinfo.read_text().splitlines()
        if line.startswith(("flags", "Features"))
        for flag in line.partition(":")[2].split()
    }
    return sorted(flags & FAST)
