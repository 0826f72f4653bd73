"""Write the labelled structures of many files to one, as of calculations that have a folder each.

    scripts/gather.py 'runs/*/OUTCAR' --output mine.h5
    scripts/gather.py 'runs/*/input.data' --output mine.h5 --units energy=hartree length=bohr

What the files do not tell of their labels is the same for all. All must be of one level of theory.
"""

import argparse
from pathlib import Path

from assay.data.gathering import gather, matching
from assay.data.label_names import KINDS
from assay.workflow.errors import AssayError, exit_on_error
from assay.workflow.files import require_own_files


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="files in any format of docs/datasets.md, or patterns of such")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="what is written: .h5 or .hdf5")
    parser.add_argument("--leave-out", action="store_true", help="go on where a file cannot be read, and say so")
    parser.add_argument(
        "--units", nargs="+", default=[], type=_unit, metavar="KIND=UNIT", help="of energy, length, ..."
    )
    parser.add_argument("--elements", nargs="+", default=[], metavar="SYMBOL", help="of types, in order")
    for kind in KINDS:
        parser.add_argument(f"--{kind}-key", metavar="NAME", help=f"what the files call {kind}")
    return parser.parse_intermixed_args()


def _unit(text: str) -> tuple[str, str]:
    kind, _, unit = text.partition("=")
    if kind not in ("length", *KINDS) or not unit:
        raise argparse.ArgumentTypeError(f"{text} is no unit of {', '.join(('length', *KINDS))}, as energy=hartree is")
    return kind, unit


def main(options: argparse.Namespace) -> None:
    paths = matching(options.files)
    require_own_files({"--output": options.output}, paths)
    if options.output.suffix.lower() not in (".h5", ".hdf5"):
        raise AssayError(f"--output {options.output} is to be HDF5: let it end in .h5 or .hdf5")
    n_structures, refused = 0, 0
    keys = {f"{kind}_key": getattr(options, f"{kind}_key") for kind in KINDS}
    keys |= {"units": dict(options.units), "elements": options.elements}
    for path, count, reason in gather(paths, keys, options.output, options.leave_out):
        print(f"{path} is left out: {reason}" if reason else f"{path}: {count} structures")
        n_structures, refused = n_structures + count, refused + bool(reason)
    left_out = f", and {refused} are left out" if refused else ""
    print(f"{options.output} holds {n_structures} structures of {len(paths) - refused} files{left_out}")


with exit_on_error():
    main(arguments())
