"""Several processes that train together take the steps of one process at their batches together."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from assay.engine.library import library
from assay.models import build_model
from assay.training import processes
from assay.training.loss import DISPLACEMENT_A, eager_gradients, engine_gradients
from assay.training.packs import PackedDataset
from assay.workflow.errors import AssayError
from shared.recipes import LOSS
from shared.train_together import STEPS, STUDENT, dataset

PROGRAM = Path(__file__).parent / "shared" / "train_together.py"


def run(*command):
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process learns."""
    out = tmp_path_factory.mktemp("alone") / "trained.pt"
    done = run(PROGRAM, out, "float64")
    assert done.returncode == 0, done.stderr
    return torch.load(out)


@pytest.mark.slow
@pytest.mark.skipif(library() is None, reason="no C++ compiler on this machine")
@pytest.mark.parametrize("started_by", ["run_in", "torchrun"])
def test_two_processes_take_the_steps_of_one_at_the_double_batch(alone, tmp_path, started_by):
    """With the engine in double precision, where the difference of two gradients rounds little."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = [PROGRAM, tmp_path / "trained.pt", "float64"]
    done = run(*program, "2") if started_by == "run_in" else run(*torchrun, *program)
    assert done.returncode == 0, done.stderr
    together = torch.load(tmp_path / "trained.pt")
    assert len(alone["losses"]) == STEPS
    np.testing.assert_allclose(together["losses"], alone["losses"], rtol=1e-9)
    for ours, theirs in zip(together["parameters"], alone["parameters"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-8)
    drawn = build_model("painn", STUDENT).parameters()
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(drawn, alone["parameters"], strict=True)), "nothing learned"


@pytest.mark.parametrize("told", [{"RANK": "1"}, {"WORLD_SIZE": "2"}, {"RANK": "1", "WORLD_SIZE": "2"}])
def test_a_rank_that_a_launcher_of_jobs_exports_is_that_of_no_training(monkeypatch, told):
    """Whoever trains alone leads, and waits for no other process."""
    for key in processes.TOLD:
        monkeypatch.delenv(key, raising=False)
    for key, value in told.items():
        monkeypatch.setenv(key, value)
    assert processes.leads()
    with processes.joined("cpu") as device:
        assert device == torch.device("cpu") and processes.place() == (0, 1)


def test_a_process_that_is_told_where_the_others_are_leads_by_its_rank(monkeypatch):
    for key, value in zip(processes.TOLD, ("1", "2", "localhost", "29500"), strict=True):
        monkeypatch.setenv(key, value)
    assert not processes.leads()
    monkeypatch.setenv("RANK", "0")
    assert processes.leads()


def test_a_launcher_that_tells_no_local_rank_is_refused_where_processes_share_gpus(monkeypatch):
    for key, value in zip(processes.TOLD, ("1", "2", "localhost", "29500"), strict=True):
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(AssayError, match=r"no LOCAL_RANK, by which .*: start the training by torchrun"):
        processes.joined("cuda").__enter__()


@pytest.mark.parametrize("n_processes", [2, 3])
def test_gradients_of_parts_sum_to_that_of_the_step(monkeypatch, n_processes):
    data = dataset()
    torch.manual_seed(0)
    model = build_model("painn", STUDENT)
    packs, step, parameters = PackedDataset(data, 5.0), eager_gradients(model, LOSS), list(model.parameters())
    plan = [np.arange(5), np.array([7, 9]), np.arange(10, 14), np.array([20])]
    own = []
    for rank in range(n_processes):
        monkeypatch.setattr(processes, "place", lambda rank=rank: (rank, n_processes))
        steps = [plan[k : k + n_processes] for k in range(0, len(plan), n_processes)]
        own.append(processes.parts(steps, packs.sizes_of))
    assert {len(parts) for parts in own} == {-(-len(plan) // n_processes)}, "all take part in each step"
    for k, parts in enumerate(zip(*own, strict=True)):
        whole = packs.assemble(np.concatenate(plan[n_processes * k : n_processes * (k + 1)]))
        value, gradients = step(parameters, whole)
        losses, summands = zip(*(step(parameters, p.weigh(packs.assemble(p.structures))) for p in parts), strict=True)
        torch.testing.assert_close(sum(losses), value)
        for expected, *found in zip(gradients, *summands, strict=True):
            torch.testing.assert_close(sum(found), expected, rtol=1e-3, atol=1e-5 * expected.abs().max().item() + 1e-7)


@pytest.mark.parametrize(("size", "n_atoms"), [(20, 240), (60, 240), (100, 200), (150, 150), (300, 300)])
def test_a_step_of_several_processes_holds_no_more_atoms_than_that_of_one(monkeypatch, size, n_atoms):
    def sizes_of(indices):
        return np.full(len(indices), size)

    per_pack = max(1, 256 // 4 // size)
    plan = [np.arange(k, k + per_pack) for k in range(0, 120, per_pack)]
    monkeypatch.setattr(processes, "place", lambda: (0, 4))
    ends = processes.ends_of_steps(plan, sizes_of, 256)
    assert ends[-1] == len(plan)
    assert {size * per_pack * packs for packs in np.diff([0, *ends])} == {n_atoms}
    monkeypatch.setattr(processes, "place", lambda: (0, 1))
    assert processes.ends_of_steps(plan, sizes_of, 256) == list(range(1, len(plan) + 1))


def relative(found, expected):
    """The length of the difference of two gradients in units of the second."""
    one, other = (torch.cat([part.reshape(-1).double() for part in parts]) for parts in (found, expected))
    return ((one - other).norm() / other.norm()).item()


@pytest.fixture
def packings(monkeypatch):
    """A function that gives, by a step's gradients, those of one process, of two, and of one in another order."""
    data, whole = dataset(), np.arange(8)
    packs = PackedDataset(data, 5.0)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(processes, "place", lambda rank=rank: (rank, 2))
        parts += [
            part.weigh(packs.assemble(part.structures))
            for part in processes.parts([[whole[:4], whole[4:]]], packs.sizes_of)
        ]

    def gradients_of(step, parameters):
        """Let the parts of two processes exchange what they gather."""
        alone = [step(parameters, packs.assemble(order))[1] for order in (whole, whole[::-1])]
        gathered = []
        with monkeypatch.context() as patched:
            patched.setattr(processes, "gather", lambda values: gathered.append(values) or values.unsqueeze(0))
            for part in parts:
                step(parameters, part)
            patched.setattr(processes, "gather", lambda values: torch.stack(gathered))
            summands = [step(parameters, part)[1] for part in parts]
        return alone[0], [a + b for a, b in zip(*summands, strict=True)], alone[1]

    return gradients_of


