"""A fall of throughput is named, with the reason that its numbers show."""

import pytest

from assay.benchmark.throughput import falls


def row(batch, rate, runtime="onnx", size=20, edges=16.0, spread=0.01, memory=1.0):
    """A row of benchmark.json with ``rate`` atoms a second."""
    n_atoms = size * batch
    latency = 1e3 * n_atoms / rate
    return {
        "runtime": runtime,
        "system_size": size,
        "batch_size": batch,
        "n_atoms": n_atoms,
        "n_edges": int(edges * n_atoms),
        "atoms_per_s": rate,
        "latency_ms_p5": latency * (1 - spread),
        "latency_ms_p95": latency * (1 + spread),
        "peak_memory_MB": memory,
    }


def test_fall_is_named_and_a_rise_or_another_curve_is_none():
    rates = {1: 100.0, 2: 180.0, 4: 175.0, 8: 120.0}
    [fall] = falls([row(batch, rate) for batch, rate in rates.items()], None)
    assert fall == {
        "runtime": "onnx",
        "system_size": 20,
        "from_batch": 4,
        "to_batch": 8,
        "throughput_ratio": 120 / 175,
        "reason": "not known",
    }
    assert falls([row(4, 120.0), row(1, 100.0), row(2, 110.0)], None) == [], "rows come in any order"
    assert falls([row(1, 100.0), row(2, 10.0, size=60), row(2, 10.0, runtime="eager")], None) == []


@pytest.mark.parametrize(
    ("large", "reason"),
    [
        (row(8, 80.0, edges=24.0), "its structures are denser: 24.0 instead of 16.0 neighbors an atom"),
        (row(8, 80.0, spread=0.3), "within the spread of the timings"),
        (row(8, 80.0, memory=40.0), "its 40 MB no longer fit into the cache of 32 MB"),
        (row(8, 80.0, memory=31.0), "not known"),
        (row(8, 80.0, memory=None), "not known"),
    ],
)
def test_reason_is_the_first_that_the_numbers_show(large, reason):
    [fall] = falls([row(4, 100.0), large], 32.0)
    assert fall["reason"] == reason


def test_what_did_not_fit_into_the_cache_before_is_no_reason():
    [fall] = falls([row(4, 100.0, memory=40.0), row(8, 80.0, memory=60.0)], 32.0)
    assert fall["reason"] == "not known"


def test_step_at_which_most_runtimes_fall_is_the_machine():
    names = ("onnx", "eager", "torchscript")
    slower = [row(batch, rate, name) for name in names for batch, rate in ((4, 100.0), (8, 80.0))]
    assert {fall["reason"] for fall in falls(slower, 32.0)} == {
        "most runtimes fall at this step: the machine was slower meanwhile"
    }
    steady = [row(batch, 100.0, name) for name in ("torchscript", "pt2", "int8") for batch in (4, 8)]
    [first, second] = falls([*slower[:4], *steady], 32.0)
    assert first["reason"] == second["reason"] == "not known"
