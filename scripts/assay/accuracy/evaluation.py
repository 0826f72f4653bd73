"""How far a model's energies and forces are from the teacher's, split by split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ase
import numpy as np
import scipy.stats
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress

from assay.accuracy.domain import Novelty
from assay.accuracy.label_checks import NAMED, check_labels
from assay.accuracy.metrics import (
    UNITS,
    Errors,
    baselines,
    confidence_intervals,
    force_metrics_of_atoms,
    metrics,
    percentiles,
)
from assay.data.dataset import Dataset
from assay.predictors.interface import Prediction, Predictor, check_structure
from assay.structures.batching import pack_structures
from assay.structures.structure import Structure, molecule_numbers, symbols_of
from assay.workflow.config_models.config_yaml import Accuracy
from assay.workflow.errors import AssayError
from assay.workflow.progress import progress

ALL_FAIL = 20  # structures in a row without a prediction, after which a model is asked for no more
LISTED = 100  # so many structures without a prediction are listed in a file


@dataclass(frozen=True)
class Predictions:
    """What a model says of S structures with A atoms, NaN for those that it refuses.

    Attributes:
        energy: (S,) float64, eV.
        forces: (A, 3) float64, eV/angstrom.
        stress: (S, 6) float64, eV/angstrom^3, in the order of ``Errors``; None where no structure is labelled with one.
        refused: why a structure was refused, by its index.
        unknown: atomic numbers that keep the model from every one of the structures; none if it knows those of any.
    """

    energy: np.ndarray
    forces: np.ndarray
    stress: np.ndarray | None
    refused: Mapping[int, str]
    unknown: frozenset[int]


@dataclass(frozen=True)
class Predicted:
    """Predictions of those structures that have a finite one.

    Attributes:
        kept: (S,) bool, which of all structures these are.
        dataset: these structures.
        errors: their predictions beside their labels.
        without: of each structure without a finite prediction its ``name``, its ``number`` in the file, and the
            ``reason``.
    """

    kept: np.ndarray
    dataset: Dataset
    errors: Errors
    without: list[dict[str, Any]]

    @property
    def record(self) -> dict[str, Any]:
        """What ``accuracy.json`` says of structures without a prediction."""
        return {"n_structures": len(self.without), "structures": self.without[:LISTED]}

    @property
    def sentence(self) -> str:
        """How many structures have no prediction, and which; empty if all have one."""
        if not self.without:
            return ""
        total = len(self.without) + len(self.dataset)
        named = "; ".join(f"{row['name']} (number {row['number']}): {row['reason']}" for row in self.without[:NAMED])
        return f"{len(self.without)} of {total} structures have no prediction and are not in the errors: {named}"


class OutsideScope(AssayError):
    """A model cannot judge any structure of a split, because of their elements."""


def unknown_elements(predictor: Predictor, structures: Iterable[Structure]) -> frozenset[int]:
    """The atomic numbers that keep a model from every one of the structures; none if it knows those of any."""
    known = predictor.elements or frozenset(range(1, predictor.max_z + 1))
    missing: set[int] = set()
    for structure in structures:
        unknown = set(structure.atomic_numbers.tolist()) - known
        if not unknown:
            return frozenset()
        missing |= unknown
    return frozenset(missing)


def predict_all(predictor: Predictor, dataset: Dataset, label: str = "") -> Predictions:
    """Predict every structure that the predictor does not refuse, in batches of bounded size, with a progress bar that
    counts atoms.

    Raises:
        AssayError: ``ALL_FAIL`` structures in a row have no prediction: the model cannot be used, or no more.
    """
    refused: dict[int, str] = {}
    accepted: dict[int, Structure] = {}
    for index, structure in enumerate(dataset):
        try:
            check_structure(structure, predictor)
            accepted[index] = structure
        except AssayError as error:
            refused[index] = str(error).removeprefix(f"{structure.name} ")
    places, structures = list(accepted), list(accepted.values())
    energy, forces = np.full(len(dataset), np.nan), np.full((int(dataset.offsets[-1]), 3), np.nan)
    stress = None if dataset.stress is None else np.full((len(dataset), 6), np.nan)
    in_a_row = 0
    batches = pack_structures(structures, predictor.cutoff_A)
    found = (answer for batch in batches for answer in _answers(predictor, [structures[k] for k in batch]))
    with progress(total=int(dataset.sizes[places].sum()), unit="atoms", desc=label or "predicting") as bar:
        for index, prediction in zip((places[k] for batch in batches for k in batch), found, strict=True):
            bar.update(int(dataset.sizes[index]))
            if isinstance(prediction, AssayError):
                refused[index] = str(prediction)
                in_a_row += 1
                if in_a_row >= ALL_FAIL:
                    raise prediction
            else:
                in_a_row = 0
                energy[index] = prediction.energy_eV
                forces[dataset.offsets[index] : dataset.offsets[index + 1]] = prediction.forces_eV_per_A
                if stress is not None and prediction.stress_eV_per_A3 is not None:
                    stress[index] = full_3x3_to_voigt_6_stress(prediction.stress_eV_per_A3)
    return Predictions(energy, forces, stress, refused, unknown_elements(predictor, dataset))


def _answers(predictor: Predictor, structures: list[Structure]) -> Iterator[Prediction | AssayError]:
    """The predictions of a batch, or, where the model fails in it, of one structure after the other, or its errors."""
    try:
        yield from predictor.predict(structures)
    except AssayError as error:
        if len(structures) == 1:
            yield error
        else:
            for structure in structures:
                yield from _answers(predictor, [structure])


def with_labels(predictions: Predictions, dataset: Dataset, label: str = "") -> Predicted:
    """Put predictions beside labels, and set apart the structures that were refused or have no finite numbers.

    Raises:
        OutsideScope: every structure holds elements that the predictor does not know.
        AssayError: no structure has a prediction.
    """
    if predictions.unknown:
        raise OutsideScope(
            f"every structure of {label or 'the split'} holds elements that it does not know: "
            f"{symbols_of(predictions.unknown)}"
        )
    labelled = None if dataset.stress is None else full_3x3_to_voigt_6_stress(dataset.stress)
    columns = (predictions.energy, dataset.energy, predictions.forces, dataset.forces, predictions.stress, labelled)
    errors = Errors(dataset.atomic_numbers, dataset.sizes, *columns)
    kept = np.isfinite(errors.energy) & (errors.per_structure((~np.isfinite(errors.forces)).sum(1)) == 0)
    without = [
        {
            "name": str(dataset.names[index]),
            "number": int(dataset.places[index]),
            "reason": predictions.refused.get(index, "energy or forces are not finite"),
        }
        for index in np.flatnonzero(~kept).tolist()
    ]
    found = Predicted(kept, dataset.subset(kept), errors.subset(kept), without)
    if not len(found.dataset):
        raise AssayError(f"no structure of {label or 'the split'} can be judged: {found.sentence}")
    return found


def accuracy_of_split(errors: Errors, dataset: Dataset, settings: Accuracy) -> dict[str, Any]:
    """Everything that ``accuracy.json`` says of one split.

    Args:
        errors: the predictions beside the labels of ``dataset``.
        dataset: the structures that are judged.
        settings: how they are judged.
    """
    return {
        "n_structures": len(errors),
        "n_atoms": len(errors.atomic_numbers),
        "n_molecules": len(np.unique(molecule_numbers(dataset.molecules))),
        "n_stress_labels": 0 if errors.stress_teacher is None else int(np.isfinite(errors.stress_teacher).all(1).sum()),
        "n_stresses": int(np.isfinite(errors.stress_error).all(1).sum()),
        **metrics(errors),
        "confidence_intervals": confidence_intervals(
            errors, dataset.molecules, settings.resamples, settings.confidence, settings.seed
        ),
        "baselines": baselines(errors),
        "per_element": per_element(errors),
        "per_size": per_size(errors, settings.size_bins),
        "percentiles": {
            "force_error_eV_per_A": percentiles(errors.force_error),
            "force_size_error_eV_per_A": percentiles(np.linalg.norm(errors.forces, axis=1) - errors.force_size),
            "force_angle_deg": percentiles(np.degrees(np.arccos(np.clip(errors.cosine, -1.0, 1.0)))),
            "energy_error_eV_per_atom": percentiles(errors.energy_error_per_atom),
            "stress_error_GPa": percentiles(np.abs(errors.stress_error).max(1) * UNITS["GPa"]),
        },
        "labels": check_labels(errors, dataset),
        "worst": worst(errors, dataset, settings.worst),
    }


def by_novelty(errors: Errors, novelties: Sequence[Novelty]) -> dict[str, Any]:
    """What the flag for structures unlike the training data is worth: errors of flagged beside unflagged structures;
    and the bonding patterns and contacts that are missing most often, with their structures.
    """
    flagged = np.array([novelty.flagged for novelty in novelties], dtype=bool)
    rmse = force_rmse(errors)
    ranks = [scipy.stats.rankdata(values) for values in ([novelty.score for novelty in novelties], rmse)]
    spread = [float(np.std(rank)) for rank in ranks]
    return {
        "flagged_fraction": float(flagged.mean()),
        "unknown_pattern_fraction": float(np.mean([bool(n.unknown) for n in novelties])),
        "flagged": {"n_structures": int(flagged.sum()), **metrics(errors.subset(flagged))},
        "unflagged": {"n_structures": int((~flagged).sum()), **metrics(errors.subset(~flagged))},
        "rank_correlation_with_force_rmse": float(np.corrcoef(*ranks)[0, 1]) if all(spread) else None,
        "unknown_patterns": dict(Counter(pattern for n in novelties for pattern in n.unknown).most_common(10)),
    }


def force_rmse(errors: Errors) -> np.ndarray:
    """(S,) root-mean-square force error over the components of each structure, eV/angstrom."""
    return np.sqrt(errors.per_structure(errors.force_error**2) / (3 * errors.n_atoms))


def per_element(errors: Errors) -> dict[str, dict[str, Any]]:
    """Force errors of the atoms of each element, by symbol."""
    return {
        chemical_symbols[z]: force_metrics_of_atoms(errors, errors.atomic_numbers == z)
        for z in np.unique(errors.atomic_numbers)
    }


def per_size(errors: Errors, upper_ends: Sequence[int]) -> list[dict[str, Any]]:
    """Metrics by number of atoms; empty bins are left out."""
    lower, rows = 1, []
    for upper in [*sorted(upper_ends), None]:
        inside = (errors.n_atoms >= lower) & (errors.n_atoms <= (upper or np.inf))
        if inside.any():
            here = errors.subset(inside)
            rows.append({"n_atoms_min": lower, "n_atoms_max": upper, "n_structures": len(here), **metrics(here)})
        lower = (upper or 0) + 1
    return rows


def worst(errors: Errors, dataset: Dataset, count: int) -> list[dict[str, Any]]:
    """The structures with the largest root-mean-square force error, worst first."""
    rmse = force_rmse(errors)
    return [
        {
            "name": str(dataset.names[k]),
            "molecule": str(dataset.molecules[k]),
            "n_atoms": int(errors.n_atoms[k]),
            "force_rmse_eV_per_A": float(rmse[k]),
            "energy_error_eV_per_atom": float(errors.energy_error_per_atom[k]),
            "index": int(k),
        }
        for k in np.argsort(-np.nan_to_num(rmse, nan=np.inf))[:count]
    ]


def with_both_forces(rows: list[dict[str, Any]], errors: Errors, dataset: Dataset) -> list[ase.Atoms]:
    """The structures that rows of ``worst`` name, with the teacher's labels and, as ``student_forces``, the student's.

    Args:
        rows: what ``worst`` returned for these errors; ``index`` is taken out of each.
        errors: of these structures.
        dataset: the structures of ``errors``.
    """
    named = []
    for index in [row.pop("index") for row in rows]:
        atoms = dataset[index].to_ase()
        atoms.arrays["student_forces"] = errors.forces[dataset.offsets[index] : dataset.offsets[index + 1]]
        named.append(atoms)
    return named
