"""The files that training leaves beside a checkpoint, and the builds of the dataset that hold what is shipped of it.

Snakemake asks while it plans, so nothing here imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

from assay.workflow.files import beside, training_record

# The description of training data that a student is compared by: its own, that of the shipped structures, that of the
# structures which the config names, or none.
Description = Literal["own", "shipped", "named", "none"]

SCOPE = ".scope.json"  # the ending of the file with the scope of a checkpoint


def training_description(checkpoint: str | Path) -> Path:
    """Where the description of a checkpoint's training data lies, if there is one: beside it."""
    return beside(checkpoint, ".domain.npz")


def description_beside(model: str | Path) -> Path | None:
    """The description of training data that is read with a model: results/<variant>/domain.npz of
    results/<variant>/<file>, or the one that training left beside a checkpoint; None if there is neither.
    """
    places = (Path(model).with_name("domain.npz"), training_description(model))
    return next((path for path in places if path.is_file()), None)


def training_scope(checkpoint: str | Path) -> Path:
    """Where the scope of a checkpoint lies, if it was written down: beside it."""
    return beside(checkpoint, SCOPE)


def told_beside(checkpoint: str | Path) -> list[Path]:
    """The files beside a checkpoint that tell of its scope, as far as they exist."""
    return [path for path in (training_scope(checkpoint), training_record(checkpoint)) if path.is_file()]


class ShippedPart(TypedDict):
    """The training structures that are shipped.

    Attributes:
        sha256: their content hash; None if nothing names it.
        part_of: content hashes of the builds that hold all of them.
    """

    sha256: str | None
    part_of: list[str]


NOTHING_SHIPPED: ShippedPart = {"sha256": None, "part_of": []}


def trained_on(checkpoint: str | Path) -> tuple[str, int] | None:
    """The content hash and the number of the structures that the record beside a checkpoint names; None without one."""
    record = read_content(training_record(checkpoint))
    sha256, n_structures = record.get("train_sha256"), record.get("n_structures")
    return (sha256, n_structures) if isinstance(sha256, str) and isinstance(n_structures, int) else None


def read_shipped_part(dataset_record: str | Path) -> ShippedPart:
    """What ``dataset.json`` says of the shipped training structures."""
    content = read_content(dataset_record)
    sha256 = content.get("parts", {}).get("train", {}).get("content_sha256")
    return {"sha256": sha256, "part_of": [build["sha256"] for build in content.get("part_of", [])]}


def description_for(checkpoint: str | Path | None, shipped: ShippedPart, named: bool) -> Description:
    """The kind of description of training data that there is for a checkpoint.

    Args:
        checkpoint: the file of a variant; None for a calculator, which has none.
        shipped: the training structures that are shipped.
        named: whether the user names training data in the config.
    """
    training = None if checkpoint is None else trained_on(checkpoint)
    if checkpoint is not None and training is not None and training_description(checkpoint).is_file():
        return "own"
    if training is not None and training[0] in shipped["part_of"]:
        return "shipped"
    return "named" if named else "none"


def whole_record(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is shown of a training; None of a record that does not tell all of it, such as one of the teacher alone."""
    tells = record.get("curve") and all(key in record for key in ("data_sets", "hours", "devices", "recipe"))
    return dict(record) if tells else None


def read_content(path: str | Path) -> dict[str, Any]:
    """The keys of a JSON file; none if it is missing or something else."""
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
