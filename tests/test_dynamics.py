"""Batched dynamics against what can be known: harmonic motion, equipartition, conservation."""

import numpy as np
import pytest
from ase import units

from assay.dynamics.langevin import langevin
from assay.dynamics.run import Motion, run_dynamics, still
from assay.predictors.interface import Prediction
from assay.structures.structure import Structure

STIFFNESS = 30.0  # eV/angstrom^2


class Springs:
    """Harmonic bonds of 1 angstrom between consecutive atoms, with an optional fault in the forces."""

    cutoff_A, max_z, elements, dtype, device, name = 5.0, 20, None, "float64", "cpu", "springs"

    def __init__(self, force_factor=1.0, wild=None):
        self.force_factor, self.wild = force_factor, wild

    def predict(self, structures):
        return [self.one(structure) for structure in structures]

    def one(self, structure):
        x = structure.positions
        bond = x[1:] - x[:-1]
        length = np.linalg.norm(bond, axis=1)
        pull = STIFFNESS * (length - 1.0)[:, None] * bond / length[:, None]
        forces, energy = np.zeros_like(x), 0.5 * STIFFNESS * float(((length - 1.0) ** 2).sum())
        forces[:-1] += pull
        forces[1:] -= pull
        if structure.name == self.wild and length[0] > 1.03:
            forces[:] = energy = np.nan
        return Prediction(energy, self.force_factor * forces)


def chain(name, n=4, number=6):
    positions = np.array([[0.7 * k, 0.7 * (k % 2), 0.1 * k * k] for k in range(n)])
    lengths = np.linalg.norm(positions[1:] - positions[:-1], axis=1)
    positions = np.concatenate([[[0, 0, 0]], np.cumsum((positions[1:] - positions[:-1]) / lengths[:, None], 0)])
    return Structure(name, np.full(n, number), positions)


def slope(trajectory, energy):
    return np.polyfit(trajectory.time_fs, energy, 1)[0]


def test_a_diatomic_swings_at_its_frequency():
    pair = chain("pair", n=2, number=7)
    trajectory = run_dynamics(Springs(), [pair], temperature_K=300.0, step_fs=0.25, n_steps=4000, frame_every=1)
    distance = np.linalg.norm(trajectory.frames[:, 0] - trajectory.frames[:, 1], axis=1) - 1.0
    crossings = np.flatnonzero((distance[1:] > 0) & (distance[:-1] <= 0))
    period_fs = np.diff(crossings).mean() * 0.25
    np.testing.assert_allclose(trajectory.time_fs, 0.25 * np.arange(2, 4000))
    np.testing.assert_allclose(trajectory.potential_eV[:, 0], 0.5 * STIFFNESS * distance[1:-1] ** 2, atol=1e-12)
    reduced_mass = 14.007 / 2
    assert period_fs == pytest.approx(2 * np.pi * np.sqrt(reduced_mass / STIFFNESS) / units.fs, rel=0.01)


def test_energy_is_conserved_and_its_shadow_far_better():
    trajectory = run_dynamics(Springs(), [chain("a"), chain("b", n=6)], temperature_K=300.0, step_fs=1.0, n_steps=1500)
    spread = trajectory.total_eV.std(0)
    assert (trajectory.shadow_eV.std(0) < 0.1 * spread).all()
    assert (np.abs(slope(trajectory, trajectory.total_eV)) < 1e-6).all()


def test_forces_that_are_no_gradient_show_in_the_shadow():
    good = run_dynamics(Springs(), [chain("a")], temperature_K=300.0, step_fs=1.0, n_steps=800)
    bad = run_dynamics(Springs(force_factor=1.01), [chain("a")], temperature_K=300.0, step_fs=1.0, n_steps=800)
    assert bad.shadow_eV.std() > 10 * good.shadow_eV.std()


