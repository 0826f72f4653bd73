"""Single point, geometry optimization and 1 ps of dynamics with the student of the wheel in this folder."""

import argparse
import json
from pathlib import Path

import ase.io
import numpy as np
from ase import units
from ase.md.velocitydistribution import Stationary
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

try:
    from assay_variant import StudentCalculator

    MODEL = None  # the student is inside
except ImportError:  # the wheel is not installed: the sources beside this file, which need ONNX Runtime
    from student import StudentCalculator

    MODEL = Path(__file__).with_name("model.edges.onnx")

HERE = Path(__file__).parent
STEP_FS, TEMPERATURE_K = 0.5, 300.0


def main() -> None:
    """Compare with the numbers that came with the package, then relax the example and let it move."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=MODEL, help="the file to evaluate, if not the student of the wheel")
    parser.add_argument("--picoseconds", type=float, default=1.0, help="how long the dynamics last")
    options = parser.parse_args()
    n_steps = 1000 * options.picoseconds / STEP_FS
    if not 1 <= n_steps < float("inf"):
        parser.error(f"--picoseconds is {options.picoseconds}: it must be at least one step, {STEP_FS / 1000} ps")

    [atoms] = ase.io.iread(HERE / "example.xyz")
    atoms.calc = StudentCalculator(options.model)
    print(f"evaluated by: {atoms.calc.student.runtime}")
    expected = json.loads((HERE / "example.json").read_text())
    energy_error = abs(atoms.get_potential_energy() - expected["energy_eV"])
    force_error = np.abs(atoms.get_forces() - expected["forces_eV_per_A"]).max()
    print(f"{atoms.get_chemical_formula()}: energy {atoms.get_potential_energy():.6f} eV")
    print(f"off the pipeline's own by {energy_error:.1e} eV and {force_error:.1e} eV/angstrom")
    if not (energy_error < 1e-4 and force_error < 1e-4):
        raise SystemExit("this installation does not give the numbers that the package was checked with")

    with BFGS(atoms, logfile=None) as optimizer:
        converged = optimizer.run(fmax=0.02, steps=500)
    print(f"minimum {'found' if converged else 'not found'}: energy {atoms.get_potential_energy():.6f} eV")

    random = np.random.default_rng(0)
    spread = np.sqrt(2 * TEMPERATURE_K * units.kB * atoms.get_masses())[:, None]  # half of it becomes potential energy
    atoms.set_momenta(spread * random.normal(size=(len(atoms), 3)))
    Stationary(atoms)
    start = atoms.get_total_energy()
    with VelocityVerlet(atoms, STEP_FS * units.fs) as dynamics:
        dynamics.run(round(n_steps))
    drift = 1000 * (atoms.get_total_energy() - start) / len(atoms) / options.picoseconds
    print(f"{options.picoseconds:g} ps of dynamics: {atoms.get_temperature():.0f} K, drift {drift:.3f} meV/atom/ps")
    print(f"neighbor lists made: {atoms.calc.neighbors.n_builds}")


if __name__ == "__main__":
    main()
