"""Splits that are predicted piece by piece, on many machines, and judged as one."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.accuracy.domain import Domain, Novelty
from assay.accuracy.evaluation import Predictions, predict_all
from assay.data.dataset import Dataset
from assay.predictors.interface import Predictor
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path


@dataclass(frozen=True)
class Piece:
    """What was found out about consecutive structures of a split, without their labels.

    Attributes:
        predictions: what the model says of them.
        novelties: how unlike the training data each of them is; of a refused one nothing is known.
    """

    predictions: Predictions
    novelties: list[Novelty]


@dataclass(frozen=True)
class Shard:
    """Pieces of splits, predicted by one job or put together from those of many.

    Attributes:
        pieces: by the name of the split.
        about: what the job says of itself: ``runtime``, ``dtype``, the ``scope`` of the model or None, and ``wall_s``.
    """

    pieces: Mapping[str, Piece]
    about: Mapping[str, Any]


def about_predictor(predictor: Predictor) -> dict[str, Any]:
    """What ``Shard.about`` says of the predictor: ``runtime``, ``dtype``, and its ``scope`` as a record, or None."""
    scope = predictor.scope.record if predictor.scope else None
    return {"runtime": predictor.runtime, "dtype": predictor.dtype, "scope": scope}


def predict_piece(predictor: Predictor, domain: Domain, dataset: Dataset, label: str) -> Piece:
    """Predict structures, and compare those that were not refused with the training data."""
    predictions = predict_all(predictor, dataset, label)
    novelties = [Novelty(0.0, 0, ())] * len(dataset)
    accepted = [index for index in range(len(dataset)) if index not in predictions.refused]
    for index, novelty in zip(accepted, domain.novelties_of([dataset[k] for k in accepted]), strict=True):
        novelties[index] = novelty
    return Piece(predictions, novelties)


def write_shard(path: str | Path, shard: Shard) -> None:
    """Write a shard, atomically."""
    arrays: dict[str, Any] = {}
    splits: list[dict[str, Any]] = []
    for number, (name, piece) in enumerate(shard.pieces.items()):
        said = piece.predictions
        arrays |= {f"{number}/energy": said.energy, f"{number}/forces": said.forces}
        arrays |= {} if said.stress is None else {f"{number}/stress": said.stress}
        arrays[f"{number}/scores"] = np.array([novelty.score for novelty in piece.novelties], dtype=np.float64)
        arrays[f"{number}/atoms"] = np.array([novelty.atom for novelty in piece.novelties], dtype=np.int64)
        splits.append(
            {
                "name": name,
                "refused": {str(index): reason for index, reason in said.refused.items()},
                "unknown": sorted(said.unknown),
                "patterns": {str(k): novelty.unknown for k, novelty in enumerate(piece.novelties) if novelty.unknown},
            }
        )
    about = {"about": dict(shard.about), "splits": splits}
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, about=np.array(json.dumps(about)), **arrays)


def read_shards(paths: Sequence[str | Path]) -> Shard:
    """Read the shards of all jobs, in the order of their structures, as one.

    Raises:
        AssayError: a file is missing or is something else.
    """
    shards = [_read(path) for path in paths]
    about = dict(shards[0].about) | {"wall_s": sum(shard.about["wall_s"] for shard in shards)}
    names = list(shards[0].pieces)
    return Shard({name: _joined([shard.pieces[name] for shard in shards]) for name in names}, about)


def _read(path: str | Path) -> Shard:
    try:
        with np.load(path, allow_pickle=False) as file:
            said = json.loads(str(file["about"]))
            return Shard({row["name"]: _piece(file, k, row) for k, row in enumerate(said["splits"])}, said["about"])
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise AssayError(f"{path} is no shard of predictions ({error}): make it again") from None


def _piece(file: Mapping[str, np.ndarray], number: int, row: Mapping[str, Any]) -> Piece:
    scores, atoms = file[f"{number}/scores"].tolist(), file[f"{number}/atoms"].tolist()
    novelties = [
        Novelty(score, atom, tuple(row["patterns"].get(str(k), ())))
        for k, (score, atom) in enumerate(zip(scores, atoms, strict=True))
    ]
    predictions = Predictions(
        file[f"{number}/energy"],
        file[f"{number}/forces"],
        file.get(f"{number}/stress"),
        {int(index): reason for index, reason in row["refused"].items()},
        frozenset(row["unknown"]),
    )
    return Piece(predictions, novelties)


def _joined(pieces: Sequence[Piece]) -> Piece:
    """One piece of consecutive ones, of which some may hold nothing."""
    every = [piece.predictions for piece in pieces]
    refused: dict[int, str] = {}
    start = 0
    for said in every:
        refused |= {start + index: reason for index, reason in said.refused.items()}
        start += len(said.energy)
    stress = None
    if any(said.stress is not None for said in every):
        stress = np.concatenate(
            [np.full((len(said.energy), 6), np.nan) if said.stress is None else said.stress for said in every]
        )
    held = [said.unknown for said in every if len(said.energy)]
    predictions = Predictions(
        np.concatenate([said.energy for said in every]),
        np.concatenate([said.forces for said in every]),
        stress,
        refused,
        frozenset().union(*held) if all(held) else frozenset(),
    )
    return Piece(predictions, [novelty for piece in pieces for novelty in piece.novelties])
