"""Write the labelled structures of many files to one, as of calculations that have a folder each.

    scripts/gather.py 'runs/*/OUTCAR' --output mine.h5

Each file must tell its labels and their units by itself. All must be of one level of theory.
"""

import argparse
from pathlib import Path

from assay.data.gathering import gather, matching
from assay.workflow.errors import AssayError, exit_on_error
from assay.workflow.files import require_own_files


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="files in any format of docs/datasets.md, or patterns of such")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="what is written: .h5 or .hdf5")
    parser.add_argument("--leave-out", action="store_true", help="go on where a file cannot be read, and say so")
    return parser.parse_intermixed_args()


def main(options: argparse.Namespace) -> None:
    paths = matching(options.files)
    require_own_files({"--output": options.output}, paths)
    if options.output.suffix.lower() not in (".h5", ".hdf5"):
        raise AssayError(f"--output {options.output} is to be HDF5: let it end in .h5 or .hdf5")
    n_structures, refused = 0, 0
    for path, count, reason in gather(paths, options.output, options.leave_out):
        print(f"{path} is left out: {reason}" if reason else f"{path}: {count} structures")
        n_structures, refused = n_structures + count, refused + bool(reason)
    left_out = f", and {refused} are left out" if refused else ""
    print(f"{options.output} holds {n_structures} structures of {len(paths) - refused} files{left_out}")


with exit_on_error():
    main(arguments())
