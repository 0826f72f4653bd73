"""The pieces of a part: each is measured once, written as soon as it is there, and skipped when the part goes on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from assay.workflow.errors import AssayError, printable
from assay.workflow.files import read_json, write_json
from assay.workflow.provenance import header

ROOT = Path(__file__).parents[3]
VARIANTS = ("ultra_tiny", "tiny", "original")
MOST_FILES, MOST_bytes = 8, 16 * 2**20  # what comes back from a machine that is lent

Piece = Callable[[], Any]


@dataclass(frozen=True)
class Hour:
    """Where and how long a part is measured.

    Attributes:
        out: the folder that the records are written to.
        device: "cuda" or "cpu".
        dry: whether everything is done in small, to see that it runs.
        seconds: the time after which no other piece is begun.
        only: the runtimes that are measured; all of them if there are none.
        began: the start of the part, by the monotonic clock.
    """

    out: Path
    device: str
    dry: bool
    seconds: float
    only: tuple[str, ...] = ()
    began: float = field(default_factory=time.monotonic)

    @property
    def variants(self) -> tuple[str, ...]:
        """The students that are measured, the smallest first."""
        return VARIANTS[:1] if self.dry else VARIANTS

    @property
    def left_s(self) -> float:
        """The seconds that are left."""
        return self.seconds - (time.monotonic() - self.began)

    def wanted(self, runtimes: Sequence[str]) -> Sequence[str]:
        """Those runtimes that are measured."""
        return [name for name in runtimes if not self.only or name in self.only]

    def some_of(self, runtimes: Sequence[str]) -> Sequence[str]:
        """Those runtimes that are measured, only the first two in small."""
        return self.wanted(runtimes)[:2] if self.dry else self.wanted(runtimes)

    def checkpoint(self, variant: str) -> Path:
        """The shipped checkpoint of a student."""
        return ROOT / f"data/checkpoints/{variant}.pt"

    def measure(self, part: str, pieces: Mapping[str, Piece]) -> dict[str, Any]:
        """Measure what is not yet in the record of a part, and write the record after each piece.

        Whatever a piece raises is its result: ``error`` in the record, which is tried again when the part goes on.

        Args:
            part: the name of the part, and of its record ``<part>.json``.
            pieces: what measures each piece, by its name.

        Returns:
            The record, whose ``left`` names the pieces that there was no time for.
        """
        path = self.out / f"{part}.json"
        record = header(None, device=self.device) | {"part": part, "dry": self.dry, "pieces": {}}
        if path.is_file():
            record["pieces"] = _earlier(read_json(path), record)
        for name, make in pieces.items():
            if "error" not in record["pieces"].get(name, {"error": "not measured"}):
                continue
            if self.left_s <= 0.0:
                break
            start = time.monotonic()
            try:
                found = make()
            except Exception as error:  # of a runtime or a package: the machine is lent, and the next piece waits
                found = {"error": printable(f"{type(error).__name__}: {error}", 500)}
            record["pieces"][name] = found | {"wall_s": time.monotonic() - start}
            record["left"] = [other for other in pieces if other not in record["pieces"]]
            write_json(path, record)
            print(f"{part}: {name}: {found.get('error', 'measured')}", flush=True)
        record["left"] = [name for name in pieces if name not in record["pieces"]]
        write_json(path, record)
        check_folder(self.out)
        return record


def config(name: str) -> dict[str, Any]:
    """One of the files of ``config/`` as it is, for a machine that cannot check it."""
    return yaml.safe_load((ROOT / "config" / name).read_text())


def _earlier(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The pieces of an earlier record.

    Raises:
        AssayError: it was measured on another device, or in another size.
    """
    for key in ("device_name", "dry"):
        if old.get(key) != new[key]:
            raise AssayError(
                f"the record {new['part']}.json has {key} {old.get(key)}, and not {new[key]}: choose another folder"
            )
    return dict(old["pieces"])


def bring_along(earlier: Path, out: Path) -> None:
    """Copy the records of an earlier call into the folder of this one, which goes on from them."""
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(earlier.glob("*")):
        if path.is_file() and not (out / path.name).exists():
            shutil.copy(path, out / path.name)


def check_folder(folder: Path) -> None:
    """Raise an AssayError where a folder holds more than comes back from a machine that is lent."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    large = [path.name for path in files if path.stat().st_size > MOST_bytes]
    if len(files) > MOST_FILES or large:
        raise AssayError(
            f"{folder} holds {len(files)} files, of which {large or 'none'} have more than {MOST_bytes >> 20} MiB: at "
            f"most {MOST_FILES} come back, so clear it first"
        )
