"""Every form of checkpoint in docs/checkpoints/accepted.md is accepted, and means the same; every other is refused."""

import functools
import hashlib
import inspect
import json
import pathlib
import re
import tempfile

import numpy as np
import pytest
import torch

from assay.checkpoint import load_model, normalize, write
from assay.checkpoint.architecture import UNSEEN
from assay.checkpoint.container import content_sha256
from assay.checkpoint.normalized import parameter_counts
from assay.checkpoint.weights import BUFFERS, ROOTS
from assay.export import onnx_graphs
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.models import PaiNN
from assay.neighbors.lists import build_graph
from assay.predictors.interface import load_predictor
from assay.workflow.errors import AssayError
from shared.checkpoint_forms import AVERAGES, CONFIGS, CONTAINERS, NESTINGS, NOT_BEGUN, PREFIXES, UNCHECKED
from shared.checkpoint_samples import (
    SIZES,
    moved,
    parameters_of,
    prefixed,
    safetensors_bytes,
    store,
    student,
    torch_bytes,
)

STATES = {name: student(name).state_dict() for name in SIZES}


@pytest.fixture(params=sorted(SIZES))
def architecture(request):
    return request.param


@pytest.fixture
def state(architecture):
    return dict(STATES[architecture])


@pytest.fixture
def save(tmp_path):
    return functools.partial(store, tmp_path)


@functools.cache
def normal_form(architecture, **changes):
    """The canonical bytes that every form of a sample must come to."""
    with tempfile.TemporaryDirectory() as folder:
        path = store(pathlib.Path(folder), student(architecture, **changes).state_dict())
        return normalize(path).to_bytes()


@pytest.mark.parametrize("container", CONTAINERS)
def test_container(container, architecture, state, save):
    name, content = CONTAINERS[container](state)
    checkpoint = normalize(save(content, name))
    assert checkpoint.to_bytes() == normal_form(architecture)
    assert checkpoint.container.checksummed == (container not in UNCHECKED)


@pytest.mark.parametrize("nesting", NESTINGS)
def test_nesting(nesting, architecture, state, save):
    assert normalize(save(NESTINGS[nesting](state))).to_bytes() == normal_form(architecture)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefix(prefix, architecture, state, save):
    checkpoint = normalize(save({"state_dict": prefixed(state, prefix)}))
    assert checkpoint.to_bytes() == normal_form(architecture)
    assert "".join(checkpoint.state_dict.stripped) == prefix


def test_prefix_inside_names(architecture, state, save):
    """torch.compile or DataParallel of a submodule."""
    compiled = {re.sub(r"\.(\d)\.", r".\1._orig_mod.module.", name, count=1): tensor for name, tensor in state.items()}
    assert compiled.keys() != state.keys()
    assert normalize(save(compiled)).to_bytes() == normal_form(architecture)


@pytest.mark.parametrize("average", AVERAGES)
def test_average_is_preferred_and_said(average, architecture, state, save):
    raw = moved(state)
    checkpoint = normalize(save(AVERAGES[average](state, raw)))
    assert checkpoint.to_bytes() == normal_form(architecture)
    assert checkpoint.card("x")["source"]["weights_are_average"] is True
    assert "moving average" in checkpoint.summary()


def test_settings_that_are_assumed_of_bare_tensors_are_said_where_numbers_are(save, capsys):
    """Of another ``epsilon`` or without ``repulsion`` the same weights give other energies."""
    config = {"epsilon": 1e-3, "repulsion": True, "floor": True, "envelope": "cosine", "activation": "silu"}
    bare = save(student("painn").state_dict(), "bare.pt")
    whole = save({"state_dict": student("painn").state_dict(), "config": config}, "whole.pt")
    [doubt] = normalize(bare).doubts()
    assert doubt.startswith("The checkpoint holds tensors without the settings of their network; assumed are ")
    assert "epsilon 1e-08" in doubt and "repulsion False" in doubt
    assert doubt in normalize(bare).summary() and normalize(bare).card("x")["doubts"] == [doubt]
    for dtype in ("float64", "float32"):
        load_predictor(bare, dtype=dtype)
    assert capsys.readouterr().err.count(doubt) == 1
    assert not normalize(whole).doubts() and not normalize(whole).card("x")["doubts"]
    load_predictor(whole)
    assert "assumed" not in capsys.readouterr().err


