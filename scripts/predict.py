"""Energies and forces of structures by any model: a checkpoint, normalized or not, an exported file, a variant of the
config, or the ASE calculator of another program.

Each structure is evaluated alone, so that its numbers do not depend on what else is in the file. With a description of
the training data, structures unlike them are flagged; and so is what lies outside of the model's scope: a charge or
spin that it ignores, periodicity, a size or a density that it was not taught. Elements that it was not taught are
refused.
"""

import argparse
from typing import Any

import numpy as np

from assay.accuracy.domain import Domain, domain_beside, read_domain
from assay.data.scope import Scope
from assay.predictors.named import add_arguments, named_model
from assay.predictors.structure_files import PredictionFiles, predict_frames, read_frames
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError, exit_on_error
from assay.workflow.files import require_own_files

_NO_DESCRIPTION = (
    "No structure is flagged as unlike the training data, because no description of these lies beside the model: "
    "name one with --domain."
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("structures", help="a file in any format of docs/datasets.md, labelled or not")
    parser.add_argument("--json", metavar="FILE", help='write [{"energy_eV": ..., "forces_eV_per_A": ...}, ...]')
    parser.add_argument("--output", metavar="FILE", help="write extended XYZ (.xyz, .extxyz) with the predictions")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--dtype", choices=["float32", "float64"], default="float64", help="exported files compute in their own"
    )
    described = "description of the training data; by default what lies beside the model"
    parser.add_argument("--domain", metavar="FILE", help=described)
    return parser.parse_intermixed_args()


def main(options: argparse.Namespace) -> None:
    model = named_model(options)
    inputs = [options.structures, model.path, options.domain, options.config]
    require_own_files({"--json": options.json, "--output": options.output}, inputs)
    if options.output and not options.output.lower().endswith((".xyz", ".extxyz")):
        raise AssayError(f"--output {options.output} is to be extended XYZ: let it end in .xyz or .extxyz")
    frames = read_frames(options.structures)
    [predictor] = model.load(options.device, dtypes=(options.dtype,))
    domain = read_domain(options.domain) if options.domain else model.path and domain_beside(model.path)
    known = domain is not None and domain.training_data.known
    n_predicted, n_outside, refusals = 0, 0, []
    answers = predict_frames(predictor, frames, options.structures)
    with PredictionFiles(options.json, options.output) as files:
        for index, (atoms, structure, prediction, refusal) in enumerate(answers):
            if not index:
                print(f"{'#':>5}  {'structure':<24} {'atoms':>6} {'energy_eV':>16} {'max_force_eV_per_A':>20}")
            if refusal:
                refusals.append(refusal)
                files.write_refusal(refusal)
                print(f"{index:>5}  no prediction: {refusal}")
                continue
            note = _note(domain if known else None, predictor.scope, structure)
            files.write(atoms, prediction, note)
            n_predicted += 1
            n_outside += bool(note.get("outside_scope"))
            largest = np.linalg.norm(prediction.forces_eV_per_A, axis=1).max(initial=0.0)
            flag = f"  unlike training data: {note['flag_reason']}" if note.get("flag_reason") else ""
            flag += f"  outside of the scope: {note['outside_scope']}" if note.get("outside_scope") else ""
            values = f"{len(structure):>6} {prediction.energy_eV:>16.6f} {largest:>20.6f}"
            print(f"{index:>5}  {structure.name[:24]:<24} {values}{flag}")
        if not n_predicted:
            raise AssayError(refusals[0] if refusals else f"{options.structures} holds no structures: give one or more")
    print(domain.training_data.sentence if domain else _NO_DESCRIPTION)
    if predictor.scope:
        print(f"The scope of the model: {predictor.scope.with_outside(n_outside, n_predicted)}.")
    if refusals:
        others = f" (and of {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        raise AssayError(f"there is no prediction of one structure{others}, but of all others: {refusals[0]}")


def _note(domain: Domain | None, scope: Scope | None, structure: Structure) -> dict[str, Any]:
    """What files of predictions say of how unlike the training data a structure is, and what is outside the scope."""
    note: dict[str, Any] = {}
    if domain is not None:
        compared_with = domain.training_data.compared_with
        note = domain.novelties_of([structure])[0].record | {"flag_compares_with": compared_with}
    if scope is not None:
        note["outside_scope"] = "; ".join(scope.outside(structure).values())
        if note["outside_scope"]:
            note["flagged"] = True
    return note


with exit_on_error():
    main(arguments())
