"""What a check is, and what it is given to look at."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import numpy as np

from assay.physics import reference
from assay.physics.reference import Frame, Reference
from assay.predictors.interface import Prediction, Predictor, rounding_eV
from assay.structures.geometry import centered, cut_out, droplet, shaken
from assay.structures.structure import Structure, atomic_numbers, covering
from assay.workflow.teachers import same_teacher

P = ParamSpec("P")
R = TypeVar("R")

SHAKE_A = 0.03  # it stretches a bond of 35 eV/angstrom^2 by what kT at 300 K allows: k * shake^2 = kT
DENSE_CLUSTER_ATOMS, DENSE_CLUSTER_ATOMS_PER_A3 = 120, 0.07
STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))  # of a first derivative: steps and weights
CUT_OUT_ATOMS = (6, 13)  # of a crystal: one cluster for derivatives, one with a whole shell of neighbors
LARGEST_FOR_DERIVATIVES = 10  # atoms: six molecules of this size need 1,400 displaced copies
LARGEST_WITH_AN_ELEMENT = 20  # atoms of a molecule for derivatives that has an element which no smaller one has


class NotApplicable(Exception):
    """A check has nothing that it could judge; the message says why."""


class NoReference(NotApplicable):
    """A check lacks a reference of the student's own teacher, which somebody could make."""


class NoDynamics(NotApplicable):
    """A check needs longer dynamics than the settings have."""


class OutOfScope(NotApplicable):
    """A check asks about something that the structures of the reference do not have, such as torsions in a crystal."""


@dataclass(frozen=True)
class Measurement:
    """What a check found.

    Attributes:
        values: the numbers that thresholds judge, by name with unit.
        raw: what they were made of, for figures and for other thresholds; plain types and arrays.
    """

    values: dict[str, float]
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """A question to a model.

    Attributes:
        name: its name in config and results.
        question: what a pass means, as a sentence for people.
        measure: finds the numbers.
        against_teacher: whether it compares the model with labels of its teacher, and not with itself alone.
    """

    name: str
    question: str
    measure: Callable[[Subject], Measurement]
    against_teacher: bool = False