def test_what_was_assumed_stays_in_doubt_in_the_normalized_model_and_in_exported_files(save, tmp_path, capsys):
    bare = normalize(save(student("painn").state_dict(), "bare.pt"))
    model, card, file = tmp_path / "model.safetensors", tmp_path / "model.json", tmp_path / "model.onnx"
    write(bare, "x", model, card)
    again = normalize(model)
    assert again.in_doubt == bare.in_doubt == list(UNSEEN)
    assert {name for name, source in again.network.sources.items() if source == "assumed"} == set(UNSEEN)
    [doubt] = again.doubts()
    assert "goes back to tensors without the settings of their network" in doubt and "epsilon 1e-08" in doubt
    assert again.to_bytes() == model.read_bytes() and again.card("x")["doubts"] == [doubt] == again.taught["doubts"]
    network = bare.build()
    metadata = export_metadata(network, json.loads(card.read_text()))
    assert metadata["doubts"] == bare.doubts()
    onnx_graphs.save(onnx_graphs.assemble(lower(network), network.cutoff, metadata, search=True), file)
    for _ in range(2):
        load_predictor(file)
    assert capsys.readouterr().err.count(f"{file}: {bare.doubts()[0]}") == 1
    card.unlink()
    assert not normalize(model).in_doubt, "nothing tells any more"
    assert "doubts" not in export_metadata(network, normalize(model).card("x"))


@pytest.mark.parametrize("told", ["all", {"epsilon": 1}, [["epsilon"], 3, None, "no_setting"], {}])
def test_no_word_of_a_stranger_on_what_was_assumed_is_an_error_or_a_doubt(told, save):
    whole = {"state_dict": student("painn").state_dict(), "config": student("painn").hyperparameters}
    read = normalize(save(whole | {"assumed": told}))
    assert read.to_bytes() == normalize(save(whole, "plain.pt")).to_bytes() and not read.doubts()


@pytest.mark.parametrize("average", NOT_BEGUN)
def test_average_that_has_not_begun_is_passed_over(average, architecture, state, save):
    untrained = moved(state)
    plain = normalize(save(untrained, "plain.pt")).to_bytes()
    path = save(NOT_BEGUN[average](untrained, state))
    checkpoint = normalize(path)
    assert checkpoint.to_bytes() == normal_form(architecture)
    assert checkpoint.card("x")["source"]["weights_are_average"] is False
    assert not checkpoint.doubt_of_weights()
    assert checkpoint.choice.passed_over
    for other in checkpoint.choice.passed_over:
        assert f"Passed over {other.place!r}: moving average that has not begun (" in checkpoint.summary()
        named = normalize(path, weights=other.place)
        assert named.to_bytes() == plain
        assert "That average has not begun" in named.summary()
    with pytest.raises(AssayError, match="holds no moving average that has begun: set "):
        normalize(path, weights="average")


@pytest.mark.parametrize("config", CONFIGS)
def test_config_under_other_names(config, architecture, save):
    model = student(architecture, cutoff_A=4.25)
    said = {"hidden_dim": 8, "num_interactions": 2, "num_rbf": 4, "cutoff": 4.25, "max_z": 9}
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(("rbf.", "radial."))}
    said |= {"radial_basis": "bessel"} if architecture == "painn" else {}
    checkpoint = normalize(save({"state_dict": state} | CONFIGS[config](said)))
    assert checkpoint.to_bytes() == normal_form(architecture, cutoff_A=4.25)
    assert checkpoint.network.sources["cutoff_A"].startswith("file config")


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_huggingface_folder(file, architecture, state, save, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["X"], "hidden_size": 8, "num_layers": 2}))
    content = safetensors_bytes(state) if file.endswith("safetensors") else torch_bytes(state)
    assert normalize(save(content, file)).to_bytes() == normal_form(architecture)
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 16}))
    with pytest.raises(AssayError, match=r"says config.json.hidden_size = 16, but its tensors have hidden = 8"):
        normalize(tmp_path / file)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_every_value(dtype, architecture, state, save):
    half = {name: tensor.to(dtype) for name, tensor in state.items()}
    checkpoint = normalize(save(half))
    assert all(torch.equal(checkpoint.network.tensors[name].double(), half[name].double()) for name in half)
    assert checkpoint.network.hyperparameters["cutoff_A"] == 5.0
    single = {name: tensor.float() for name, tensor in half.items()}
    assert normalize(save(single)).to_bytes() == checkpoint.to_bytes()


