"""This side of a calculator's process: it starts, asks, waits no longer than it was told, and ends it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from assay.predictors import worker
from assay.workflow.errors import AssayError, printable

Answer = tuple[dict[str, Any], dict[str, np.ndarray]]


class WorkerProcess:
    """A process that answers requests of ``assay.predictors.worker``.

    What it prints goes to the standard error of this process, and so into the log of a rule.

    Args:
        python: the interpreter that runs it.
        name: what errors call it.
        limit_s: the seconds that one answer may take.
        threads: the number of threads of its libraries; None leaves it to them.
    """

    def __init__(self, python: Path, name: str, limit_s: float, threads: int | None):
        self.name, self.limit_s = name, limit_s
        (theirs_in, self._requests), (self._answers, theirs_out) = os.pipe(), os.pipe()
        command = [str(python), worker.__file__, str(theirs_in), str(theirs_out)]
        limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS")} if threads else {}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=(theirs_in, theirs_out),
                env=os.environ | limits,
                start_new_session=True,
            )
        except OSError as error:
            for descriptor in (self._requests, self._answers):
                os.close(descriptor)
            raise AssayError(
                f"the interpreter {python} of {name} cannot be started ({error.strerror}): correct its environment"
            ) from None
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._end = weakref.finalize(self, _end, self._process, (self._requests, self._answers))

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._end.alive and self._process.poll() is None

    def close(self) -> None:
        """End the process and what it started."""
        self._end()

    def ask(
        self, header: Mapping[str, Any], arrays: worker.Arrays, doing: Sequence[str], advice: str
    ) -> Iterator[Answer]:
        """Send a request and yield its answers as they come.

        Args:
            header, arrays: the request.
            doing: what each answer is about, in words such as "at water".
            advice: what to do where the process says that it failed.

        Raises:
            AssayError: the process died, took too long, answered what is no message, or says that it failed. After all
                but the last it is ended.
        """
        with suppress(BrokenPipeError):  # a dead process says nothing, which is found below
            worker.write_to(self._requests, worker.encode(header, arrays))
        for doing_now in doing:
            try:
                answer = worker.decode(self._reader(time.monotonic() + self.limit_s))
            except EOFError:
                raise self._failed(f"{self._death()} {doing_now}: look at what it printed") from None
            except TimeoutError:
                raise self._failed(
                    f"did not answer within {self.limit_s:g} s {doing_now}: give it more with time_limit_s, or "
                    "leave that out"
                ) from None
            except ValueError as error:
                raise self._failed(f"answered what is no message ({error}) {doing_now}: mend the calculator") from None
            failure = answer[0].get("error")
            if failure is not None:
                raise AssayError(f"{self.name} failed {doing_now} ({printable(str(failure), 500)}): {advice}")
            yield answer

    def _failed(self, what: str) -> AssayError:
        self.close()
        return AssayError(f"{self.name} {what}")

    def _death(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        status = self._process.returncode
        if status is None:
            return "closed its pipe"
        with suppress(ValueError):
            return f"died by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def _reader(self, deadline: float) -> Callable[[int], bytes]:
        """A function that reads exactly so many bytes, until the deadline by the monotonic clock."""
        poll = select.poll()
        poll.register(self._answers, select.POLLIN | select.POLLHUP)

        def wait() -> None:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1e3):
                raise TimeoutError

        return worker.read_from(self._answers, wait)


def _end(process: subprocess.Popen[bytes], descriptors: tuple[int, int]) -> None:
    """Kill a process with all that it started, and close this side of its pipes."""
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