@pytest.mark.skipif(library() is None, reason="no C++ compiler on this machine")
def test_in_single_precision_two_processes_differ_as_any_two_orders_of_one_step(packings):
    """The difference of two gradients in single precision is rounded, and divided by its step length: the rounding goes
    as one over that length, however the structures of a step are divided. Automatic differentiation has no such step.
    """
    apart, errors = [], []
    for seed in range(8):
        torch.manual_seed(seed)
        model = build_model("painn", STUDENT)
        parameters = list(model.parameters())
        by_autograd, two, reordered = packings(eager_gradients(model, LOSS), parameters)
        assert relative(two, by_autograd) < 1e-6 and relative(reordered, by_autograd) < 1e-6
        for length in (DISPLACEMENT_A, 10 * DISPLACEMENT_A):
            one, two, reordered = packings(engine_gradients(model, LOSS, length), parameters)
            apart.append((relative(two, one), relative(reordered, one)))
            errors.append(relative(one, by_autograd))
    (two, reordered), (two_far, reordered_far) = np.exp(np.log(apart).reshape(8, 2, 2).mean(0))  # of all models
    assert 1e-5 < two < 2e-3 and 0.1 < two / reordered < 10
    assert 4 < two / two_far < 25 and 4 < reordered / reordered_far < 25
    error, error_far = np.reshape(errors, (8, 2)).mean(0)
    assert error < error_far < 0.02


@pytest.mark.slow
def test_what_is_wrong_in_one_process_is_one_sentence():
    text = f"""
import sys, time
sys.path.insert(0, {str(PROGRAM.parents[2] / "scripts")!r})
from assay.training.processes import leads, run_in
from assay.workflow.errors import AssayError, exit_on_error

def fail():
    if not leads():
        raise AssayError("no such file: make one")
    time.sleep(60)

with exit_on_error():
    run_in(2, fail)
"""
    done = run("-c", text)
    assert (done.returncode, done.stderr.strip()) == (1, "Error: no such file: make one")
