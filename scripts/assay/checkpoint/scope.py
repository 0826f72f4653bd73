"""What a checkpoint's student was taught, as the files beside it tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.checkpoint.container import Container
from assay.checkpoint.elements import read_elements
from assay.checkpoint.sections import IDENTITY_CARD
from assay.data.scope import Scope
from assay.workflow.files import named_after, sha256_file, training_record, write_json
from assay.workflow.provenance import header
from assay.workflow.records import SCOPE, read_content, training_scope


def read_scope(container: Container, max_z: int) -> Scope:
    """Read the scope of a student: of the card of a normalized model, of the file that ``write_scope`` wrote, or of the
    record of its training. The elements that the checkpoint names itself take precedence over theirs.

    A file counts only for the checkpoint that it names: other weights may have taken its place.

    Args:
        container: the checkpoint.
        max_z: the largest atomic number that its network has an embedding for.

    Raises:
        AssayError: an element is beyond that.
    """
    found, why = _told_beside(container)
    scope = Scope(reason=why) if found is None else Scope.from_record(found)
    elements = read_elements(container, max_z, scope.elements)
    return replace(scope, elements=None if elements is None else tuple(elements))


def write_scope(checkpoint: str | Path, scope: Scope) -> Path:
    """Write the scope of a checkpoint into the file beside it where ``read_scope`` looks, and return its path."""
    path = named_after(checkpoint, SCOPE)
    write_json(path, header(None) | {"file_sha256": sha256_file(checkpoint), "scope": scope.record})
    return path


def _told_beside(container: Container) -> tuple[Mapping[str, Any] | None, str]:
    """The record of a scope, or None and why there is none."""
    path = container.path
    card = container.config.get(IDENTITY_CARD)
    if isinstance(card, Mapping) and isinstance(card.get("scope"), Mapping):
        return card["scope"], ""
    own, record = read_content(training_scope(path)), read_content(training_record(path))
    if isinstance(own.get("scope"), Mapping) and own.get("file_sha256") == container.sha256:
        return own["scope"], ""
    if isinstance(record.get("scope"), Mapping) and record.get("train_sha256") in data_named_by(container):
        return record["scope"], ""
    if own:
        return None, f"{training_scope(path).name} is of another file than {path.name}"
    return None, f"nothing beside {path.name} tells what it was trained on"


def data_named_by(container: Container) -> list[str]:
    """The content hashes of training data that a checkpoint itself names."""
    trainings = [place.get("training") for place in (container.content, container.config)]
    hashes = [training.get("train_sha256") for training in trainings if isinstance(training, Mapping)]
    return [value for value in hashes if isinstance(value, str)]
