"""What pages of results and of the documentation share: tables, and what load disturbs timings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

BUSY = 0.1  # the share of the processor from which other processes disturb


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first ``left`` columns are text, the others numbers."""
    rule = ["---" if k < left else "---:" for k in range(len(columns))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [columns, rule, *rows])
