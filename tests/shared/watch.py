"""Watches what the interpreter runs and imports while a file is read."""

import sys
from contextlib import contextmanager

# What a pickle that ran would do, as the interpreter reports it.
RUNS = {"exec", "compile", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class"}
_seen: list[str] | None = None


def _listen(event, arguments):
    if _seen is not None and (event in RUNS or event == "import"):
        _seen.append(event if event in RUNS else f"import {arguments[0]}")


sys.addaudithook(_listen)


@contextmanager
def watched():
    """A list of what is run and imported inside."""
    global _seen
    seen = _seen = []
    try:
        yield seen
    finally:
        _seen = None