def test_steps_change_no_array_of_the_caller():
    [x, v] = given = np.random.default_rng(0).normal(size=(2, 3, 3))
    before, rng = given.copy(), np.random.default_rng(1)
    steps = langevin(lambda at: -STIFFNESS * at, np.full(3, 12.0), x, 300.0, rng, velocities=v)
    moved = [next(steps) for _ in range(2)]
    np.testing.assert_array_equal(given, before)
    assert not np.array_equal(moved[0][0], moved[1][0]), "what was handed out stays, too"


def test_langevin_reaches_each_molecule_s_own_temperature():
    structures = [chain(f"{k}", n=3) for k in range(40)]
    wanted = np.repeat([200.0, 600.0], 20)
    trajectory = run_dynamics(
        Springs(), structures, temperature_K=wanted, step_fs=1.0, n_steps=1500, friction_per_fs=0.05, seed=3
    )
    measured = trajectory.kinetic_eV[300:].mean(0) / (1.5 * 3 * units.kB)
    assert measured[:20].mean() == pytest.approx(200.0, rel=0.05)
    assert measured[20:].mean() == pytest.approx(600.0, rel=0.05)


def test_a_run_that_goes_on_has_the_noise_of_one_that_did_not_stop():
    def run(n_steps, seed, start=None):
        return run_dynamics(
            Springs(), [chain("a")], temperature_K=300.0, step_fs=1.0, n_steps=n_steps, friction_per_fs=0.05,
            frame_every=1, seed=seed, start=start,
        )  # fmt: skip

    whole, first = run(20, 1), run(12, 1)
    second = run(8, 2, Motion.from_arrays(first.end.arrays))
    np.testing.assert_allclose(np.concatenate([first.frames, second.frames]), whole.frames, atol=1e-12)


def test_a_molecule_moves_alone_as_it_does_in_a_batch():
    rng_free = {"temperature_K": 0.0, "step_fs": 0.5, "n_steps": 60, "frame_every": 1}
    bent = chain("bent")
    bent.positions[0] *= 1.2
    alone = run_dynamics(Springs(), [bent], **rng_free)
    together = run_dynamics(Springs(), [chain("other", n=7), bent], **rng_free)
    assert np.allclose(alone.frames, together.frames[:, 7:], atol=1e-12)


def test_one_explosion_is_noted_and_stops_nobody_else():
    structures = [chain("calm"), chain("bomb")]
    settings = {"temperature_K": 800.0, "step_fs": 0.5, "n_steps": 300, "frame_every": 1}
    trajectory = run_dynamics(Springs(wild="bomb"), structures, **settings)
    alone = run_dynamics(Springs(), structures, **settings)
    assert np.isfinite(trajectory.frames).all() and np.isfinite(trajectory.total_eV).all()
    assert np.isnan(trajectory.blown_up_fs[0])
    too_long = np.flatnonzero(np.linalg.norm(alone.frames[:, 4] - alone.frames[:, 5], axis=1) > 1.03)
    assert trajectory.blown_up_fs[1] == 0.5 * (too_long[0] + 1) < 150.0, "the time of the step that was too much"
    assert np.allclose(trajectory.frames[:, :4], alone.frames[:, :4])


def test_molecules_start_without_momentum_or_spin():
    rng = np.random.default_rng(0)
    positions, masses = rng.normal(size=(9, 3)), rng.uniform(1, 20, 9)
    owner = np.array([0] * 4 + [1] * 5)
    v = still(rng.normal(size=(9, 3)), masses, positions, owner)
    for k in (0, 1):
        momentum = masses[owner == k, None] * v[owner == k]
        assert np.abs(momentum.sum(0)).max() < 1e-12
        assert np.abs(np.cross(positions[owner == k], momentum).sum(0)).max() < 1e-12


def test_dynamics_repeat_for_a_seed():
    options = {"temperature_K": 300.0, "step_fs": 1.0, "n_steps": 20, "friction_per_fs": 0.1}
    first, again, other = (run_dynamics(Springs(), [chain("a")], seed=seed, **options) for seed in (1, 1, 2))
    assert np.array_equal(first.frames, again.frames)
    assert not np.array_equal(first.frames, other.frames)
