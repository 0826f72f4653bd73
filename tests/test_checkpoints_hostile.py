"""Pickles that mean harm end in one sentence or in plain data: in bounded time and memory, with nothing run."""

import io
import os
import signal
import struct
import subprocess
import sys
import zipfile

import pytest
import torch

from assay.checkpoint import normalize
from assay.checkpoint.choice import choose_weights
from assay.checkpoint.config import read_config
from assay.checkpoint.container import read_container
from assay.checkpoint.pickles import read_pickle
from assay.workflow.errors import AssayError
from shared.checkpoint_foreign import entry, storage, zip_of
from shared.checkpoint_hostile import READ, REJECTED, many
from shared.checkpoint_samples import legacy_bytes, pickle_bytes, store, student

SECONDS = 60
FLOATS = bytes(16)


@pytest.fixture(autouse=True)
def _bounded():
    """A hostile file may not hang."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("a hostile checkpoint hangs"))
    signal.alarm(SECONDS * 5)
    yield
    signal.alarm(0)


def hostile_file(tmp_path, value, legacy):
    """A file with the entry "x", in one of the two formats of torch."""
    pickled = entry(value)
    if not legacy:
        return store(tmp_path, zip_of(pickled, {"0": FLOATS}))
    head = io.BytesIO(legacy_bytes({}))
    for _ in range(3):
        read_pickle(head)
    keys = ["0"] if b"storage" in pickled else []
    behind = (struct.pack("<q", 4) + FLOATS) * len(keys)
    return store(tmp_path, head.getvalue()[: head.tell()] + pickled + pickle_bytes(keys, 2) + behind)


def check_read(value, holds, tmp_path, legacy=False):
    """The entry is data of which ``holds`` is true, no file was made, and a search for weights ends."""
    path = hostile_file(tmp_path, value, legacy)
    container = read_container(path)
    assert holds(container.content["x"])
    assert {item.name for item in tmp_path.iterdir()} == {path.name}
    assert not read_config(container)
    with pytest.raises(AssayError, match="holds no weights"):
        choose_weights(container)


def check_refused(value, reason, tmp_path, legacy=False):
    """One sentence with the reason."""
    path = hostile_file(tmp_path, value, legacy)
    with pytest.raises(AssayError, match=rf"is damaged or not a checkpoint \(.*({reason})") as caught:
        read_container(path)
    assert str(path) in str(caught.value)
    assert {item.name for item in tmp_path.iterdir()} == {path.name}


@pytest.mark.parametrize("case", READ)
def test_read_as_data(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_read(*READ[case], tmp_path)


@pytest.mark.parametrize("case", REJECTED)
def test_refused_with_a_reason(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_refused(*REJECTED[case], tmp_path)


def test_legacy_files_are_read_in_the_same_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for case in ("inst", "obj", "newobj_ex", "stack_global", "list_in_itself", "billion_laughs", "state_of_a_class"):
        check_read(*READ[case], tmp_path, legacy=True)
    for case in (
        "persistent_call",
        "tensor_beyond_its_storage",
        "huge_number",
        "unknown_opcode",
        "modules_without_end",
    ):
        check_refused(*REJECTED[case], tmp_path, legacy=True)


def test_many_tensors_or_sets_of_weights_are_refused(tmp_path):
    names = {"." * (index % 900) + str(index): torch.ones(1) for index in range(500)}
    one = torch.ones(1)
    for content, reason in (
        ([{f"{'.' * 200}{index}": one for index in range(1001)} for _ in range(100)], "more than 100,000 tensors"),
        ([{"blocks.0.x": one} for _ in range(21)], "more than 20 sets of weights"),
        ([{"blocks.0.x": one, "ema": [one]} for _ in range(21)], "more than 20 sets of weights"),
    ):
        path = store(tmp_path, {"model": content} | names)
        with pytest.raises(AssayError, match=reason):
            normalize(path)


def test_tensors_that_share_their_bytes_are_refused(tmp_path):
    """A network as large as the sum of its tensors would be built, and the file is small."""
    flat = torch.zeros(50_000)
    path = store(tmp_path, {f"blocks.{index}.filter.weight": flat.view(5000, 10) for index in range(60)})
    with pytest.raises(AssayError, match="share their place"):
        normalize(path)


def test_links_and_records_that_are_there_twice(tmp_path):
    path = store(tmp_path, student().state_dict(), "real.pt")
    link, loop, folder = tmp_path / "link.pt", tmp_path / "loop.pt", tmp_path / "folder.pt"
    link.symlink_to(path)
    loop.symlink_to(loop)
    folder.symlink_to(tmp_path)
    assert normalize(link).to_bytes() == normalize(path).to_bytes()
    for bad, reason in ((loop, "cannot be read"), (folder, "is a folder")):
        with pytest.raises(AssayError, match=reason):
            normalize(bad)
    stream = io.BytesIO(zip_of(entry(b"N")))
    with zipfile.ZipFile(stream, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data.pkl", entry(b"cos\nsystem\n)R"))
    with pytest.raises(AssayError, match=r"not a checkpoint|lists a record twice"):
        normalize(store(tmp_path, stream.getvalue()))
    outside = zip_of(entry(storage(key="../../etc/passwd", count=1)), {"../../etc/passwd": bytes(4)})
    assert read_container(store(tmp_path, outside)).content["x"] is not None
    assert {item.name for item in tmp_path.iterdir()} == {"real.pt", "link.pt", "loop.pt", "folder.pt", "checkpoint.pt"}


@pytest.mark.slow
def test_memory_is_bounded(tmp_path):
    """No bomb ends in a lack of memory in a process that may have 2 GiB, of which torch takes half."""
    bombs = {
        "dicts": b"](" + many(b"}", 1_400_000) + b"e",
        "calls": b"](" + many(b"cf\ng\n)R", 600_000) + b"e",
        "names": b"](" + many(b"X\xf4\x01\x00\x00" + b"a" * 500 + b"2\x93", 100_000) + b"e",
        **{case: REJECTED[case][0] for case in REJECTED if case.startswith(("one_", "many_", "tensor_of_endless"))},
        **{case: READ[case][0] for case in ("huge_memo_index", "array_larger_than_its_bytes", "billion_laughs")},
    }
    for name, value in bombs.items():
        store(tmp_path, zip_of(entry(value), {"0": FLOATS} if b"storage" in value else {}), f"{name}.pt")
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, *sorted(map(str, tmp_path.iterdir()))],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, timeout=SECONDS * 5,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == len(bombs)
    assert "MemoryError" not in done.stdout, done.stdout


READ_ALL = """
import resource, sys
from assay.checkpoint.container import read_container
from assay.workflow.errors import AssayError

resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))
for path in sys.argv[1:]:
    try:
        print(type(read_container(path).content).__name__)
    except AssayError as error:
        print(error)
"""