def test_double_precision_keeps_every_value(architecture, state, save):
    same = {name: tensor.double() for name, tensor in state.items()}
    assert normalize(save(same)).to_bytes() == normal_form(architecture)
    finer = {name: tensor * (1 + 1e-12) for name, tensor in same.items()}
    kept = normalize(save(finer)).network.tensors
    assert all(torch.equal(kept[name], finer[name]) for name in finer)


def test_normalized_model_is_a_checkpoint(architecture, state, save, tmp_path):
    unseen = {"envelope": "cosine", "activation": "gelu", "repulsion": True, "floor": True}
    hidden = unseen if architecture == "painn" else {}
    model = student(architecture, **hidden)
    record = {"elements": ["O", "H", 6]}
    first = normalize(save({"model_state_dict": model.state_dict(), "config": hidden, "training": record}))
    write(first, "x", tmp_path / "model.safetensors", tmp_path / "model.json")
    again = normalize(tmp_path / "model.safetensors")
    assert again.to_bytes() == first.to_bytes()
    assert again.elements == first.elements == ["H", "C", "O"]
    assert again.container.checksummed
    damaged = bytearray(first.to_bytes())
    damaged[-3] ^= 1
    (tmp_path / "model.safetensors").write_bytes(damaged)
    with pytest.raises(AssayError, match="checksum"):
        normalize(tmp_path / "model.safetensors")


def test_loaded_model_computes_what_was_saved(architecture, save):
    model = student(architecture).double()
    path = save({"model": prefixed(model.float().state_dict(), "module."), "config": {}})
    numbers, positions = torch.tensor([8, 1, 1, 6]), torch.randn(4, 3, dtype=torch.float64) * 1.5
    batch = torch.zeros(4, dtype=torch.int64)
    graph = build_graph(positions, batch, 5.0)
    expected = model.double().energy_and_forces(numbers, positions, batch, 1, graph)
    result = load_model(path, torch.float64).energy_and_forces(numbers, positions, batch, 1, graph)
    torch.testing.assert_close(result.energy, expected.energy, rtol=0, atol=1e-12)
    torch.testing.assert_close(result.forces, expected.forces, rtol=0, atol=1e-12)
    other = load_model(save(moved(model.state_dict())), torch.float64).energy(numbers, positions, batch, 1, graph)
    assert abs(float(other - expected.energy)) > 1e-3


# The identity card


