"""A student as a potential of openmmml, so that ``MLPotential("assay", model=...)`` makes systems, mixed ones too."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from openmmml.mlpotential import MLPotential, MLPotentialImpl, MLPotentialImplFactory

from .engine import EngineModel, opened
from .openmm import createForce, numbers_of

NAME = "assay"


class StudentPotential(MLPotentialImpl):
    """Adds the force of a student to a system.

    Args:
        model: the opened model, or the path of ``model.assay``.

    Raises:
        ValueError: the model is none.
    """

    def __init__(self, model: EngineModel | str | Path):
        self.model = opened(model)

    def addForces(
        self, topology: Any, system: Any, atoms: Iterable[int] | None, forceGroup: int, threads: int = 1, **other: Any
    ) -> None:
        """See ``MLPotentialImpl.addForces``.

        Raises:
            ValueError: an atom has no element, or one that the student was not trained on.
            TypeError: there are other arguments than ``threads``.
        """
        if other:
            raise TypeError(f"a student takes no {', '.join(sorted(other))}: leave it out")
        every = list(topology.atoms())
        particles = list(range(len(every))) if atoms is None else list(atoms)
        periodic = topology.getPeriodicBoxVectors() is not None or system.usesPeriodicBoundaryConditions()
        force = createForce(numbers_of([every[k] for k in particles]), self.model, particles, periodic, threads)
        force.setForceGroup(forceGroup)
        system.addForce(force)

    def getMLLongRange(self) -> bool:
        """Nothing beyond the cutoff is seen."""
        return False


class StudentPotentialFactory(MLPotentialImplFactory):
    """Makes the potential ``assay`` of a ``model``."""

    def createImpl(self, name: str, *, model: EngineModel | str | Path) -> MLPotentialImpl:
        """See ``MLPotentialImplFactory.createImpl``; ``model`` is that of ``StudentPotential``."""
        return StudentPotential(model)


def register() -> None:
    """Make ``assay`` known to openmmml."""
    MLPotential.registerImplFactory(NAME, StudentPotentialFactory())
