"""Half an hour on a bare machine with a GPU: what is measured there comes back as records of JSON.

Each part ends within ten minutes, writes a record as it goes on, and continues an earlier one. The machine needs torch,
Triton, ASE, h5py, pydantic, PyYAML, SciPy, tqdm and vesin.

    python scripts/gpu_hour.py --out $OUT --part 1          parity of every runtime with the network on the CPU
    python scripts/gpu_hour.py --out $OUT --part 2          speed, from one molecule to 20,000 atoms
    python scripts/gpu_hour.py --out $OUT --part 3          determinism, and dynamics at constant energy
    python scripts/gpu_hour.py --out $OUT --part 4          training with large steps
    python scripts/gpu_hour.py --out $OUT --part 5          a profile of one step
    python scripts/gpu_hour.py --out /tmp/dry --dry         all of them in small, on a CPU
    python scripts/gpu_hour.py --pack train.travel          the training data, packed to travel
"""

import argparse
import tempfile
from pathlib import Path

import torch

from assay.data import read_dataset
from assay.gpu_hour import parity, physics, profiling, speed, training
from assay.gpu_hour.hour import ROOT, VARIANTS, Hour, bring_along
from assay.gpu_hour.runtimes import NAMES
from assay.gpu_hour.travel import pack
from assay.workflow.errors import AssayError, exit_on_error

PARTS = {1: "parity", 2: "speed", 3: "physics", 4: "training", 5: "profile"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the records go")
    parser.add_argument("--part", type=int, choices=PARTS, help="the part to measure; all of them if not given")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="records of an earlier call to go on from")
    parser.add_argument("--data", type=Path, metavar="FILE", help="what to train on, packed or in any accepted format")
    parser.add_argument("--only", nargs="+", default=[], metavar="RUNTIME", help="measure these runtimes only")
    parser.add_argument("--further", choices=VARIANTS, help="the shipped student that part 4 trains further")
    parser.add_argument("--seconds", type=float, default=540.0, help="no piece begins after that in a part")
    parser.add_argument("--dry", action="store_true", help="everything in small, on a GPU or a CPU")
    parser.add_argument("--pack", type=Path, metavar="FILE", help="pack the training data into a file, and end")
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    if options.pack is not None:
        size = pack(read_dataset(options.data or ROOT / "data/dataset/train.h5"), options.pack)
        print(f"{options.pack}: {size / 2**20:.1f} MiB")
        return
    unknown = sorted(set(options.only) - set(NAMES))
    if unknown:
        raise AssayError(f"there is no runtime {', '.join(unknown)}: choose from {', '.join(NAMES)}")
    if options.out is None:
        raise AssayError("no folder is named for the records: give --out FOLDER")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.dry:
        raise AssayError("torch finds no GPU here: run it on a machine with one, or try it in small with --dry")
    options.out.mkdir(parents=True, exist_ok=True)
    if options.resume is not None:
        bring_along(options.resume, options.out)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in [options.part] if options.part else PARTS:
            hour = Hour(options.out, device, options.dry, options.seconds, tuple(options.only))
            makers = {
                1: lambda hour=hour: parity.pieces(hour, folder),
                2: lambda hour=hour: speed.pieces(hour, folder),
                3: lambda hour=hour: physics.pieces(hour, folder),
                4: lambda hour=hour: training.pieces(hour, options.data, options.further),
                5: lambda hour=hour: profiling.pieces(hour, folder),
            }
            record = hour.measure(PARTS[number], makers[number]())
            left = ", ".join(record["left"]) or "nothing"
            print(f"part {number}, {PARTS[number]}: left {left}", flush=True)


with exit_on_error():
    main(arguments())
