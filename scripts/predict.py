"""Energies and forces of structures by any model: a checkpoint, normalized or not, an exported file, a variant of the
config, or the ASE calculator of another program.

Each structure is evaluated alone, so that its numbers do not depend on what else is in the file. With a description of
the training data, structures unlike them are flagged.
"""

import argparse
from typing import Any

import numpy as np

from assay.accuracy.domain import Domain, domain_beside, read_domain
from assay.predictors.named import add_arguments, named_model
from assay.predictors.structure_files import read_atoms, write_predictions
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError, exit_on_error
from assay.workflow.files import write_json

_NO_DESCRIPTION = (
    "No structure is flagged, because no description of the training data lies beside the model: "
    "name one with --domain."
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("structures", help="any file that ASE reads")
    parser.add_argument("--json", metavar="FILE", help='write [{"energy_eV": ..., "forces_eV_per_A": ...}, ...]')
    parser.add_argument("--output", metavar="FILE", help="write extended XYZ with the predictions")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--dtype", choices=["float32", "float64"], default="float64", help="exported files compute in their own"
    )
    parser.add_argument(
        "--domain",
        metavar="FILE",
        help="description of the training data; by default what lies beside the model",
    )
    return parser.parse_intermixed_args()


def main(options: argparse.Namespace) -> None:
    model = named_model(options)
    [predictor] = model.load(options.device, dtypes=(options.dtype,))
    frames = read_atoms(options.structures)
    domain = read_domain(options.domain) if options.domain else model.path and domain_beside(model.path)
    known = domain is not None and domain.training_data.known
    predictions, notes = [], []
    print(f"{'#':>5}  {'structure':<24} {'atoms':>6} {'energy_eV':>16} {'max_force_eV_per_A':>20}")
    for index, structure in enumerate(map(Structure.from_ase, frames)):
        [prediction] = predictor.predict([structure])
        if not np.isfinite([prediction.energy_eV, *prediction.forces_eV_per_A.flat]).all():
            raise AssayError(f"{structure.name} (number {index}) has no finite energy: do two of its atoms coincide?")
        predictions.append(prediction)
        notes.append(_note(domain, structure) if known else {})
        reason = notes[-1].get("flag_reason")
        largest = np.linalg.norm(prediction.forces_eV_per_A, axis=1).max(initial=0.0)
        flag = f"  unlike training data: {reason}" if reason else ""
        values = f"{len(structure):>6} {prediction.energy_eV:>16.6f} {largest:>20.6f}"
        print(f"{index:>5}  {structure.name[:24]:<24} {values}{flag}")
    print(domain.training_data.sentence if domain else _NO_DESCRIPTION)
    if options.json:
        write_json(
            options.json, [prediction.record | note for prediction, note in zip(predictions, notes, strict=True)]
        )
    if options.output:
        write_predictions(options.output, frames, predictions, notes)


def _note(domain: Domain, structure: Structure) -> dict[str, Any]:
    """What files of predictions say of how unlike the training data a structure is."""
    return domain.novelties_of([structure])[0].record | {"flag_compares_with": domain.training_data.compared_with}


with exit_on_error():
    main(arguments())
