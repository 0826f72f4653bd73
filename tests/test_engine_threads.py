"""A call of the engine takes several threads only where these win, and never loses much by trying."""

import subprocess

import numpy as np
import pytest

from assay.engine.build import FOLDER
from assay.engine.toolchain import compiler
from shared.workflow_copy import ROOT

pytestmark = pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler on this machine")


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    """What plays milliseconds of calls on one thread and on two, and returns how many threads each call took."""
    program = tmp_path_factory.mktemp("choice") / "choice"
    source = ROOT / "tests/shared/engine_choice.cpp"
    subprocess.run([compiler(), "-std=c++17", f"-I{FOLDER}", source, "-o", program], check=True)

    def play(one, two):
        rows = "".join(f"{a} {b}\n" for a, b in np.broadcast(one, two))
        done = subprocess.run([program], input=rows, capture_output=True, text=True, check=True)
        return np.array(done.stdout.split(), int)

    return play


@pytest.mark.parametrize(("two", "better"), [(0.6, 2), (0.95, 1), (1.3, 1), (20.0, 1)])
def test_two_threads_are_taken_where_they_win_by_a_tenth(play, two, better):
    threads = play(1.0, np.full(3000, two))
    assert (threads[:10] == [2, 1] * 5).all()
    assert (threads[10:] == better).mean() > 0.95
    assert (threads[10:] != better).any(), "the slower one must be tried again"


@pytest.mark.parametrize("two", [1.3, 4.0, 20.0])
def test_trying_two_threads_beside_a_busy_program_costs_little(play, two):
    threads = play(1.0, np.full(20000, two))
    assert np.where(threads == 2, two, 1.0)[10:].mean() < 1.03


def test_twenty_calls_beside_a_busy_program_are_as_fast_as_one_thread_in_the_median(play):
    threads = play(2.4, np.full(20, 30.0))
    assert np.median(np.where(threads == 2, 30.0, 2.4)) == 2.4


def test_interruptions_of_calls_on_one_thread_do_not_speak_for_two(play):
    one = np.where(np.random.default_rng(0).random(3000) < 0.4, 10.0, 2.0)
    threads = play(one, np.full(3000, 6.0))
    assert (threads[10:] == 1).mean() > 0.9


def test_a_choice_follows_a_program_that_comes_and_goes(play):
    two = np.repeat([0.6, 8.0, 0.6], [1000, 3000, 3000])
    threads = play(1.0, two)
    assert (threads[900:1000] == 2).mean() > 0.9
    assert (threads[1010:1030] == 1).all(), "a few slow calls are enough"
    assert (threads[-100:] == 2).mean() > 0.9
