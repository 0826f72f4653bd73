"""Crystals that do not keep together where nothing but the model holds them."""

from dataclasses import replace

import numpy as np
import pytest

from assay.physics.checks import SCOPE, measure
from assay.physics.reference import Reference
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from shared.physics_faulty import Crystalline, assert_caught
from shared.physics_toys import Pairs, predictor, subject


def test_bonds_that_do_not_hold_a_crystal():
    assert_caught(predictor(Pairs(depth_eV=0.02)), ["npt"], ["images", "stress", "continuity", "nve"])


@pytest.mark.parametrize("factor", [-1.0, 0.0])
def test_a_stress_that_does_not_hold_a_crystal(factor):
    """Without stress the momenta alone drive the cell apart."""

    def fault(inner, structure):
        [p] = inner.predict([structure])
        stress = p.stress_eV_per_A3
        return p if stress is None else replace(p, stress_eV_per_A3=factor * stress)

    assert_caught(Crystalline(fault), ["npt", "stress"], ["images", "continuity"])


def test_a_run_that_ends_early_says_when_and_the_others_their_volume():
    held, lost = (measure(subject(p), ["npt"])["npt"] for p in (predictor(), predictor(Pairs(depth_eV=0.02))))
    [run] = held["raw"]["runs"]
    assert run["atoms"] == 54 and run["gone_after_fs"] is None and 0.7 < min(run["volume_ratio"]) < 1.0
    assert held["values"] == {"gone_fraction": 0.0, "volume_change": run["volume_change"]}
    settled = run["volume_ratio"][len(run["volume_ratio"]) // 2 :]
    assert run["volume_change"] == pytest.approx(1.0 - np.mean(settled), abs=5e-3) and run["volume_change"] > 0.05
    [run] = lost["raw"]["runs"]
    assert run["gone_after_fs"] < 600 and lost["values"] == {"gone_fraction": 1.0, "volume_change": None}


def test_a_crystal_that_collapses_is_gone():
    def tense(inner, structure):
        [p] = inner.predict([structure])
        stress = p.stress_eV_per_A3
        return p if stress is None else replace(p, stress_eV_per_A3=stress + np.eye(3))

    found = measure(subject(Crystalline(tense)), ["npt"])["npt"]
    assert found["values"]["gone_fraction"] == 1.0 and found["raw"]["runs"][0]["volume_ratio"][-1] < 0.6


def test_what_gives_no_stress_takes_no_crystal_or_has_none_is_not_judged():
    def silent(inner, structure):
        return replace(inner.predict([structure])[0], stress_eV_per_A3=None)

    def open_(inner, structure):
        raise AssayError("no periodic structures here")

    for fault, message in ((silent, "the model gives no stress"), (open_, "no periodic structures here")):
        row = measure(subject(Crystalline(fault)), ["npt"])["npt"]
        assert (row["status"], row["message"], row["lacks"]) == ("not applicable", message, None)
    alone = replace(subject(predictor()), reference=Reference([], None))
    assert measure(alone, ["npt"])["npt"]["lacks"] == SCOPE


def test_atoms_that_are_nowhere_end_a_run():
    def fault(inner, structure: Structure):
        [p] = inner.predict([structure])
        return replace(p, forces_eV_per_A=np.full_like(p.forces_eV_per_A, np.nan)) if len(structure) > 50 else p

    [run] = measure(subject(Crystalline(fault)), ["npt"])["npt"]["raw"]["runs"]
    assert run["gone_after_fs"] == 4.0
