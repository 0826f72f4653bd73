"""Ratios of times hold on a machine that is busy, warms up and drifts. No test here depends on how fast anything is."""

import numpy as np
import pytest
import torch

from assay.benchmark.timing import PATIENCE, OtherLoad, Timing, TURN_s, interleave, matrix_peak, ratio


class Machine:
    """A clock of scripted durations: call n of a name takes cost(name, n) times the machine's load at that moment."""

    def __init__(self, cost, load=lambda now: 1.0):
        self.cost, self.load, self.now, self.log = cost, load, 0.0, []

    def calls(self, *names):
        return {name: lambda name=name: self.log.append(name) for name in names}

    def __call__(self, call):
        call()
        name = self.log[-1]
        duration = self.cost(name, self.log.count(name)) * self.load(self.now)
        self.now += duration
        return duration


COST = {"fast": 0.2, "slow": 0.3}


def test_ratio_survives_a_load_that_drifts():
    machine = Machine(lambda name, n: COST[name], load=lambda now: 1.0 + now / 10)
    timings = interleave(machine.calls("fast", "slow"), 5.0, timed=machine)
    assert ratio(timings["slow"], timings["fast"])["median"] == pytest.approx(1.5, rel=0.06)
    separately = [
        interleave(machine.calls(name), 5.0, timed=machine)[name].median_s / COST[name] for name in ("fast", "slow")
    ]
    assert abs(separately[1] / separately[0] - 1.0) > 0.2  # one after the other, the same load falsifies the ratio


def test_ratio_survives_bursts_that_hit_single_calls():
    random = np.random.default_rng(0)
    machine = Machine(lambda name, n: COST[name], load=lambda now: 10.0 if random.random() < 0.2 else 1.0)
    timings = interleave(machine.calls("fast", "slow"), 10.0, timed=machine)
    assert ratio(timings["slow"], timings["fast"])["median"] == pytest.approx(1.5)
    assert timings["fast"].median_s == pytest.approx(0.2)
    assert timings["fast"].summary()["latency_ms_p95"] == pytest.approx(2000.0)


def test_calls_take_turns():
    machine = Machine(lambda name, n: COST[name])
    timings = interleave(machine.calls("fast", "slow"), 3.0, timed=machine)
    measured = machine.log[sum(timing.warmup_calls for timing in timings.values()) :]
    assert measured == ["fast", "slow"] * 15


def test_slow_calls_take_part_in_some_rounds_and_are_compared_within_them():
    cost = {"fast": 0.05, "slow": 1.0}
    machine = Machine(lambda name, n: cost[name], load=lambda now: 1.0 + now)
    timings = interleave(machine.calls("fast", "slow"), 4.0, timed=machine)
    assert len(timings["fast"].rounds_s) == 80
    assert 4 <= len(timings["slow"].rounds_s) <= 10
    assert timings["slow"].rounds_s.keys() < timings["fast"].rounds_s.keys()
    # The load grows while the slow call runs; over all rounds instead of common ones the ratio would be far off.
    assert ratio(timings["slow"], timings["fast"])["median"] == pytest.approx(20.0, rel=0.1)


@pytest.mark.parametrize("slow_calls", [1, 4, 9])
def test_warm_up_is_as_long_as_it_takes(slow_calls):
    machine = Machine(lambda name, n: 0.1 * max(1.0, 2.0 ** (slow_calls - n)))
    timing = interleave(machine.calls("a"), 1e3, max_rounds=20, timed=machine)["a"]
    assert timing.steady
    assert timing.warmup_calls == slow_calls + PATIENCE
    assert np.ptp(timing.calls_s) == 0.0


def test_a_call_made_before_is_the_first_of_the_warm_up():
    machine = Machine(lambda name, n: COST[name])
    timings = interleave(machine.calls("fast", "slow"), 0.1, min_rounds=3, timed=machine, first_s={"slow": 2.0})
    assert [timing.warmup_calls for timing in timings.values()] == [2, 2]
    assert machine.log == ["fast", "fast", "slow"] + 3 * ["fast", "slow"]
    assert not timings["slow"].steady and timings["fast"].steady


def test_warm_up_that_does_not_end_is_reported():
    machine = Machine(lambda name, n: 0.9**n)
    assert not interleave(machine.calls("a"), 1.0, timed=machine)["a"].steady


def test_short_calls_settle_untimed_and_are_timed_many_times():
    disturbed = []

    def cost(name, n):
        follows_another = len(machine.log) > 1 and machine.log[-2] != name
        disturbed.append(follows_another)
        return 0.01 if follows_another else 0.001

    machine = Machine(cost)
    timings = interleave(machine.calls("a", "b"), 0.2, timed=machine)
    assert any(disturbed)
    assert all(timing.calls_s.max() == 0.001 for timing in timings.values())
    assert all(len(timing.rounds_s[0]) == round(TURN_s / 0.001) for timing in timings.values())


def test_rounds_are_bounded():
    machine = Machine(lambda name, n: COST[name])
    assert len(interleave(machine.calls("slow"), 0.0, min_rounds=4, timed=machine)["slow"].rounds_s) == 4
    assert len(interleave(machine.calls("slow"), 1e6, max_rounds=7, timed=machine)["slow"].rounds_s) == 7


def test_summary_has_the_percentiles_and_units_it_names():
    of_two_rounds = np.split(1e-3 * np.arange(1.0, 102.0), [40])
    assert Timing(dict(enumerate(of_two_rounds)), 3, True).summary() == {
        "latency_ms_median": pytest.approx(51.0),
        "latency_ms_p5": pytest.approx(6.0),
        "latency_ms_p95": pytest.approx(96.0),
        "relative_spread": pytest.approx(90.0 / 51.0),
        "calls": 101,
        "rounds": 2,
        "warmup_calls": 3,
        "steady": True,
    }


def test_a_ratio_is_that_of_the_medians_of_each_round_with_the_percentiles_of_rounds():
    """One call in three is disturbed."""
    one = Timing({k: np.array([1.0 + k, 1.0 + k, 900.0]) for k in range(101)}, 3, True)
    other = Timing({k: np.array([700.0, 1.0, 1.0]) for k in range(-9, 101)}, 3, True)
    assert ratio(one, other) == {"median": 51.0, "p5": 6.0, "p95": 96.0}


def test_matrix_peak_counts_two_operations_a_term(monkeypatch):
    def one_second(call):
        call()
        return 1.0

    monkeypatch.setattr("assay.benchmark.timing.clock", lambda device: one_second)
    peak = matrix_peak("cpu", torch.float32)
    assert peak == {"gflop_per_s": pytest.approx(2 * 1024**3 / 1e9), "matrix_size": 1024, "dtype": "float32"}


def test_load_of_others_leaves_out_this_process(monkeypatch):
    moments = iter([(0.0, 0.0), (8.0, 4.0)])  # others' seconds so far, wall
    monkeypatch.setattr(OtherLoad, "_now", staticmethod(lambda: next(moments)))
    monkeypatch.setattr("assay.benchmark.timing.os.cpu_count", lambda: 4)
    assert OtherLoad().fraction() == pytest.approx(0.5)
