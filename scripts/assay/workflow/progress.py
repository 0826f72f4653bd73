"""Progress of long work: a bar with rate and remaining time in a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

from assay.workflow.errors import terminal

LINE_EVERY_s = 30.0


class progress(tqdm):
    """``tqdm`` that knows a rule's log from the terminal: iterate over it, or call ``update``.

    Args:
        unit: what is counted, in the plural.
        desc: the name of the work.
        others: further arguments of ``tqdm``.
    """

    def __init__(self, *args: Any, unit: str, desc: str, **others: Any):
        self._started = self._noted = time.monotonic()
        self._in_terminal = terminal().isatty()
        super().__init__(
            *args,
            unit=f" {unit}",
            desc=desc,
            file=terminal(),
            leave=False,
            dynamic_ncols=True,
            mininterval=1.0,
            **others,
        )

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Called by ``tqdm`` whenever there is something new to show."""
        if self._in_terminal:
            super().display(msg, pos)
        if time.monotonic() - self._noted >= LINE_EVERY_s:
            self._note(f", {self._remaining()} left")

    def close(self) -> None:
        """Take the bar away, and note how long it took."""
        if not self.disable:
            self._note("")
            self._noted = float("inf")
        super().close()

    def _note(self, rest: str) -> None:
        """Print a line for those who read a log, unless it would go to the terminal."""
        self._noted = time.monotonic()
        if not sys.stderr.isatty():
            spent = self._noted - self._started
            total = f" of {self.total:,}" if self.total else ""
            rate = (self.n - self.initial) / max(spent, 1e-9)
            print(f"{self.desc}: {self.n:,}{total}{self.unit} in {spent:.0f} s, {rate:.3g}/s{rest}", file=sys.stderr)

    def _remaining(self) -> str:
        done = self.n - self.initial
        if not (self.total and done):
            return "unknown time"
        return f"{(self.total - self.n) * (time.monotonic() - self._started) / done:.0f} s"
