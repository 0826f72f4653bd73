"""What is asked of a program in its own process: answers, slopes along a strain, energy over time, and speed.

``python -m assay.engines.measuring JOB RESULT`` runs in the interpreter of the program. It writes what it has found
after each part, so that a program that dies, or takes too long, leaves the parts before.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from assay.engines.cases import STRAIN, strained
from assay.engines.drift import drift_of
from assay.engines.program import Simulation, Start
from assay.structures.structure import Structure
from assay.workflow.files import read_json, write_json

CHUNKS, FEWEST_CHUNKS = 10, 3  # timings of which the median is taken, and those where one step is long
WARMING_STEPS = 2  # before these timings, of which the second one tells how long a step is
SAMPLES, FEWEST_SAMPLES = 500, 10  # of the total energy, and those where they take long
FOUR_POINTS = {
    1: 2 / 3,
    -1: -2 / 3,
    2: -1 / 12,
    -2: 1 / 12,
}  # of a first derivative, exact to the fourth power of a step


def structure_to_json(structure: Structure) -> dict[str, Any]:
    """A structure without labels, as JSON holds it."""
    return {
        "name": structure.name,
        "atomic_numbers": structure.atomic_numbers,
        "positions": structure.positions,
        "cell": structure.cell,
        "pbc": structure.pbc,
    }


def structure_from_json(content: Mapping[str, Any]) -> Structure:
    """The structure that ``structure_to_json`` wrote."""
    cell = content["cell"]
    return Structure(
        content["name"],
        np.array(content["atomic_numbers"], np.int64),
        np.array(content["positions"], np.float64),
        None if cell is None else np.array(cell, np.float64),
        np.array(content["pbc"], bool),
    )


class Measurements:
    """The parts of a job, each with its result or its error.

    Args:
        job: ``module`` of the program, ``files`` of the student, ``cases`` to evaluate and ``sizes`` to time (each a
            structure with ``velocities_A_per_fs``), ``step_fs``, ``drift_steps``, and the limits ``drift_s``,
            ``size_s`` and ``longest_s`` of ``EngineTask``.
        save: what is called with all results after each part.
    """

    def __init__(self, job: Mapping[str, Any], save: Callable[[dict[str, Any]], None]):
        self.job, self.save = job, save
        self.start: Callable[[Start], Simulation] = importlib.import_module(job["module"]).start
        self.files = {name: Path(path) for name, path in job["files"].items()}
        self.results: dict[str, Any] = {"cases": {}, "speed": []}

    @contextmanager
    def simulation(self, case: Mapping[str, Any], structure: Structure | None = None) -> Iterator[Simulation]:
        """The program with the structure of a case, or with another one that has the same atoms."""
        velocities = np.array(case["velocities_A_per_fs"])
        begin = Start(structure or structure_from_json(case["structure"]), velocities, self.job["step_fs"], self.files)
        simulation = self.start(begin)
        try:
            yield simulation
        finally:
            simulation.close()

    def run(self) -> None:
        """Do all parts, and save the results after each."""
        for name, case in self.job["cases"].items():
            found = self.results["cases"].setdefault(name, {})
            self.part(found, partial(self.answers, case))
            self.part(found, partial(self.energies, case))
        s_per_atom = 0.0  # a step, at the size before
        for size in self.job["sizes"]:
            n_atoms = len(size["structure"]["atomic_numbers"])
            found = {"n_atoms": n_atoms}
            self.results["speed"].append(found)
            expected_s = s_per_atom * n_atoms
            if expected_s * (WARMING_STEPS + FEWEST_CHUNKS) > self.job["longest_s"]:
                found["left_out"] = f"did not fit: {expected_s:.2g} s a step expected"
                self.save(self.results)
            else:
                self.part(found, partial(self.speed, size))
                s_per_atom = found.get("ms_per_step", 0.0) / 1e3 / n_atoms or s_per_atom

    def part(self, found: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> None:
        """Add what one part finds; whatever a program raises is a result."""
        try:
            found.update(measure())
        except Exception as error:
            traceback.print_exc(limit=-3)
            found["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
        self.save(self.results)

    def answers(self, case: Mapping[str, Any]) -> dict[str, Any]:
        """Energy, forces and virial, and for a periodic structure the slope of the energy along a strain, eV."""
        with self.simulation(case) as simulation:
            evaluation = simulation.evaluate()
        found: dict[str, Any] = dict(evaluation._asdict())
        structure = structure_from_json(case["structure"])
        if structure.pbc.all():
            weighted = 0.0
            for steps, weight in FOUR_POINTS.items():
                with self.simulation(case, strained(structure, steps * STRAIN)) as simulation:
                    weighted += weight * simulation.evaluate().energy_eV
            found["strain_slope_eV"] = weighted / STRAIN
        return found

    def energies(self, case: Mapping[str, Any]) -> dict[str, Any]:
        """What ``drift_of`` says of the total energy, and ``duration_ps``.

        A program that takes longer than ``drift_s`` stops there, but not before ten samples of the energy, and
        ``shortened`` says so.
        """
        steps, limit_s = self.job["drift_steps"], self.job["drift_s"]
        every = max(1, steps // SAMPLES)
        samples = steps // every
        with self.simulation(case) as simulation:
            energies = [simulation.total_energy_eV()]

            def sample() -> None:
                simulation.move(every)
                energies.append(simulation.total_energy_eV())

            took_s = 0.0
            while len(energies) <= samples and (took_s < limit_s or len(energies) <= FEWEST_SAMPLES):
                took_s += _slowest_s(simulation, sample)
        n_atoms = len(case["structure"]["atomic_numbers"])
        times_ps = np.arange(len(energies)) * every * self.job["step_fs"] / 1e3
        meV_per_atom = 1e3 * np.array(energies) / n_atoms
        found: dict[str, Any] = drift_of(times_ps, meV_per_atom) | {"duration_ps": float(times_ps[-1])}
        if len(energies) <= samples:
            wanted_ps = samples * every * self.job["step_fs"] / 1e3
            needed_s = took_s * wanted_ps / times_ps[-1]
            found["shortened"] = (
                f"moved for {times_ps[-1]:.2g} ps, as {wanted_ps:.3g} ps would take about {needed_s:.0f} s"
            )
        return found

    def speed(self, size: Mapping[str, Any]) -> dict[str, Any]:
        """The median time of a step, in milliseconds, over some chunks of equally many steps."""
        with self.simulation(size) as simulation:
            simulation.move(1)
            step_s = _slowest_s(simulation, partial(simulation.move, 1))
            chunk = max(1, int(self.job["size_s"] / step_s / CHUNKS))
            count = min(CHUNKS, max(FEWEST_CHUNKS, int(self.job["size_s"] / step_s)))
            seconds = [_slowest_s(simulation, partial(simulation.move, chunk)) for _ in range(count)]
        times_ms = 1e3 * np.array(seconds) / chunk
        return {
            "ms_per_step": float(np.median(times_ms)),
            "ms_per_step_best": float(times_ms.min()),
            "steps": chunk * count,
        }


def _slowest_s(simulation: Simulation, action: Callable[[], None]) -> float:
    """The seconds that an action takes, the same for all processes of a simulation."""
    began = time.perf_counter()
    action()
    return simulation.slowest_s(time.perf_counter() - began)


def main(job: str, result: str) -> None:
    """Measure what a job asks for; of several MPI ranks the first one writes."""
    first = os.environ.get("PMI_RANK", "0") == "0"
    Measurements(read_json(job), lambda found: write_json(result, found) if first else None).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
