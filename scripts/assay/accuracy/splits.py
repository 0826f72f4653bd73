"""One labelled split, judged: what ``accuracy.json``, the figures and the log say of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ase
import numpy as np

from assay.accuracy.domain import Domain, Novelty
from assay.accuracy.evaluation import accuracy_of_split, by_novelty, with_both_forces, with_labels
from assay.accuracy.metrics import Errors
from assay.accuracy.shards import Piece
from assay.data.dataset import Dataset
from assay.data.scope import Scope, count_outside
from assay.workflow.config_models.config_yaml import Accuracy


@dataclass(frozen=True)
class Judged:
    """What was found out about a split.

    Attributes:
        row: what ``accuracy.json`` says of it.
        errors: of the structures that have a prediction.
        novelties: how unlike the training data each of these is; None where the training data are not known.
        worst: those with the largest errors, with the forces of teacher and student.
        unpredicted: how many structures have no prediction, and which; empty if all have one.
    """

    row: dict[str, Any]
    errors: Errors
    novelties: list[Novelty] | None
    worst: list[ase.Atoms]
    unpredicted: str

    def sentences(self, name: str) -> Iterator[str]:
        """What the log says of a split of this name."""
        if self.unpredicted:
            yield f"{name}: {self.unpredicted}"
        yield f"labels of {name}: {self.row['labels']['sentence']}"
        if self.row["scope"] and self.row["scope"]["n_outside"]:
            first = "; ".join(self.row["scope"]["first"].values())
            yield f"{self.row['scope']['n_outside']} structures of {name} are outside of the scope, such as {first}"
        if self.row["overlap"]:
            yield f"{name}: {self.row['overlap']['sentence']}"


def judge_split(
    piece: Piece, dataset: Dataset, domain: Domain, scope: Scope | None, settings: Accuracy, name: str
) -> Judged:
    """Judge the predictions of a split by its labels.

    Args:
        piece: what the model says of the structures of ``dataset``, in their order.
        dataset: the labelled structures.
        domain: what is known of the training data.
        scope: what the model was taught; None if it has no scope.
        settings: how accuracy is judged.
        name: of the split, for sentences.

    Raises:
        OutsideScope: every structure holds elements that the model does not know.
        AssayError: no structure has a prediction.
    """
    found = with_labels(piece.predictions, dataset, name)
    novelties = [piece.novelties[k] for k in np.flatnonzero(found.kept)] if domain.training_data.known else None
    row = accuracy_of_split(found.errors, found.dataset, settings) | {
        "without_prediction": found.record,
        "scope": count_outside(scope, found.dataset) if scope else None,
        "overlap": domain.overlap_with(list(found.dataset)),
        "domain": by_novelty(found.errors, novelties) if novelties is not None else None,
    }
    worst = with_both_forces(row["worst"], found.errors, found.dataset)
    return Judged(row, found.errors, novelties, worst, found.sentence)
