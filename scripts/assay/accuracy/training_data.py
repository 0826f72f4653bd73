"""What is known of the data that a student was trained on, and which description of them speaks for it.

A record beside a checkpoint counts only if the checkpoint itself names the same data: other weights may have taken the
place of those that the record tells of.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.checkpoint.container import read_container
from assay.checkpoint.scope import data_named_by
from assay.workflow.errors import AssayError
from assay.workflow.files import training_record
from assay.workflow.records import Description, ShippedPart, trained_on, training_description

ALL, PART, NAMED, UNKNOWN = "all", "part", "named", "unknown"


@dataclass(frozen=True)
class TrainingData:
    """The structures that others are compared with, beside those that the student was trained on.

    Attributes:
        extent: "all" of the training structures, a "part" of them, those that the config has "named" as training data,
            or "unknown", with which nothing is flagged.
        n_described: number of the structures that others are compared with.
        n_training: number of the structures that the student was trained on; None if that is not known.
        sha256: content hash of the structures that others are compared with; None if there are none.
        reason: why the training data are unknown; empty if they are known.
    """

    extent: str
    n_described: int
    n_training: int | None
    sha256: str | None
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether there is something to compare structures with."""
        return self.extent != UNKNOWN

    @property
    def compared_with(self) -> str:
        """The structures that others are compared with, in words such as "38,464 of 283,301 training structures"."""
        return {
            ALL: f"all {self.n_described:,} training structures",
            PART: f"{self.n_described:,} of {self.n_training or 0:,} training structures",
            NAMED: f"the {self.n_described:,} structures that the config names as training data",
            UNKNOWN: "nothing",
        }[self.extent]

    @property
    def sentence(self) -> str:
        """What a reader of flags has to know."""
        if self.known:
            return f"Structures are compared with {self.compared_with}."
        return f"No structure is flagged as unlike the training data, because these are unknown: {self.reason}."

    @property
    def record(self) -> dict[str, Any]:
        """What ``accuracy.json`` says of the training data."""
        return asdict(self) | {"compared_with": self.compared_with, "sentence": self.sentence}


def unknown(reason: str) -> TrainingData:
    """Training data of which nothing is known."""
    return TrainingData(UNKNOWN, 0, None, None, reason)


def training_data_of(
    checkpoint: str | Path | None, description: Description, described: TrainingData | None, shipped: ShippedPart
) -> TrainingData:
    """What structures are compared with for a student.

    Args:
        checkpoint: the file that the student came in; None for a calculator.
        description: the kind of description that there is, see ``records.description_for``.
        described: the structures of that description; None if there is none.
        shipped: the training structures that are shipped.

    Raises:
        AssayError: the checkpoint, its record and the description of its training data contradict each other.
    """
    if checkpoint is None:
        if described is None:
            return unknown("a calculator does not tell what its model was trained on")
        return TrainingData(NAMED, described.n_described, None, described.sha256)
    name, record = Path(checkpoint).name, training_record(checkpoint)
    training = trained_on(checkpoint)
    said = next(iter(data_named_by(read_container(checkpoint))), None)
    if training is not None and said is not None and said != training[0]:
        raise AssayError(
            f"{record} is the record of another training than that of {checkpoint}, which names other data: put the "
            "record of this checkpoint in its place, or remove it"
        )
    if described is None:
        return unknown(_without_description(name, record, training))
    if description == "named":
        return TrainingData(NAMED, described.n_described, None, described.sha256)
    if training is None or said is None:
        return unknown(f"{name} does not say itself what it learned from, so {record.name} may be of another file")
    sha256, n_training = training
    if described.sha256 == sha256:
        extent = PART if described.extent == PART else ALL
        return TrainingData(extent, described.n_described, n_training, sha256)
    if description == "own":
        raise AssayError(
            f"{training_description(checkpoint)} describes other data than those that {record.name} names: put the "
            "one that this training wrote in its place, or remove it"
        )
    if sha256 not in shipped["part_of"] or described.sha256 != shipped["sha256"]:
        return unknown("the shipped structures are not those that their own record tells of")
    return TrainingData(PART, described.n_described, n_training, described.sha256)


def _without_description(name: str, record: Path, training: tuple[str, int] | None) -> str:
    """Why there is nothing to compare structures with."""
    if not record.is_file():
        return f"there is no record of the training of {name}"
    if training is None:
        return f"{record.name} does not say what {name} was trained on"
    return f"of the {training[1]:,} structures that {name} was trained on there is no description"
