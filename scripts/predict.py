"""Energies and forces of structures by any model: a checkpoint, normalized or not, or an exported file.

Each structure is evaluated alone, so that its numbers do not depend on what else is in the file.
"""

import argparse

import numpy as np

from assay.errors import AssayError, exit_on_error
from assay.files import write_json
from assay.predictors import Prediction, load_predictor
from assay.structure_files import read_atoms, write_predictions
from assay.structures import Structure


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help=".safetensors, .pt, .pth, .ckpt or .onnx")
    parser.add_argument("structures", help="any file that ASE reads")
    parser.add_argument("--json", metavar="FILE", help='write [{"energy_eV": ..., "forces_eV_per_A": ...}, ...]')
    parser.add_argument("--output", metavar="FILE", help="write extended XYZ with the predictions")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--dtype", choices=["float32", "float64"], default="float64", help="exported files compute in their own"
    )
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    predictor = load_predictor(options.model, device=options.device, dtype=options.dtype)
    frames = read_atoms(options.structures)
    predictions: list[Prediction] = []
    print(f"{'#':>5}  {'structure':<24} {'atoms':>6} {'energy_eV':>16} {'max_force_eV_per_A':>20}")
    for index, structure in enumerate(map(Structure.from_ase, frames)):
        [prediction] = predictor.predict([structure])
        if not np.isfinite([prediction.energy_eV, *prediction.forces_eV_per_A.flat]).all():
            raise AssayError(f"{structure.name} (number {index}) has no finite energy: do two of its atoms coincide?")
        predictions.append(prediction)
        largest = np.linalg.norm(prediction.forces_eV_per_A, axis=1).max(initial=0.0)
        print(
            f"{index:>5}  {structure.name[:24]:<24} {len(structure):>6} {prediction.energy_eV:>16.6f} {largest:>20.6f}"
        )
    if options.json:
        write_json(options.json, [vars(prediction) for prediction in predictions])
    if options.output:
        write_predictions(options.output, frames, predictions)


with exit_on_error():
    main(arguments())
