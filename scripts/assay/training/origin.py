"""A trained student that a training goes on from, with rows for new elements and on the energy scale of the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assay.checkpoint import Checkpoint, normalize
from assay.data.dataset import Dataset
from assay.engine.painn import accelerated
from assay.models import Potential, build_model
from assay.neighbors.inputs import graph_inputs
from assay.structures.batching import pack_structures
from assay.structures.structure import symbols_of
from assay.training.references import reference_energies
from assay.workflow.errors import AssayError
from assay.workflow.files import sha256_file
from assay.workflow.teachers import teacher_beside


@dataclass(frozen=True)
class Origin:
    """The student that a training goes on from.

    Attributes:
        model: its network, with an embedding for each element of the new data and reference energies that fit them.
        record: what the record of the new training says of it.
        checkpoint: its file as it was read.
    """

    model: Potential
    record: dict[str, Any]
    checkpoint: Checkpoint


def read_origin(path: str | Path, train: Dataset, **told: Any) -> Origin:
    """Read a checkpoint to go on from, and make it ready for other data.

    Elements that it was not trained on, or has no row for, begin with the mean embedding of those that it knows.
    Reference energies are fitted to what its network leaves of the labels, so that another teacher's zero of energy
    does not matter.

    Args:
        path: the checkpoint, in any form that a variant may have.
        train: structures that it goes on with.
        told: what the user says of the checkpoint: ``cutoff_A``, ``weights`` and ``units`` of ``normalize``.

    Raises:
        AssayError: the checkpoint cannot be used, or its network cannot learn new elements.
    """
    checkpoint = normalize(path, **told)
    needed = train.elements
    known = checkpoint.atomic_numbers
    new = [
        z for z in needed if (known is not None and z not in known) or z > checkpoint.network.hyperparameters["max_z"]
    ]
    model = _with_elements(checkpoint, needed, known, new)
    model.get_buffer("reference_energy").zero_()
    learned = _energies(model, train)
    references = reference_energies(train, model.max_z, train.energy - learned)
    model.get_buffer("reference_energy").copy_(references)
    record = {
        "path": str(path),
        "sha256": sha256_file(path),
        "told": told,
        "architecture": model.architecture,
        "teacher": teacher_beside(path),
        "elements": known,
        "new_elements": new,
        "sentence": f"trained on from {path}"
        + (f", with new embeddings of {symbols_of(new)}" if new else ", whose elements are those of the data"),
    }
    return Origin(model, record, checkpoint)


def _with_elements(checkpoint: Checkpoint, needed: list[int], known: list[int] | None, new: list[int]) -> Potential:
    """The network with rows for all elements that are needed, those of new ones made of the known."""
    network = checkpoint.network
    max_z = max(network.hyperparameters["max_z"], *needed)
    try:
        model = build_model(network.architecture, network.hyperparameters | {"max_z": max_z})
    except TypeError as error:
        raise AssayError(f"{checkpoint.container.path} cannot be trained on ({error}): begin without `from`") from None
    state = model.state_dict()
    if "reference_energy" not in state:
        raise AssayError(
            f"{checkpoint.container.path} cannot be trained on: its network, {network.architecture}, has no energies "
            "of single atoms that other labels could set; begin without `from`"
        )
    with torch.no_grad():
        for name, tensor in network.tensors.items():
            if tensor.shape == state[name].shape:
                state[name].copy_(tensor)
            else:
                state[name][: len(tensor)].copy_(tensor)
        if new:
            embedding = state["embedding.weight"]
            mean = network.tensors["embedding.weight"][known or slice(1, None)].mean(0)
            embedding[new] = mean
    model.load_state_dict(state)
    return model


def _energies(model: Potential, dataset: Dataset) -> np.ndarray:
    """The energies (S,) of a network, eV."""
    energies, energy_and_forces = np.zeros(len(dataset)), accelerated(model)
    for chunk in pack_structures(list(dataset), model.cutoff):
        part = dataset.subset(chunk)
        atoms, graph = graph_inputs(list(part), model.cutoff)
        energies[chunk] = energy_and_forces(*atoms, len(part), graph).energy.detach().numpy()
    return energies
