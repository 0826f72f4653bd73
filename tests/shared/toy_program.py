"""A program of molecular dynamics that is ASE with a spring, and wrong in the ways that its file names."""

import os

import numpy as np
from ase import units
from ase.calculators.calculator import Calculator, all_changes

from assay.engines.ase.simulation import AseSimulation


class Faulty(Calculator):
    """A network in double precision with forces, stress or energies that are not its own."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, exact, fault):
        super().__init__()
        self.exact, self.fault = exact, fault

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        super().calculate(atoms, properties, system_changes)
        if self.fault == "crash":
            raise RuntimeError("no program")
        self.exact.calculate(atoms, properties, system_changes)
        self.results = dict(self.exact.results)
        if self.fault == "forces":
            self.results["forces"] = 0.999 * self.results["forces"]
        if self.fault == "stress" and "stress" in self.results:
            self.results["stress"] = np.roll(self.results["stress"], 1)


class Heating(AseSimulation):
    """Dynamics whose total energy grows by 0.1 meV in each femtosecond."""

    def total_energy_eV(self):
        return super().total_energy_eV() + 1e-4 * self.dynamics.get_time() / units.fs


class SlowStart(AseSimulation):
    """Dynamics of which the first steps are told to take a second, and all others a hundredth of it."""

    told_s = 1.0

    def slowest_s(self, seconds):
        told_s, self.told_s = self.told_s, 0.01
        return told_s


class Dying(AseSimulation):
    """Dynamics that end the process at the first step of the second case."""

    def move(self, steps):
        if self.atoms.pbc.any():
            os._exit(7)
        super().move(steps)


SIMULATIONS = {"drift": Heating, "slow start": SlowStart, "death": Dying}


def start(start):
    import torch

    from assay.checkpoint import load_model
    from assay.engine.painn import why_unsupported
    from assay.predictors.ase_calculator import PredictorCalculator
    from assay.predictors.networks import EagerPredictor, EnginePredictor

    fault = start.files["fault"].read_text()
    model = load_model(start.files["model.safetensors"], torch.float64)
    predictor = (EnginePredictor if why_unsupported(model) is None else EagerPredictor)(model)
    simulation = SIMULATIONS.get(fault, AseSimulation)
    return simulation(start, Faulty(PredictorCalculator(predictor), fault))
