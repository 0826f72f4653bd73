"""Errors that are written for the person who made the input."""

from __future__ import annotations

import codecs
import locale
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TextIO

INTERRUPTED = "Interrupted: no half-written file is left; call the same command again."

_terminals: list[TextIO] = []  # where output went before it went to a log


class AssayError(Exception):
    """What is wrong, in which file, and what to do about it: one sentence."""


def printable(text: str, limit: int = 1200) -> str:
    """``text`` that may quote a file, on one line, of bounded length, and without what could confuse a terminal."""
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"


def listed(names: Iterable[str], count: int = 20, length: int = 200) -> str:
    """The first ``count`` of some names, each of at most ``length`` characters, and how many more there are."""
    shown = [name[:length] for name in names]
    more = len(shown) - count
    return ", ".join(shown[:count]) + (f" and {more} more" if more > 0 else "")


def listing(items: Sequence[str]) -> str:
    """All of some names, as in one, two and three."""
    return f"{', '.join(items[:-1])} and {items[-1]}" if len(items) > 1 else "".join(items)


def reason_of(error: BaseException, limit: int = 1200) -> str:
    """What an error says, in one printable line of bounded length; the name of its class where it says nothing."""
    return printable(" ".join(str(error).split()) or type(error).__name__, limit)


def terminal() -> TextIO:
    """Where a person sees what is printed, even while all output goes to a log."""
    return _terminals[-1] if _terminals else sys.stderr


def require_utf8() -> None:
    """Make sure that this process reads and writes texts, and names of files, as UTF-8.

    Python takes them for those of the locale, unless that is C or POSIX.

    Raises:
        AssayError: it does not.
    """
    for encoding in (locale.getpreferredencoding(False), sys.getfilesystemencoding()):
        if codecs.lookup(encoding).name != "utf-8":
            raise AssayError(
                f"Python takes texts and names of files for {encoding} here, and those of Assay are UTF-8: set "
                "PYTHONUTF8=1, or a locale of UTF-8 such as LC_ALL=C.UTF-8"
            )


@contextmanager
def exit_on_error(log: str | Path | None = None) -> Iterator[None]:
    """Turn an ``AssayError`` into one sentence on stderr and exit status 1.

    Ctrl-C becomes a sentence before it ends the process, and so does output that nothing reads, as before ``| head``.
    Any other exception passes through with its traceback: it is a bug, not a message to the user.

    Args:
        log: where everything printed inside goes instead of the terminal, errors included: a rule's log file.
    """
    try:
        with nullcontext() if log is None else _output_to(Path(log)):
            require_utf8()
            yield
            sys.stdout.flush()
    except AssayError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        _note(INTERRUPTED)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)  # whoever called is told that it was no failure
    except BrokenPipeError:
        if not _is_unread(1):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what Python still flushes
        _note("Error: nothing reads the output any more, as after `| head`, so the rest was left: send it to a file")
        sys.exit(1)


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Send stdout and stderr to a file, that of compiled libraries too, and note there what an exception said."""
    log.parent.mkdir(parents=True, exist_ok=True)
    stdout, screen = os.dup(1), os.fdopen(os.dup(2), "w")
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if not _is_terminal(log):
        log.write_bytes(b"")
    with log.open("a") as handle, screen:  # so that nothing overwrites what a logger writes to the same file
        _terminals.append(screen)
        _redirect(handle.fileno(), handle.fileno())
        try:
            yield
            _note(f"peak memory: {_peak_memory_MB()} MB")
        except AssayError as error:
            _note(f"Error: {error}")
            raise
        except KeyboardInterrupt:
            _note(INTERRUPTED)
            raise
        except Exception:
            _note(traceback.format_exc())
            raise
        finally:
            _terminals.remove(screen)
            _redirect(stdout, screen.fileno())
            os.close(stdout)


def _is_terminal(log: Path) -> bool:
    """Whether a log is where errors go anyway, such as /dev/stderr, which may be a file that holds more."""
    return log.exists() and os.path.samestat(log.stat(), os.fstat(2))


def _is_unread(descriptor: int) -> bool:
    """Whether a pipe that this process writes to has lost its reader."""
    waiting = select.poll()
    waiting.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in waiting.poll(0))


def _peak_memory_MB() -> int:
    """The most memory that this process, or one that it started and that has ended, held at once."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) // 1000


def _note(text: str) -> None:
    """Print into the log, if the disk has room for it."""
    with suppress(OSError):
        print(text, file=sys.stderr)


def _redirect(stdout: int, stderr: int) -> None:
    """Make the process's standard streams copies of two open files."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # a full disk takes no log
            stream.flush()
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
