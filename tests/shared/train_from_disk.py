"""Trainings whose structures stay on the disk, and the memory that they take.

    python tests/shared/train_from_disk.py STRUCTURES [STRUCTURES ...]

writes each number of structures of three atoms into a temporary file, takes twenty steps of a training from it in a
process of its own, and prints a table of what that process took.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from assay.data.dataset import Dataset
from assay.data.store import StoreWriter
from assay.training.loop import Trainer
from assay.training.own import train_own
from assay.workflow.config import load_config

CONFIG = Path(__file__).parents[2] / "config"
PART, HELD_OUT = 20_000, 100
STUDENT = {"parameters": 21_281, "steps": 20}
SAMPLES = ("training.loop.FITTED", "training.own.FITTED", "training.run.SCOPED")  # how many structures stand for all


def write(path: Path, n: int) -> None:
    """Write so many bent molecules of three atoms, each a little different."""
    rng = np.random.default_rng(0)
    at_rest = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    with StoreWriter(path) as store:
        for start in range(0, n, PART):
            m = min(PART, n - start)
            moved = rng.normal(0.0, 0.05, (m, 3, 3))
            moved -= moved.mean(axis=1, keepdims=True)
            store.add(
                Dataset(
                    atomic_numbers=np.tile([8, 1, 1], m),
                    offsets=3 * np.arange(m + 1),
                    positions=(at_rest + moved).reshape(-1, 3),
                    cells=np.zeros((m, 3, 3)),
                    pbc=np.zeros((m, 3), bool),
                    energy=(moved**2).sum((1, 2)),
                    forces=-2.0 * moved.reshape(-1, 3),
                    names=np.array([f"water {start + k}" for k in range(m)], dtype=object),
                    molecules=np.array(["water"] * m, dtype=object),
                )
            )


def train(folder: Path, sampled: int | None = None) -> None:
    """Train from the files of a folder, and print the peak of this process and the seconds before its first step.

    Args:
        folder: the folder, with ``train.h5`` and ``validation.h5``.
        sampled: how many structures stand for all where these are too many; None for as many as in any training.
    """
    torch.set_num_threads(1)
    began, first = time.perf_counter(), []
    own_packs = Trainer._own_packs

    def timed(*arguments):
        for pack in own_packs(*arguments):
            first.append(time.perf_counter() - began)
            yield pack

    (folder / "data.json").write_text(json.dumps({"sentence": "none is held out"}))
    changed = {"data.store.IN_MEMORY_ATOMS": 0, "training.loop.Trainer._own_packs": timed}
    changed |= dict.fromkeys(SAMPLES, sampled) if sampled else {}
    with ExitStack() as stack:
        for name, value in changed.items():
            stack.enter_context(mock.patch(f"assay.{name}", value))
        train_own(
            "student",
            *(folder / name for name in ("train.h5", "validation.h5", "data.json")),
            STUDENT,
            load_config(CONFIG)["training"],
            None,
            None,
            {"name": "springs"},
            {},
            folder / "states",
            "cpu",
            *(folder / name for name in ("log", "student.pt", "student.json", "curve.svg")),
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"peak_bytes": 1024 * peak, "before_first_step_s": first[0]}))


def measure(n: int, folder: Path, *sampled: int) -> dict[str, float]:
    """Write so many structures into a folder, and train from them in a new process; what ``train`` prints."""
    write(folder / "train.h5", n)
    write(folder / "validation.h5", HELD_OUT)
    command = [sys.executable, __file__, "train", str(folder), *map(str, sampled)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {"file_bytes": (folder / "train.h5").stat().st_size} | json.loads(done.stdout.splitlines()[-1])


def main(numbers: list[int]) -> None:
    """Print the table."""
    print("| structures | file (MB) | peak memory (MB) | before the first step (s) |\n| ---: | ---: | ---: | ---: |")
    for n in numbers:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(n, Path(folder))
        file, peak = (f"{found[name] / 1e6:,.0f}" for name in ("file_bytes", "peak_bytes"))
        print(f"| {n:,} | {file} | {peak} | {found['before_first_step_s']:.1f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(Path(sys.argv[2]), *map(int, sys.argv[3:]))
    else:
        main([int(n) for n in sys.argv[1:]])
