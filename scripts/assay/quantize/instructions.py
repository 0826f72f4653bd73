"""The instructions that let a processor multiply eight-bit integers faster than floating-point numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

VECTORS = ("avx2", "avx512bw", "avx512f", "asimd", "sve")
DOT_PRODUCTS = ("avx_vnni", "avx_vnni_int8", "avx512_vnni", "amx_int8", "asimddp", "i8mm")


def int8_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """Return the instructions for products of int8 that the processor has, and a sentence that says what they mean.

    Lists are None on a system that does not tell.
    """
    if not cpuinfo.is_file():
        return {"vectors": None, "dot_products": None, "meaning": "this system does not tell what its processor has"}
    flags = {
        flag
        for line in cpuinfo.read_text().splitlines()
        if line.startswith(("flags", "Features"))
        for flag in line.partition(":")[2].split()
    }
    vectors, dots = (sorted(flags.intersection(known)) for known in (VECTORS, DOT_PRODUCTS))
    if dots:
        meaning = f"the processor has int8 dot products ({', '.join(dots)})"
    else:
        meaning = f"the processor has {', '.join(vectors) or 'no vectors'} and no int8 dot products (VNNI)"
    return {"vectors": vectors, "dot_products": dots, "meaning": meaning}