def test_card(architecture, state, save, tmp_path):
    path = save({"model_state_dict": prefixed(state, "module."), "training": {"elements": [8, 1]}, "epoch": 1})
    write(normalize(path), "mine", tmp_path / "out/model.safetensors", tmp_path / "out/model.json")
    card = json.loads((tmp_path / "out/model.json").read_text())
    written = (tmp_path / "out/model.safetensors").read_bytes()
    assert card["variant"] == "mine"
    assert card["architecture"] == architecture
    assert card["hyperparameters"] == student(architecture).hyperparameters
    assert card["hyperparameter_sources"].keys() == card["hyperparameters"].keys()
    assert card["n_parameters"] == sum(parameter.numel() for parameter in student(architecture).parameters())
    assert card["elements"] == ["H", "O"]
    assert card["tensors_sha256"] == card["checkpoint_sha256"] == hashlib.sha256(written).hexdigest()
    assert card["source"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["source"]["weights_at"] == "model_state_dict"
    assert card["source"]["prefixes_stripped"] == ["module."]


def test_parameters_that_can_influence_the_energy(save):
    """seed-painn: not its last mixing matrix, its last gates, its first vector filter, the embedding of Z = 0."""
    total, used = parameter_counts(normalize(save(dict(STATES["seed-painn"]))).network)
    hidden = 8
    unused = 9 + 2 * hidden * (hidden + 1) + hidden * (hidden + 1) + hidden
    assert (total, used) == (sum(t.numel() for t in parameters_of(STATES["seed-painn"]).values()), total - unused)


def test_zero_weights_still_count_as_usable(architecture, state, save):
    zeros = {name: tensor if name.startswith(BUFFERS) else torch.zeros_like(tensor) for name, tensor in state.items()}
    assert parameter_counts(normalize(save(zeros)).network) == parameter_counts(normalize(save(state)).network)


def test_unseen_hyperparameters_come_from_the_config_or_are_said_to_be_assumed(save):
    model = student("painn", envelope="cosine", epsilon=1e-4)
    said = {"architecture": "painn", **model.hyperparameters}
    told = normalize(save({"model_state_dict": model.state_dict(), "config": said}))
    assert told.network.hyperparameters == model.hyperparameters
    assert told.network.sources["envelope"] == "file config config.envelope"
    untold = normalize(save(model.state_dict()))
    assert [name for name, source in untold.network.sources.items() if source == "assumed"] == list(UNSEEN)
    assert untold.network.hyperparameters["envelope"] == "polynomial"
    assert untold.to_bytes() != told.to_bytes()


def test_an_epsilon_among_settings_of_an_optimizer_is_none_of_the_norms(save):
    state = student("painn").state_dict()
    for place in ("hyper_parameters", "config"):
        read = normalize(save({"state_dict": state, place: {"lr": 1e-3, "epsilon": 1e-3, "hidden": 8}}))
        assert (read.network.hyperparameters["epsilon"], read.network.sources["epsilon"]) == (1e-8, "assumed")
        assert f"{place}.epsilon = 0.001 was taken for an optimizer's, beside lr, and not for" in read.summary()
        assert any("optimizer" in note for note in read.card("x")["source"]["notes"])
    for said in (
        {"config": {"epsilon": 1e-3, "hidden": 8}},
        {"hyper_parameters": {"lr": 1e-3, "epsilon": 1e-8, "model": {"epsilon": 1e-3}}},
        {"hyper_parameters": {"lr": 1e-3, "epsilon": 1e-3, "envelope": "polynomial"}},
        {"config": {"epsilon": 1e-3, "optimizer": {"lr": 1e-3, "epsilon": 1e-8}}},
    ):
        assert normalize(save({"state_dict": state} | said)).network.hyperparameters["epsilon"] == 1e-3


@pytest.mark.parametrize("rank", [1, 2])
def test_rank_comes_from_shapes_and_no_config_may_say_another(rank, save, tmp_path):
    state = student("painn", rank=rank).state_dict()
    for config in (
        {},
        {"rank": rank},
        {"rank": 0},
        {"rank": -1},
        {"rank": 3},
    ):  # the last ones of a process among others
        read = normalize(save({"model": state, "config": config}))
        assert (read.network.hyperparameters["rank"], read.network.sources["rank"]) == (rank, "shapes")
    write(read, "x", tmp_path / "model.safetensors", tmp_path / "model.json")
    assert normalize(tmp_path / "model.safetensors").to_bytes() == read.to_bytes()
    with pytest.raises(AssayError, match=f"says config.rank = {3 - rank}, but its tensors have rank = {rank}"):
        normalize(save({"model": state, "config": {"rank": 3 - rank}}))
    with pytest.raises(AssayError, match=r"says config\.rank = 'two', which cannot be"):
        normalize(save({"model": state, "config": {"rank": "two"}}))


def test_models_normalized_before_there_were_tensors_are_read(save):
    model = student("painn")
    config = {name: value for name, value in model.hyperparameters.items() if name != "rank"}
    config["content_sha256"] = content_sha256(model.state_dict(), config)
    read = normalize(save(safetensors_bytes(model.state_dict(), config=config), name="model.safetensors"))
    assert read.container.checksummed
    assert read.network.hyperparameters == model.hyperparameters


def test_names_that_the_finder_knows_are_those_of_the_networks():
    roots, buffers, parameters = set(), set(), set()
    for name in SIZES:
        for kind in ("bessel", "gaussian") if name == "painn" else (None,):
            model = student(name, **({"radial_basis": kind, "pair_elements": [1, 8]} if kind else {}))
            roots |= {key.split(".")[0] for key in model.state_dict()}
            parameters |= {key for key, _ in model.named_parameters()}
            buffers |= model.state_dict().keys() - {key for key, _ in model.named_parameters()}
    assert roots == ROOTS
    assert all(key.startswith(BUFFERS) for key in buffers)
    assert not any(key.startswith(BUFFERS) for key in parameters)
    shown = {"hidden", "n_blocks", "n_rbf", "max_z", "cutoff_A", "radial_basis", "filter_bias", "head", "rank"}
    shown |= {"from_contact", "pair_elements"}
    assert set(inspect.signature(PaiNN).parameters) == shown | set(UNSEEN)


@pytest.mark.parametrize("place", ["config", "training", ""])
def test_elements_have_a_row_of_the_embedding_each(place, architecture, state, save):
    """A network whose rows are kinds of atoms has fewer than its elements need."""

    def content(*elements):
        said = {"elements": list(elements)}
        return {"model_state_dict": state} | ({place: said} if place else said)

    assert normalize(save(content("H", "C", "F"))).elements == ["H", "C", "F"]
    for elements in (("H", "C", "Cl"), (1, 6, 17)):
        with pytest.raises(AssayError, match=r"lists the element Cl, .* up to 9 only: give a network whose rows are "):
            normalize(save(content(*elements)))


def test_elements_are_read_under_every_name_and_in_every_form(state, save):
    listed = ["H", "C", "O"]
    for said in (
        *({name: listed} for name in ("elements", "chemical_symbols", "type_names", "chemical_species", "type_map")),
        *({name: [8, 1, 6]} for name in ("elements", "atomic_numbers", "z_table", "zs")),
        {"elements": torch.tensor([1, 6, 8])},
        {"elements": "H C O"},
        {"species": "H,C,O"},
        {"elements": ["X", "H", "C", "O"]},
        {"type_map": {"H": 0, "C": 1, "O": 2}},
        {"elements": "[1, 6, 8]"},
        {"elements": [1, 6, 8, 6]},
        {"elements": [0, 1, 6, 8]},
        {"elements": {0: "H", 1: "C", 2: "O"}},
        {"type_map": {"0": "X", "1": "H", "2": "C", "3": "O"}},
        {"elements": "HCO"},
        {"elements": "H-C-O"},
        {"elements": "['H', 'C', 'O']"},
        {"elements": {"value": listed, "desc": None}},
        {"elements": np.unique(listed)},
        {"elements": ["1", "6", "8"]},
        {"atomic_numbers": ["1", "6", "8"]},
        {"elements": [np.str_(symbol) for symbol in listed]},
        {"species": np.array(listed, dtype=object)},
        {"elements": np.array(listed, dtype="S1")},
    ):
        assert normalize(save({"model_state_dict": state, "config": said})).elements == listed
        assert normalize(save({"model_state_dict": state, "hparams": {"model": said}})).elements == listed
    assert normalize(save({"model_state_dict": state, "elements": range(6, 9)})).elements == ["C", "N", "O"]
    for said in (
        {"elements": 3},
        {"species": [1, 2]},
        {"atomic_numbers": [6, 1, 1]},
        {"elements": "all"},
        {"elements": "auto"},
        {"zs": [0, 1]},
    ):
        assert normalize(save({"model_state_dict": state, "config": said})).elements is None
    ranges = ("H-F", "H - F", "1-9", "H..F", "H to F", "CHNO (H-F)", "H, C, 7-9")
    words = ("HCQ", "HCC", "NO", "organic")
    lists = (["H", "Q"], [0, 1], range(2), {"H": 1, "Q": 2}, {0: "H", 1: "Q"})
    for said in (*({"elements": value} for value in (*ranges, *words, *lists)), {"chemical_symbols": [[1]]}):
        with pytest.raises(AssayError, match=r"says config\.\w+ = .*, which are no elements: give them as a list"):
            normalize(save({"model_state_dict": state, "config": said}))


# The cutoff


def test_cutoff_comes_from_buffers_then_file_then_user(architecture, state, save):
    bare = {name: tensor for name, tensor in state.items() if not name.startswith(("rbf.", "radial."))}
    config = {"radial_basis": "bessel"} if architecture == "painn" else {}

    def source(content, user=None):
        return normalize(save(content), user).network.sources["cutoff_A"]

    assert source({"model": state, "config": {"cutoff": 5.0}}, 5.0).startswith("buffer ")
    assert source({"model": bare, "config": config | {"r_max": 5.0}}, 5.0) == "file config config.r_max"
    assert source({"model": bare, "config": config}, 5.0) == "user config"
    with pytest.raises(AssayError, match=r"variants.<name>.cutoff_A"):
        normalize(save({"model": bare, "config": config}))
    with pytest.raises(AssayError, match=r"cutoff 5 by its buffer .*, but 6 by the file config"):
        normalize(save({"model": state, "config": {"cutoff": 6.0}}))
    with pytest.raises(AssayError, match="but 6 by the user config"):
        normalize(save({"model": state}), 6.0)


def test_half_precision_buffer_confirms_the_number_of_the_config(save):
    model = student("painn", cutoff_A=5.123)
    content = {"model": {name: t.bfloat16() for name, t in model.state_dict().items()}, "config": {"cutoff": 5.123}}
    network = normalize(save(content)).network
    assert (network.hyperparameters["cutoff_A"], network.sources["cutoff_A"]) == (5.123, "file config config.cutoff")
