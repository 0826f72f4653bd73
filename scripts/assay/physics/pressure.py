"""Whether crystals keep their volume where nothing but the model holds it: dynamics at zero pressure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import units
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from ase.md.velocitydistribution import Stationary, thermalize_momenta

from assay.dynamics.run import MAX_FORCE_eV_per_A
from assay.physics.base import Check, Measurement, NotApplicable, OutOfScope, Subject, worst
from assay.physics.crystals import repeated
from assay.predictors.ase_calculator import PredictorCalculator
from assay.predictors.interface import Predictor
from assay.structures.structure import Structure, evenly
from assay.workflow.errors import AssayError

LEAST_ATOMS = 32  # smaller cells are repeated: the volume of a few atoms fluctuates by tens of percent
GONE = (0.5, 2.0)  # a volume of less or more than these multiples of the first one ends a run
THERMOSTAT_FS, BAROSTAT_FS = 50.0, 300.0  # the times in which heat and volume answer


def npt(subject: Subject) -> Measurement:
    """Crystals at zero pressure and at every temperature: none may come apart, collapse or blow up, and the mean volume
    of the second half of a run is compared with that of the crystal as it was given.

    The cell keeps its shape (Martyna, Tobias and Klein, J. Chem. Phys. 101, 4177, 1994), so that a liquid can be run.
    """
    options = subject.dynamics["npt"]
    found = [crystal for crystal in subject.crystals if crystal.pbc.all()]
    if not found:
        raise OutOfScope("the structures of the reference have no crystal")
    chosen = evenly(found, options["crystals"])
    try:
        [known] = subject.moving.predict(chosen[:1])
    except AssayError as refusal:
        raise NotApplicable(str(refusal)) from None
    if known.stress_eV_per_A3 is None:
        raise NotApplicable("the model gives no stress")
    rows = [
        _run(subject.moving, crystal, float(temperature), options, subject.seed)
        for crystal in chosen
        for temperature in options["temperatures_K"]
    ]
    gone = [row["gone_after_fs"] is not None for row in rows]
    changes = [np.inf if left else row["volume_change"] for left, row in zip(gone, rows, strict=True)]
    return Measurement({"gone_fraction": float(np.mean(gone)), "volume_change": worst(changes)}, {"runs": rows})


def _run(
    predictor: Predictor, crystal: Structure, temperature_K: float, options: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """One run: the volume over that of the start in its course, and when it ended early."""
    times = int(np.ceil((LEAST_ATOMS / len(crystal)) ** (1.0 / 3.0)))
    atoms = repeated(crystal, (times, times, times)).to_ase()
    atoms.calc = PredictorCalculator(predictor)
    # All energy is kinetic at the minimum; half of it goes into the bonds.
    thermalize_momenta(atoms, temperature_K=2.0 * temperature_K, rng=np.random.default_rng(seed))
    Stationary(atoms)
    motion = IsotropicMTKNPT(
        atoms,
        options["step_fs"] * units.fs,
        temperature_K=temperature_K,
        pressure_au=0.0,
        tdamp=THERMOSTAT_FS * units.fs,
        pdamp=BAROSTAT_FS * units.fs,
    )
    first, ratios, gone_after_fs = atoms.get_volume(), [], None
    for step in range(1, int(options["duration_fs"] / options["step_fs"]) + 1):
        try:
            motion.step()
            sane = bool(np.abs(atoms.get_forces()).max() < MAX_FORCE_eV_per_A)
        except AssayError:  # no model takes atoms that are nowhere
            sane = False
        ratios.append(atoms.get_volume() / first)
        if not (sane and GONE[0] < ratios[-1] < GONE[1]):
            gone_after_fs = step * options["step_fs"]
            break
    return {
        "crystal": crystal.name,
        "atoms": len(atoms),
        "temperature_K": temperature_K,
        "volume_A3": first,
        "volume_ratio": ratios[:: max(1, len(ratios) // 100)],
        "volume_change": abs(float(np.mean(ratios[len(ratios) // 2 :])) - 1.0),
        "gone_after_fs": gone_after_fs,
    }


CHECKS = [Check("npt", "crystals keep together at zero pressure and every temperature", npt)]
