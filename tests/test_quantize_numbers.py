"""What eight bits cost and gain, in the units that it says, of models and times that are known."""

from dataclasses import replace

import numpy as np
import pytest

from assay.benchmark.timing import Timing
from assay.quantize import comparison
from assay.quantize.comparison import AGAIN, drift, errors, measure_costs, measure_times
from assay.structures.structure import Structure
from assay.workflow.config_models.physics_yaml import Motion
from shared.physics_faulty import Faulty
from shared.physics_toys import cluster, labelled, predictor

MOTION = Motion(temperature_K=300.0, step_fs=0.5, duration_fs=60.0)


@pytest.fixture(scope="module")
def molecules():
    return [cluster("alpha", [6, 8, 1, 7], 0), cluster("beta", [6, 6, 8, 1, 1], 1), cluster("gamma", [8, 1, 6], 2)]


def test_errors_are_means_over_components_and_of_energies_per_atom(molecules):
    off = Faulty(lambda s, e, f, k: (e + 0.06 * (-1.0) ** k, f + np.array([0.0, 0.3, -0.6])))
    found = errors(off, [labelled(molecule, predictor()) for molecule in molecules])
    energy = 0.06 * (1 / 4 + 1 / 5 + 1 / 3) / 3
    assert found == pytest.approx({"force_mae_eV_per_A": 0.3, "energy_mae_eV_per_atom": energy})


@pytest.mark.parametrize("rise_eV", [1e-6, -1e-6])
def test_the_drift_is_the_median_over_molecules_per_atom_and_picosecond(molecules, rise_eV):
    """Energies change by 1e-6 eV a step of 0.5 fs, which is 2 meV a picosecond: of four, five and three atoms."""
    calls = 0

    def rising(structure, energy, forces, k):
        nonlocal calls
        calls += k == 0
        return energy + rise_eV * calls, forces

    assert drift(Faulty(rising), molecules, MOTION) == pytest.approx(2.0 / 4.0, rel=0.05)
    wild = Faulty(lambda s, e, f, k: (e, f + 1e6 * (k == 1)))
    assert drift(wild, molecules, MOTION) is None


def test_sizes_and_errors_are_over_those_of_single_precision(tmp_path, monkeypatch):
    files = {"fp32": tmp_path / "exact.onnx", "int8": tmp_path / "small.onnx"}
    for path, size in zip(files.values(), (1000, 300), strict=True):
        path.write_bytes(bytes(size))
    told = {
        "fp32": {"force_mae_eV_per_A": 0.10, "energy_mae_eV_per_atom": 0.02},
        "int8": {"force_mae_eV_per_A": 0.13, "energy_mae_eV_per_atom": 0.03},
    }
    monkeypatch.setattr(comparison, "_load", lambda files, threads: ({n: n for n in files}, {n: {} for n in files}))
    monkeypatch.setattr(comparison, "integer_share", lambda path: 0.5)
    monkeypatch.setattr(comparison, "costs", lambda name, *_: told[name])
    one = Structure("H2", np.array([1, 1]), np.eye(2, 3), energy_eV=0.0, forces_eV_per_A=np.eye(2, 3))
    rows = measure_costs(files, [one, replace(one, name="other")], MOTION, 1, 1)
    ratios = {key: rows["int8"][key] for key in ("size_bytes", "size_ratio")}
    assert ratios == {"size_bytes": 300, "size_ratio": 0.3}
    increases = {
        name: [row[f"{key}_mae_increase_relative"] for key in ("force", "energy")] for name, row in rows.items()
    }
    assert increases == {"fp32": [0.0, 0.0], "int8": pytest.approx([0.3, 0.5])}


def test_times_are_over_those_of_single_precision_whose_own_is_that_of_a_second_session(monkeypatch):
    class Asked:
        def evaluate(self, structures):
            pytest.fail("a call that is timed runs in interleave, which is replaced here")

    seconds = {"fp32": 1.0, "int8": 0.5, AGAIN: 1.1}
    monkeypatch.setattr(
        comparison, "_load", lambda files, threads: ({n: Asked() for n in files}, {n: {} for n in files})
    )
    monkeypatch.setattr(
        comparison, "interleave", lambda calls, s: {n: Timing({0: np.array([seconds[n]])}, 1, True) for n in calls}
    )
    water = Structure("H2O", np.array([8, 1, 1]), np.eye(3))
    rows = measure_times({"fp32": None, "int8": None}, [water], 0.1, 1)
    assert {name: row["latency_ratio_batch32"] for name, row in rows.items()} == pytest.approx(
        {"fp32": 1.1, "int8": 0.5}
    )
    assert rows["int8"]["latency"]["batch1"]["latency_ms_median"] == pytest.approx(500.0)
    assert rows["int8"]["latency"]["batch32"]["n_atoms"] == 96
