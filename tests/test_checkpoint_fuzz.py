"""Damaged checkpoints are refused in one sentence, or mean what their bytes say; never a traceback, never a hang.

Run with -s to see the counts.
"""

import functools
import io
import random
import signal
import zipfile
from collections import Counter, deque

import pytest
import torch

from assay.checkpoint import normalize
from assay.checkpoint.container import read_container
from assay.checkpoint.weights import find_models
from assay.workflow.errors import AssayError
from shared.checkpoint_foreign import FOREIGN
from shared.checkpoint_samples import legacy_bytes, prefixed, safetensors_bytes, student, torch_bytes, training
from shared.mutations import MUTATIONS
from shared.watch import watched

pytestmark = pytest.mark.slow

CASES = 320  # for each of the forms
SECONDS = 60  # for one case, on a busy machine
SMALL = {"hidden": 4, "n_rbf": 3, "max_z": 4}


def nested(model):
    """What a trainer saves: prefixed weights, an optimizer, a config, a record, objects of other libraries."""
    config = {"architecture": model.architecture, **model.hyperparameters}
    state = prefixed(model.state_dict(), "module.")
    return {"model_state_dict": state, "config": config, "training": {"elements": ["H", "He"]}, **training()} | {
        "optimizer": torch.optim.AdamW,
        "schedule": functools.partial(max, 1),
        "losses": deque([1.0]),
    }


def normalized(model, folder):
    path = folder / "plain.pt"
    torch.save(model.state_dict(), path)
    return normalize(path).to_bytes()


FORMS = {
    "zip": lambda model, folder: torch_bytes(nested(model)),
    "legacy": lambda model, folder: legacy_bytes(nested(model)),
    "safetensors": lambda model, folder: safetensors_bytes(model.state_dict(), config=model.hyperparameters),
    "normalized": normalized,
}


def outcome(path, good, bad, reference):
    """ "refused", "same" (as the undamaged file), or "changed and said so"; anything else is a failure."""
    path.write_bytes(bad)
    try:
        checkpoint = normalize(path)
    except AssayError as error:
        message = str(error)
        assert str(path) in message
        assert message.isprintable()
        assert "cannot be understood" not in message, message
        return "refused"
    if checkpoint.to_bytes() == reference.to_bytes():
        return "same"
    assert not checkpoint.container.checksummed, "a checksum held for other weights"
    assert "no checksums" in checkpoint.summary()
    assert len(bad) == len(good)
    n_bytes = sum(a != b for a, b in zip(good, bad, strict=True))
    ours, theirs = checkpoint.network.tensors, reference.network.tensors
    n_values = sum(int((ours[name].double() != theirs[name].double()).sum()) for name in theirs)
    assert n_values <= n_bytes, "a damaged byte changed more than its own value"
    return "changed and said so"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("architecture", ["seed-painn", "painn"])
def test_damaged_file_is_refused_or_means_what_it_says(form, architecture, tmp_path):
    path = tmp_path / "checkpoint"
    good = FORMS[form](student(architecture, **SMALL), tmp_path)
    path.write_bytes(good)
    reference = normalize(path)
    rng = random.Random(f"{form} {architecture}")
    counts = Counter()
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("a damaged checkpoint hangs"))
    for case in range(CASES):
        mutate = rng.choice(MUTATIONS)
        bad = bytes(mutate(good, rng))
        signal.alarm(SECONDS)
        try:
            counts[outcome(path, good, bad, reference)] += 1
        except BaseException as error:
            error.add_note(f"case {case}: {mutate.__name__}")
            raise
        finally:
            signal.alarm(0)
    print(f"\n{architecture} as {form}: {dict(counts)}")
    assert counts.total() == CASES
    assert counts["refused"] > CASES // 4
    if form == "zip":
        assert not counts["changed and said so"]
    elif form == "normalized":  # one that loses the mark of its checksum is a file without
        assert counts["changed and said so"] < CASES // 100
    else:
        assert counts["changed and said so"] > 5


@pytest.mark.parametrize("form", ["code_beside", "numpy_array", "whole_module", "omegaconf", "protocol_5"])
def test_damaged_pickle_runs_nothing(form, tmp_path, monkeypatch):
    """Here the archive is sound and its checksums hold, so that every damage reaches the reader of pickles."""
    monkeypatch.chdir(tmp_path)
    good = FOREIGN[form](student(**SMALL))
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    [name] = [name for name in records if name.endswith("/data.pkl")]
    path, rng, counts = tmp_path / "checkpoint", random.Random(form), Counter()
    path.write_bytes(good)
    read_container(path)
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("a damaged pickle hangs"))
    for _ in range(CASES):
        with zipfile.ZipFile(path, "w") as archive:
            for record, content in records.items():
                archive.writestr(record, bytes(rng.choice(MUTATIONS)(content, rng)) if record == name else content)
        signal.alarm(SECONDS)
        with watched() as seen:
            try:
                container = read_container(path)
                find_models(container)
                counts["read"] += 1
            except AssayError:
                counts["refused"] += 1
        signal.alarm(0)
        assert not seen
    print(f"\n{form}: {dict(counts)}")
    assert min(counts["read"], counts["refused"]) > CASES // 20
    assert {item.name for item in tmp_path.iterdir()} == {"checkpoint"}


def test_there_are_enough_cases():
    assert CASES * len(FORMS) * 2 >= 2000