@dataclass
class Subject:
    """A model under judgement, and the geometries that it is judged on.

    Attributes:
        predictor: the model, in float64 where it can be.
        moving: the model as it would be run in dynamics, mostly in float32.
        reference: geometries, and a teacher's labels of them.
        dynamics: the settings of the config's ``physics.dynamics``.
        seed: the seed of everything random.
        teacher: the name of the student's teacher; None if it is unknown.
    """

    predictor: Predictor
    moving: Predictor
    reference: Reference
    dynamics: dict[str, Any]
    seed: int = 0
    teacher: str | None = None

    def require_reference(self) -> None:
        """Make sure that the labels of the reference are those of the student's teacher.

        Raises:
            NoReference: they are not, or one of both teachers is unknown.
        """
        if self.teacher is None:
            raise NoReference(
                "its teacher is unknown: say `teacher: NAME` of the variant in the config, or `--teacher NAME`"
            )
        if not same_teacher(self.teacher, self.reference.teacher):
            raise NoReference(f"no reference of {self.teacher}: {reference.HOW_TO_MAKE}")

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that the model knows."""
        return self.predictor.elements or frozenset(range(1, self.predictor.max_z + 1))

    @property
    def exact(self) -> bool:
        """Whether the model computes in float64."""
        return self.predictor.dtype == "float64"

    def rng(self, purpose: str) -> np.random.Generator:
        """Random numbers of their own for each purpose, so that checks can run alone or in any order."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])

    def groups(self, kind: str) -> dict[str, list[Frame]]:
        """The reference's frames of a kind that the model knows all elements of.

        Raises:
            OutOfScope: the reference has no frame of this kind at all.
            NoReference: it has none of the elements that the model knows.
        """
        groups = self.reference.groups(kind, self.elements)
        if not groups and not self.reference.groups(kind):
            raise OutOfScope(f"the structures of the reference have no {kind}")
        if not groups:
            raise NoReference(
                f"the reference has no {kind} of the elements that the model knows: {reference.HOW_TO_MAKE}"
            )
        return groups

    @cached_property
    def molecules(self) -> list[Structure]:
        """Small and middling molecules around the origin, without any symmetry left; clusters of crystals where there
        are none. Each element of which the reference has a molecule or crystal is in one of them.
        """
        rng = self.rng("molecules")
        frames = [frames[0] for frames in self.reference.groups(reference.DYNAMICS, self.elements).values()]
        frames += [frames[0] for frames in self.reference.groups(reference.CONFORMER, self.elements).values()][:4]
        structures = [frame.structure for frame in frames]
        if not structures:
            structures = [cut_out(crystal, size) for crystal in self.crystals for size in CUT_OUT_ATOMS]
        if not structures:
            raise NotApplicable("the reference has no molecule of the elements that the model knows")
        structures += self._with_other_elements(structures)
        return [centered(shaken(structure, SHAKE_A, rng)) for structure in structures]

    def _with_other_elements(self, structures: list[Structure]) -> list[Structure]:
        """Molecules, or clusters of crystals, with each element of the reference that no structure of a list holds."""
        kinds = [self.reference.groups(kind, self.elements).values() for kind in reference.SPARE]
        spare = [frames[0].structure for groups in kinds for frames in groups]
        for crystal in self.crystals:
            firsts = np.unique(crystal.atomic_numbers, return_index=True)[1]
            spare += [cut_out(crystal, CUT_OUT_ATOMS[-1], int(atom)) for atom in firsts]
        return covering(spare, self.elements - atomic_numbers(structures))

    @cached_property
    def small(self) -> list[Structure]:
        """Molecules that are small enough to displace every coordinate for a derivative: six, or as many as hold each
        element of those that are.
        """
        by_size = sorted(self.molecules, key=len)
        smallest = [molecule for molecule in by_size if len(molecule) <= LARGEST_FOR_DERIVATIVES]
        larger = [m for m in by_size if LARGEST_FOR_DERIVATIVES < len(m) <= LARGEST_WITH_AN_ELEMENT]
        smallest += covering(larger, atomic_numbers(larger) - atomic_numbers(smallest))
        return covering(smallest, atomic_numbers(smallest), 6)

    @property
    def crystals(self) -> list[Structure]:
        """The crystals of the reference, each as it was given."""
        scans = self.reference.groups(reference.SCALED_CELL, self.elements).values()
        return [min(frames, key=lambda frame: abs(frame.coordinate - 1.0)).structure for frames in scans]

    @property
    def atoms_per_A3(self) -> float:
        """The density of clusters: that of a liquid, or of the thinnest crystal in a reference without molecules."""
        if self.reference.groups(reference.DYNAMICS, self.elements) or not self.crystals:
            return DENSE_CLUSTER_ATOMS_PER_A3
        return min(len(crystal) / crystal.volume_A3 for crystal in self.crystals)

    @cached_property
    def dense_cluster(self) -> Structure:
        """A droplet as dense as a liquid, in which an atom has about 40 neighbors within 5 angstrom."""
        return droplet(sorted(self.molecules, key=len)[:3], DENSE_CLUSTER_ATOMS, self.atoms_per_A3, self.rng("crowd"))

    @cached_property
    def cache(self) -> dict[Any, Any]:
        """What functions that are made ``once`` returned, by the function and its arguments."""
        return {}


def once(make: Callable[Concatenate[Subject, P], R]) -> Callable[Concatenate[Subject, P], R]:
    """Call a function once for each subject and further arguments, for all checks that share what it evaluates."""

    @wraps(make)
    def _kept(subject: Subject, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (make, args, *kwargs.items())
        if key not in subject.cache:
            subject.cache[key] = make(subject, *args, **kwargs)
        return cast(R, subject.cache[key])

    return _kept


def worst(values: Sequence[float] | np.ndarray) -> float:
    """The largest value; infinite if one is not a number, so that nothing passes by being undefined."""
    array = np.asarray(values, dtype=float)
    return float(array.max()) if np.isfinite(array).all() else float("inf")


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """The root-mean-square difference of two arrays of one shape, over the root mean square of the second."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def slope_by_stencil(predictions: Sequence[Prediction], step: float) -> tuple[float, float]:
    """The derivative of the energy by ``STENCIL``, and what rounded energies may add to it, eV over the unit of
    ``step``.
    """
    slope = sum(weight * p.energy_eV for (_, weight), p in zip(STENCIL, predictions, strict=True)) / step
    return slope, 0.5 * rounding_eV(predictions) * sum(abs(weight) for _, weight in STENCIL) / step


def asked(subject: Subject, kind: str) -> dict[str, tuple[list[Frame], list[Prediction]]]:
    """The frames of a kind by group, with what the model says of them; errors are those of ``Subject.groups``."""
    groups = subject.groups(kind)
    found = iter(subject.predictor.predict([frame.structure for frames in groups.values() for frame in frames]))
    return {name: (frames, [next(found) for _ in frames]) for name, frames in groups.items()}
