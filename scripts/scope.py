"""Write down what a student was taught, from its training data: CHECKPOINT.scope.json beside the checkpoint.

Elements, charges, spins, periodicity, sizes and densities of the data are the scope of the student: model.json,
exported files, packages and verdicts name it, and structures outside of it are flagged.
"""

import argparse
from pathlib import Path

from assay.checkpoint.scope import write_scope
from assay.data import read_dataset
from assay.data.scope import scope_of
from assay.workflow.errors import AssayError, exit_on_error
from assay.workflow.records import read_shipped_part, trained_on


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="the file of the student")
    parser.add_argument("data", type=Path, help="its training data, or a part of them, in a format of datasets")
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    if not options.checkpoint.is_file():
        raise AssayError(f"there is no file {options.checkpoint}: check the path")
    dataset = read_dataset(options.data)
    training = trained_on(options.checkpoint)
    part = read_shipped_part(options.data.with_name("dataset.json"))
    sha256 = dataset.content_sha256()
    if training and sha256 != training[0] and (sha256 != part["sha256"] or training[0] not in part["part_of"]):
        raise AssayError(
            f"{options.data} is not what {options.checkpoint} was trained on by its record, nor a part of it: give the "
            "file that the record names, or remove the record if it is of another training"
        )
    scope = scope_of(dataset)
    print(f"{write_scope(options.checkpoint, scope)}: {scope.sentence}")


with exit_on_error():
    main(arguments())
