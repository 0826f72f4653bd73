"""What pages of results and of the documentation share: tables, and what load disturbs timings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

BUSY = 0.1  # the share of the processor from which other processes disturb


def cell(text: str) -> str:
    """Text that ends no cell of a table, whatever names it holds."""
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first ``left`` columns are text, the others numbers."""
    rule = ["---" if k < left else "---:" for k in range(len(columns))]
    lines = [map(cell, columns), rule, *(map(cell, row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
