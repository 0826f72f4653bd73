"""The structures that quantization calibrates and judges on, with labels of their own or usual errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.data import read_examples
from assay.predictors.interface import Predictor, load_predictor
from assay.quantize.comparison import errors
from assay.structures.geometry import cut_out, moved
from assay.structures.structure import Structure, knows, open_molecules
from assay.workflow.errors import AssayError
from assay.workflow.teachers import labelled_by, whose_labels

Source = str | Mapping[str, Any]  # a labelled file as ``read_dataset`` takes it
CLUSTER_ATOMS = (12, 41)  # the fewest and, less one, the most atoms of a cluster that is cut out of a crystal
NONE_KNOWN = (
    "no file of labelled structures has any of elements that the model knows, open ones of more than one atom or "
    "crystals: name one as dataset.validation"
)


def sample_known(sources: Sequence[Source], count: int, seed: int, elements: Sequence[str] | None) -> list[Structure]:
    """Draw at most ``count`` structures at random from the first labelled file that has some for model.onnx.

    It takes open structures of more than one atom, of elements that the model knows. Where they are fewer than
    ``count``, clusters are cut out of the crystals of the files until then, which have no labels (see
    ``with_usual_errors``).

    Args:
        sources: labelled files, each given as to ``read_dataset``.
        count: the largest number of structures.
        seed: seed of the draw.
        elements: symbols of the elements that the model knows; None if it takes all.

    Raises:
        AssayError: no file has any.
    """
    found = _draw(sources, count, seed, elements)
    if not found:
        raise AssayError(NONE_KNOWN)
    return found


def _draw(sources: Sequence[Source], count: int, seed: int, elements: Sequence[str] | None) -> list[Structure]:
    """The structures of ``sample_known``; none if no file has any."""
    rng = np.random.default_rng(seed)
    known: list[Structure] = []
    crystals: list[Structure] = []
    for source in sources:
        every = [structure for structure in read_examples([source]) if knows(elements, structure)]
        crystals += [structure for structure in every if structure.pbc.all()]
        if known := open_molecules(every):
            break
    drawn = [known[k] for k in rng.permutation(len(known))[:count]]
    if crystals:
        drawn += [_cluster(crystals[k], rng) for k in rng.integers(len(crystals), size=count - len(drawn))]
    return drawn


def sample_unseen(
    sources: Sequence[Source],
    teacher: str | None,
    count: int,
    seed: int,
    elements: Sequence[str] | None,
) -> tuple[list[Structure], dict[str, Any]]:
    """Draw structures to judge a student on: of files that its own teacher labelled, else of files whose teacher is
    unknown, and only without either of those that another teacher labelled.

    Args:
        sources, count, seed, elements: as in ``sample_known``; a source may name its ``teacher``.
        teacher: the name of the student's teacher; None if it is unknown.

    Returns:
        The structures; and whose their labels are, as ``whose_labels`` says it.

    Raises:
        AssayError: no file has any.
    """
    for group, whose in _by_teacher(sources, teacher):
        if found := _draw(group, count, seed, elements):
            return found, whose
    raise AssayError(NONE_KNOWN)


def _by_teacher(sources: Sequence[Source], teacher: str | None) -> Iterator[tuple[list[Source], dict[str, Any]]]:
    """The files that the student's own teacher labelled, those whose teacher is unknown, those of another; and whose
    their labels are.
    """
    whose = [whose_labels(labelled_by(source), teacher) for source in sources]
    for own in (True, None, False):
        group = [source for source, said in zip(sources, whose, strict=True) if said["own"] is own]
        if group:
            yield group, next(said for said in whose if said["own"] is own)


def _cluster(crystal: Structure, rng: np.random.Generator) -> Structure:
    """Some atoms of a crystal around one of them, as an open structure."""
    first = int(rng.integers(len(crystal)))
    turned = moved(crystal, np.roll(crystal.positions, -first, axis=0))
    turned = replace(turned, atomic_numbers=np.roll(crystal.atomic_numbers, -first))
    return cut_out(turned, int(rng.integers(*CLUSTER_ATOMS)))


def with_usual_errors(
    structures: Sequence[Structure], exact: Path, usual: Mapping[str, float], seed: int
) -> list[Structure]:
    """Give those without labels some from which the model is as far as it is from those of its held-out structures.

    The labels are its own predictions plus independent normal errors of that mean size, so that what a scheme adds to
    the errors is weighed as it is for labelled structures.

    Args:
        structures: clusters without labels, and labelled structures, which stay as they are.
        exact: the file of the model in single precision.
        usual: its mean absolute errors, as ``usual_errors`` finds them.
        seed: the seed of the errors.
    """
    rng, of_mean = np.random.default_rng(seed), np.sqrt(np.pi / 2.0)  # a normal error over its mean size
    of_energies, of_forces = of_mean * usual["energy_mae_eV_per_atom"], of_mean * usual["force_mae_eV_per_A"]
    labelled = []
    for structure, found in zip(structures, load_predictor(exact).predict(structures), strict=True):
        if structure.energy_eV is None:
            energy = found.energy_eV + len(structure) * of_energies * rng.normal()
            forces = found.forces_eV_per_A + of_forces * rng.normal(size=(len(structure), 3))
            structure = replace(structure, energy_eV=energy, forces_eV_per_A=forces)
        labelled.append(structure)
    return labelled


def usual_errors(
    student: Predictor,
    sources: Sequence[Source],
    teacher: str | None,
    count: int,
    seed: int,
    elements: Sequence[str] | None,
) -> dict[str, float]:
    """The ``errors`` of a student on labelled crystals, of those that ``sample_unseen`` cuts clusters out of.

    Args:
        student: a predictor of periodic structures.
        sources, teacher, count, seed, elements: as in ``sample_unseen``.

    Raises:
        AssayError: no file has any.
    """
    for group, _ in _by_teacher(sources, teacher):
        crystals = [s for s in read_examples(group) if s.pbc.all() and knows(elements, s)]
        if crystals:
            drawn = np.random.default_rng(seed).permutation(len(crystals))[:count]
            return errors(student, [crystals[k] for k in drawn])
    raise AssayError(NONE_KNOWN)
