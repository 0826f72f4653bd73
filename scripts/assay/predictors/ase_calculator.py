"""Any predictor as an ASE calculator, so that ASE's dynamics and optimizers move atoms by it."""

from __future__ import annotations

from collections.abc import Sequence

import ase
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from assay.predictors.interface import Predictor
from assay.structures.structure import Structure


class PredictorCalculator(Calculator):
    """A predictor behind the interface of ASE: energy, forces, and the stress where the predictor gives one."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012, ASE declares a list

    def __init__(self, predictor: Predictor):
        super().__init__()
        self.predictor = predictor

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Fill ``results``; ASE calls this."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        [found] = self.predictor.predict([Structure.from_ase(self.atoms)])
        self.results = {"energy": found.energy_eV, "forces": found.forces_eV_per_A}
        if found.stress_eV_per_A3 is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(found.stress_eV_per_A3)
