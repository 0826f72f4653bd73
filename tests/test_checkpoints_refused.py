"""What cannot be trusted or understood is refused: one sentence, no output, the earlier model untouched."""

import os
import pickle

import pytest
import torch

from assay.checkpoint import normalize, write
from assay.workflow.errors import AssayError
from shared.checkpoint_refusals import REFUSED, SEED
from shared.checkpoint_samples import legacy_bytes, safetensors_bytes, store, torch_bytes


def check_refused(path, match, **arguments):
    """One sentence that names the file and says what to do."""
    with pytest.raises(AssayError, match=match) as caught:
        normalize(path, **arguments)
    message = str(caught.value)
    assert str(path) in message
    assert ": " in message.split(str(path))[-1]
    assert "\n" not in message
    assert len(message) < 1500
    assert "cannot be understood" not in message
    return message


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, match = REFUSED[case]
    check_refused(store(tmp_path, content()), match)
    assert not (tmp_path / "hacked").exists()


def test_what_is_no_file_is_refused(tmp_path):
    check_refused(tmp_path, "is a folder")
    (tmp_path / "sharded").mkdir()
    (tmp_path / "sharded/.metadata").touch()
    check_refused(tmp_path / "sharded", "is a distributed checkpoint of torch: .* of it with .*dcp_to_torch_save")
    check_refused(tmp_path / "nowhere.pt", "there is no checkpoint")
    check_refused(tmp_path / ("x" * 300), "cannot be read")
    os.mkfifo(tmp_path / "pipe.pt")
    check_refused(tmp_path / "pipe.pt", "not a regular file")
    with (tmp_path / "sparse.pt").open("wb") as handle:
        handle.truncate(10 << 30)
    check_refused(tmp_path / "sparse.pt", "more than any student")


def test_parts_of_a_checkpoint_are_refused_with_the_call_that_joins_them(tmp_path):
    distributed = tmp_path / "sharded"
    distributed.mkdir()
    for name in (".metadata", "__0_0.distcp"):
        (distributed / name).write_bytes(b"PK")
        check_refused(
            distributed / name, "is a part of a distributed checkpoint of torch: .* of its folder with .*dcp_to"
        )
    whole = tmp_path / "epoch-00010-of-00100.bin"
    whole.write_bytes(torch_bytes(SEED))
    assert normalize(whole).network.architecture == "seed-painn"
    for name in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        (tmp_path / name).write_text('{"weight_map": {}}')
        check_refused(tmp_path / name, "lists the shards of a checkpoint: .*max_shard_size")
    for name in ("model-00001-of-00002.safetensors", "pytorch_model-00002-of-00002.bin"):
        (tmp_path / name).write_bytes(safetensors_bytes(SEED))
        check_refused(tmp_path / name, "is one of several shards of a checkpoint: .*max_shard_size")
    for name in ("model-00001-of-00001.safetensors", "fold-3-of-5.pt"):
        (tmp_path / name).write_bytes(safetensors_bytes(SEED))
        assert normalize(tmp_path / name).network.architecture == "seed-painn"


def test_refusal_leaves_an_earlier_model_as_it_was(tmp_path):
    model, card = tmp_path / "out/model.safetensors", tmp_path / "out/model.json"
    write(normalize(store(tmp_path, SEED)), "x", model, card)
    before = model.read_bytes(), card.read_bytes()
    with pytest.raises(AssayError):
        write(normalize(store(tmp_path, REFUSED["nan"][0]())), "x", model, card)
    assert (model.read_bytes(), card.read_bytes()) == before
    assert {path.name for path in model.parent.iterdir()} == {"model.safetensors", "model.json"}


def test_no_unpickler_is_used(tmp_path, monkeypatch):
    def refuse(*_, **__):
        pytest.fail("a checkpoint is unpickled")

    files = [
        store(tmp_path, content(SEED), content.__name__) for content in (torch_bytes, legacy_bytes, safetensors_bytes)
    ]
    for owner, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(owner, name, refuse)
    assert len({normalize(file).to_bytes() for file in files}) == 1


def test_a_network_that_is_none_of_ours_is_told_what_is_read_and_that_its_calculator_can_be_judged(tmp_path):
    path = tmp_path / "net.pt"
    torch.save({"layer.weight": torch.ones(3, 3)}, path)
    with pytest.raises(AssayError, match=r"give a checkpoint of painn, .*seed-painn, or judge its ASE calculator"):
        normalize(path)
