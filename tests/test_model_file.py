"""The model file: what it holds, and that a damaged or hostile one is refused in a sentence or is a model.

Run with -s to see the counts.
"""

import random
import re
import signal
import struct
from collections import Counter

import numpy as np
import pytest

from assay.engine import library, model_file
from assay.engine.model_file import to_bytes
from assay.runtime.engine import EngineModel
from assay.runtime.network_constants import INTEGERS, MAX_HEAD, PARTS, REALS
from shared.engine_inputs import arrays_of, network, rattled
from shared.mutations import MUTATIONS

pytestmark = pytest.mark.skipif(library.library() is None, reason="no C++ compiler on this machine")

CASES = 600
HEADER_bytes = 16 + 64 * len(PARTS) + 32


def content(name="vectors"):
    return to_bytes(network(name), {"variant": "fuzzed"}, [1, 6, 8])


def parts_of(data):
    """The parts of a model file by name."""
    found = {}
    for k, name in enumerate(PARTS):
        label, offset, size, _ = struct.unpack_from("<16sQQ32s", data, 16 + 64 * k)
        assert label.rstrip(b"\0").decode() == name
        found[name] = data[offset : offset + size]
    return found


def opened(data):
    return EngineModel(bytes(data), library.library_path(), 64)


def evaluated(data):
    """The energy of a water molecule by a model file."""
    return opened(data)(*arrays_of(rattled("H2O"))).energy


def refusal(data):
    """Why a file is refused; None if it is a model, which then evaluates a molecule without a crash."""
    try:
        evaluated(data)
        return None
    except ValueError as error:
        assert str(error).isprintable() and len(str(error)) < 300
        return str(error)


def test_what_it_holds_is_what_the_model_is():
    model = network("vectors")
    parts = parts_of(to_bytes(model, {"variant": "a"}, [1, 8]))
    n_integers = len(INTEGERS) + MAX_HEAD
    values = struct.unpack(f"<{n_integers}q{len(REALS)}d", parts["settings"])
    settings = dict(zip(INTEGERS, values, strict=False)) | dict(zip(REALS, values[n_integers:], strict=True))
    assert (settings["hidden"], settings["n_rbf"], settings["rank"], settings["cutoff"]) == (20, 7, 1, 5.0)
    elements = np.frombuffer(parts["elements"]).reshape(6, -1)
    np.testing.assert_array_equal(elements[3], model.reference_energy.numpy())
    assert np.flatnonzero(elements[4]).tolist() == [1, 8]
    assert not elements[5].any() and settings["n_pair_elements"] == 0
    places = np.frombuffer(parts_of(to_bytes(network("from contact"), {}))["elements"]).reshape(6, -1)[5]
    assert places[[1, 6, 8]].tolist() == [0, 1, 2] and set(np.delete(places, [1, 6, 8])) == {3}
    assert len(parts["parameters"]) == 8 * sum(p.numel() for p in model.parameters())


def test_a_sound_file_is_read_from_disk_as_from_memory(tmp_path):
    path = tmp_path / "model.assay"
    path.write_bytes(content())
    found = EngineModel(path, library.library_path(), 64)(*arrays_of(rattled("H2O")))
    assert found.energy == evaluated(content())


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path, "cannot be read (No such file or directory): check the path"),
        (lambda path: path.mkdir(), "cannot be read (Is a directory)"),
        (lambda path: path.write_bytes(b""), "is not a model file of Assay"),
        (lambda path: path.write_bytes(b"PK" + bytes(1000)), "is not a model file of Assay"),
        (lambda path: path.write_bytes(content()[:HEADER_bytes]), "is damaged"),
        (lambda path: path.write_bytes(content() + b"more"), "is damaged (end)"),
        (lambda path: path.write_bytes(content()[:8] + b"\3" + content()[9:]), "is of version 3"),
    ],
)
def test_what_is_no_model_file_is_said_to_be_none(make, why, tmp_path):
    path = tmp_path / "model.assay"
    make(path)
    with pytest.raises(ValueError, match=re.escape(f"{path} {why}")):
        EngineModel(path, library.library_path())


def test_every_damaged_byte_is_noticed():
    good, rng, counts = content(), random.Random(0), Counter()
    for _ in range(CASES):
        bad = bytes(rng.choice(MUTATIONS)(good, rng))
        reason = refusal(bad)
        assert (reason is None) == (bad == good)
        counts[re.sub(r"\d+", "#", reason or "the same")] += 1
    print(f"\n{dict(counts)}")
    assert counts.total() - counts["the same"] > 0.95 * CASES


@pytest.mark.parametrize("part", PARTS)
def test_a_hostile_file_with_good_checksums_is_refused_or_is_a_model(part):
    good, rng, counts = parts_of(content()), random.Random(part), Counter()
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("a hostile model file hangs"))
    for case in range(CASES):
        changed = bytes(rng.choice(MUTATIONS)(good[part], rng))
        if part == "settings" and case % 2:  # damage that keeps the size: one number that is extreme
            place = 8 * rng.randrange(len(good[part]) // 8)
            extreme = rng.choice([-1, 0, 1, 2, 7, 17, 64, 1 << 20, 1 << 31, (1 << 62) - 1, -(1 << 63)])
            changed = good[part][:place] + struct.pack("<q", extreme) + good[part][place + 8 :]
        signal.alarm(60)
        counts["model" if refusal(model_file.assembled(good | {part: changed})) is None else "refused"] += 1
        signal.alarm(0)
    print(f"\n{part}: {dict(counts)}")
    assert counts["refused"] > CASES // 20 or part == "metadata"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["elements", "radial", "parameters"])
def test_numbers_that_are_not_finite_are_refused(part, number):
    good = parts_of(content())
    values = np.frombuffer(good[part]).copy()
    values[len(values) // 3] = number
    assert "that is not finite" in (refusal(model_file.assembled(good | {part: values.tobytes()})) or "")


@pytest.mark.parametrize("place", [-1.0, 0.5, 4.0])
def test_a_place_among_the_elements_with_pair_energies_that_is_none_is_refused(place):
    good = parts_of(to_bytes(network("from contact"), {}))
    elements = np.frombuffer(good["elements"]).reshape(6, -1).copy()
    elements[5, 6] = place
    changed = model_file.assembled(good | {"elements": elements.tobytes()})
    assert "an element at a place among those with pair energies that is none" in (refusal(changed) or "")


def test_metadata_that_are_no_json_are_refused_in_python():
    good = parts_of(content())
    with pytest.raises(ValueError, match="metadata"):
        opened(model_file.assembled(good | {"metadata": b"{"}))
