"""Pickles are read as data: what they name is neither imported nor called, and what is sound in them is found."""

import functools
import json
import os

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from assay.checkpoint import normalize, write
from assay.checkpoint.container import read_container
from assay.workflow.errors import AssayError
from shared.checkpoint_foreign import FOREIGN, WEIGHT_SETS, library, omegaconf
from shared.checkpoint_samples import (
    SIZES,
    lightning,
    moved,
    parameters_of,
    prefixed,
    store,
    student,
    torch_bytes,
)
from shared.watch import watched


@pytest.fixture(params=sorted(SIZES))
def architecture(request):
    return request.param


@pytest.fixture
def save(tmp_path):
    return functools.partial(store, tmp_path)


def test_the_watch_sees_what_a_pickle_runs(tmp_path, monkeypatch):
    """The tests below would prove nothing if it saw nothing."""
    monkeypatch.chdir(tmp_path)
    path = store(tmp_path, FOREIGN["code_beside"](student()))
    with watched() as seen:
        torch.load(path, weights_only=False)
    assert "os.system" in seen
    assert (tmp_path / "hacked").exists()


@pytest.mark.parametrize("form", FOREIGN)
def test_foreign_objects_beside_weights(form, architecture, save, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = student(architecture)
    plain = normalize(save(model.state_dict(), "plain.pt")).to_bytes()
    path = save(FOREIGN[form](model), "foreign.pt")
    read_container(path)
    with watched() as seen:
        read_container(path)
    assert not seen
    checkpoint = normalize(path)
    assert checkpoint.to_bytes() == plain
    assert not (tmp_path / "hacked").exists()
    for name in checkpoint.container.not_run:
        assert name in checkpoint.summary()
        assert name in checkpoint.card("x")["source"]["classes_not_run"]


def test_what_was_not_run_is_named(save, tmp_path):
    checkpoint = normalize(save(FOREIGN["code_beside"](student())))
    assert checkpoint.container.not_run == [f"{os.system.__module__}.system"]
    assert not normalize(save(student().state_dict())).container.not_run
    write(checkpoint, "x", tmp_path / "model.safetensors", tmp_path / "model.json")
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["source"]["classes_not_run"] == ["posix.system"]


def test_config_of_a_whole_module_and_of_omegaconf_is_read(save):
    """Its attributes count as what it says of itself."""
    model = student("painn", activation="gelu", epsilon=1e-4, envelope="cosine")
    checkpoint = normalize(save(torch_bytes(model)))
    assert checkpoint.network.hyperparameters == model.hyperparameters
    bare = {name: t for name, t in model.state_dict().items() if not name.startswith("radial.")}
    config = model.hyperparameters | {"lr": 1e-3, "layers": [1, {"a": 2}]}
    content = omegaconf(lambda node: lightning(prefixed(bare, "model."), hyper_parameters=node(config, None)))
    assert normalize(save(content)).network.hyperparameters == model.hyperparameters


def averaged(model):
    made = AveragedModel(model)
    made.update_parameters(model)
    return made


class Wall(torch.nn.Module):
    """Something of somebody's own in the place of a floor."""


class Wrapper(torch.nn.Module):
    """A trainer's module, which has the network among its own."""

    def __init__(self, model):
        super().__init__()
        self.model, self.lr, self.epsilon = model, 1e-3, None


@pytest.mark.parametrize("wrap", [torch.nn.DataParallel, averaged, Wrapper, lambda model: Wrapper(Wrapper(model))])
def test_config_of_a_module_inside_another_is_read(wrap, save):
    model = student("painn", activation="gelu", epsilon=1e-2, envelope="cosine")
    for content in (wrap(model), {"model": wrap(model), "epoch": 3}):
        assert normalize(save(torch_bytes(content))).network.hyperparameters == model.hyperparameters


def test_config_of_another_network_in_a_module_is_not_that_of_the_student(save):
    made, model = Wrapper(student("painn", activation="gelu")), student("painn", hidden=12, activation="silu")
    made.teacher = model
    expected = made.model.hyperparameters
    assert normalize(save(torch_bytes(made)), weights="the top").network.hyperparameters == expected


def test_a_module_without_a_config_tells_its_settings_by_its_modules(save):
    model = student("painn", activation="gelu", envelope="cosine", epsilon=1e-3, repulsion=True, floor=True)
    expected = dict(model.hyperparameters)
    del model.hyperparameters
    checkpoint = normalize(save(torch_bytes(model)))
    assert checkpoint.network.hyperparameters == expected
    assert "assumed" not in checkpoint.network.sources.values()
    with library(far__away__Wall=Wall):
        model.floor = Wall()
        path = save(torch_bytes(model))
    with pytest.raises(AssayError, match=r"holds floor as <far\.away\.Wall>, which cannot be read, and floor = False"):
        normalize(path)
    del model.floor
    model.hyperparameters = expected | {"activation": "silu"}
    with pytest.raises(AssayError, match="activation"):
        normalize(save(torch_bytes(model)))


def test_an_activation_is_read_from_its_class_function_or_name(save):
    model = student("painn", activation="gelu")
    texts = (
        "gelu",
        "GELU",
        "torch.nn.GELU",
        "GELU(approximate='none')",
        "<class 'torch.nn.GELU'>",
        "<function gelu at 0x7f>",
    )
    for activation in (torch.nn.GELU(), torch.nn.GELU, torch.nn.functional.gelu, *texts):
        content = {"model": model.state_dict(), "config": {"activation": activation}}
        assert normalize(save(content)).network.hyperparameters["activation"] == "gelu"
    tanh = torch.nn.GELU(approximate="tanh")
    for other in (torch.nn.ReLU(), tanh, repr(tanh), torch.nn.Softplus(beta=2.0), "Softplus(beta=2.0, threshold=20.0)"):
        with pytest.raises(AssayError, match="cannot be built"):
            normalize(save({"model": model.state_dict(), "config": {"activation": other}}))


@pytest.mark.parametrize("head", [[4], [4, 4], [4, 4, 4]])
def test_a_module_with_other_activations_than_its_config_says_is_refused(save, head):
    model = student("painn", activation="gelu", head=head)
    model.head[2 * len(head) - 1] = torch.nn.GELU(approximate="tanh")
    with pytest.raises(AssayError, match=r"activation = gelu under .* and torch.*approximate=none.* and .*=tanh"):
        normalize(save(torch_bytes(model)))
    del model.hyperparameters
    with pytest.raises(AssayError, match=r"cannot be built \(.*approximate=none.* and .*=tanh"):
        normalize(save(torch_bytes(model)))


def test_what_changes_no_activation_is_none_of_its_arguments(save):
    model = student("painn")
    plain = normalize(save(torch_bytes(model))).to_bytes()
    model.head[1] = torch.nn.SiLU(inplace=True)
    model.blocks[0].context[1].__flops__ = 512
    assert normalize(save(torch_bytes(model))).to_bytes() == plain


def test_contents_of_foreign_classes(save):
    """Entries, attributes, members and buffers that a module does not save."""

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("kept", torch.ones(2))
            self.register_buffer("lost", torch.zeros(2), persistent=False)
            self.weight = torch.nn.Parameter(torch.arange(6.0).view(2, 3).t())
            self.act = torch.nn.SiLU()
            self.cutoff, self.tied = 4.5, torch.nn.Linear(1, 1)
            self.again = self.tied

    class Slots:
        __slots__ = ("a", "b")

    with library(far__away__Layer=Layer, far__away__Slots=Slots):
        layer, slots = Layer(), Slots()
        slots.a, slots.b = 1, [2]
        path = save(torch_bytes({"layer": layer, "slots": slots}))
        expected = layer.state_dict()
    content = read_container(path)
    read = content.content["layer"]
    assert {name for name, value in read.items() if isinstance(value, torch.Tensor)} == expected.keys()
    assert all(torch.equal(read[name], expected[name]) for name in expected)
    assert (read["cutoff"], read["act"].name) == (4.5, "torch.nn.modules.activation.SiLU")
    assert content.content["slots"] == {"a": 1, "b": [2]}
    assert {"far.away.Layer", "far.away.Slots"} < set(content.not_run)


@pytest.mark.parametrize("form", WEIGHT_SETS)
def test_the_user_chooses_among_sets_of_weights(form, architecture, save):
    state = student(architecture).state_dict()
    other = moved(state)
    plain = {name: normalize(save(it, "plain.pt")).to_bytes() for name, it in (("raw", state), ("average", other))}
    path = save(WEIGHT_SETS[form](state, other))
    assert normalize(path, weights="raw").to_bytes() == plain["raw"]
    chosen = normalize(path, weights="average")
    assert chosen.to_bytes() == plain["average"]
    assert normalize(path, weights=chosen.state_dict.place).to_bytes() == plain["average"]
    by_path = normalize(path, weights="state_dict")
    assert by_path.to_bytes() == plain["raw"]
    assert by_path.card("x")["source"]["weights_asked_for"] == "state_dict"


@pytest.mark.parametrize("form", WEIGHT_SETS)
def test_what_was_passed_over_and_what_is_in_doubt_is_said(form, save, tmp_path):
    """A state dict that is the average, and raw weights under the name of one, look the same as the reverse."""
    state = student().state_dict()
    checkpoint = normalize(save(WEIGHT_SETS[form](state, moved(state))))
    [passed] = checkpoint.choice.passed_over
    assert not passed.equal
    assert {passed.place, checkpoint.state_dict.place} > {"state_dict"}
    assert f"Passed over {passed.place!r}" in checkpoint.summary()
    assert "by its name alone" in checkpoint.doubt_of_weights()
    assert checkpoint.doubt_of_weights() in checkpoint.summary()
    assert "rather than the raw weights" not in checkpoint.summary()
    write(checkpoint, "x", tmp_path / "model.safetensors", tmp_path / "model.json")
    source = json.loads((tmp_path / "model.json").read_text())["source"]
    assert source["weights_in_doubt"] is True
    assert source["weights_passed_over"] == [
        {"place": passed.place, "average": passed.average, "equal": False, "not_begun": ""}
    ]
    same = normalize(save(WEIGHT_SETS[form](state, state)))
    assert not same.doubt_of_weights()
    assert [other.equal for other in same.choice.passed_over] == [True]


def test_unasked_the_choice_is_that_of_before(save):
    state = student().state_dict()
    places = {form: normalize(save(make(state, moved(state)))).state_dict.place for form, make in WEIGHT_SETS.items()}
    assert places == {
        "shadow_params_in_callback": "callbacks.EMA.shadow_params",
        "ema_in_optimizer_states": "state_dict",
        "ema_weights_in_callback": "state_dict",
        "ema_weights_by_name": "callbacks.EMA.ema_weights",
    }


def test_files_that_show_which_set_is_the_average(save):
    """Lightning's WeightAveraging, and torch_ema while the average stands in the model."""
    raw = student().state_dict()
    average = moved(raw)
    lists = {name: list(parameters_of(state).values()) for name, state in (("raw", raw), ("average", average))}
    swapped = {"shadow_params": lists["average"], "collected_params": lists["raw"]}
    plain = {name: normalize(save(it, "plain.pt")).to_bytes() for name, it in (("raw", raw), ("average", average))}
    for content in (
        lightning(prefixed(average, "model.")) | {"current_model_state": prefixed(raw, "model.")},
        lightning(prefixed(average, "model."), callbacks={"EMA": swapped}),
    ):
        checkpoint = normalize(save(content))
        assert checkpoint.to_bytes() == plain["average"]
        assert checkpoint.card("x")["source"]["weights_are_average"] is True
        assert not checkpoint.doubt_of_weights()
        assert normalize(save(content), weights="raw").to_bytes() == plain["raw"]
        assert not normalize(save(content), weights="raw").state_dict.average
    restored = normalize(save(lightning(prefixed(raw, "model."), callbacks={"EMA": swapped})))
    assert restored.to_bytes() == plain["average"]
    assert not restored.doubt_of_weights()


WEIGHTS_OF_FILES = {
    # What a trainer saves of the raw weights, the average and other tensors of the same names; which of them are read.
    "non_ema": (lambda raw, ema, other: {"state_dict": ema, "non_ema_state_dict": raw}, "average"),
    "before_ema": (lambda raw, ema, other: {"state_dict": ema, "weights_before_ema": raw}, "average"),
    "ema_backup": (lambda raw, ema, other: {"state_dict": ema, "ema_backup": raw}, "average"),
    "backup_alone": (lambda raw, ema, other: {"model": ema, "ema": {"backup": raw}}, "average"),
    "shadow_and_backup": (lambda raw, ema, other: {"model": raw, "ema": {"shadow": ema, "backup": raw}}, "average"),
    "callback": (
        lambda raw, ema, other: {"state_dict": ema, "callbacks": {"EMA": {"original_weights": raw}}}, "average",
    ),
    "mmengine": (
        lambda raw, ema, other: {
            "state_dict": ema, "ema_state_dict": prefixed(raw, "module.") | {"steps": torch.tensor(100)},
        },
        "average",
    ),
    "moments_opt": (lambda raw, ema, other: {"model": raw, "opt": {"exp_avg": other}}, "raw"),
    "moments_optim": (lambda raw, ema, other: {"model": raw, "optim_state": {"exp_avg": other}}, "raw"),
    "diffusers_not_begun": (lambda raw, ema, other: {"model": raw, "ema": {"optimization_step": 0, "m": other}}, "raw"),
    "yolo_not_begun": (lambda raw, ema, other: {"model": raw, "ema": other, "updates": 0}, "raw"),
    "yolo": (lambda raw, ema, other: {"model": raw, "ema": ema, "updates": 7}, "average"),
}  # fmt: skip


for _name in ("emaModel", "EMAModel", "ModelEMA", "model-ema", "ema model", "ema1", "ema0.999", "ewma", "swaWeights"):
    WEIGHTS_OF_FILES[_name] = (lambda raw, ema, other, name=_name: {"state_dict": raw, name: ema}, "average")
WEIGHTS_OF_FILES["nonEMA"] = (lambda raw, ema, other: {"state_dict": ema, "nonEMAWeights": raw}, "average")
WEIGHTS_OF_FILES["bestModel"] = (lambda raw, ema, other: {"bestModel": raw, "weights": other}, "raw")
for _name in ("teacherModel", "TeacherNet", "teacher1", "lossNet", "OptimState"):
    WEIGHTS_OF_FILES[_name] = (lambda raw, ema, other, name=_name: {"weights": raw, name: other}, "raw")


@pytest.mark.parametrize("case", WEIGHTS_OF_FILES)
def test_the_weights_that_come_out_of_a_file(case, save):
    raw = student().state_dict()
    sets = {"raw": raw, "average": moved(raw), "other": moved(raw, 0.5)}
    make, expected = WEIGHTS_OF_FILES[case]
    path = save(make(*sets.values()))
    assert normalize(path).to_bytes() == normalize(save(sets[expected], "plain.pt")).to_bytes()
    if case == "mmengine":
        assert normalize(path, weights="raw").to_bytes() == normalize(save(raw, "plain.pt")).to_bytes()


def test_the_nearest_counter_says_whether_an_average_has_begun(save):
    raw = student().state_dict()
    average = moved(raw)
    expected = normalize(save(average, "plain.pt")).to_bytes()
    shadow = {"num_updates": None, "shadow_params": list(parameters_of(average).values())}
    for content in (
        {"n_averaged": 0, "model": raw, "ema": {"num_updates": 3, "module": average}},
        {"model": raw, "ema": shadow, "swa": {"n_averaged": 0}},
        {"model": raw, "ema": average, "swa": prefixed(moved(raw, 0.5), "module.") | {"n_averaged": torch.tensor(0)}},
    ):
        assert normalize(save(content)).to_bytes() == expected


def test_a_path_may_lead_to_a_teacher_or_to_one_of_two_models(save):
    state = student().state_dict()
    other = moved(state)
    expected = normalize(save(other, "plain.pt")).to_bytes()
    assert normalize(save({"student": state, "teacher": other}), weights="teacher").to_bytes() == expected
    two = prefixed(state, "student.") | prefixed(other, "teacher.")
    assert normalize(save(lightning(two)), weights="state_dict.teacher").to_bytes() == expected
    with pytest.raises(AssayError, match=r"two different models, under .*variants.<name>.weights"):
        normalize(save({"generator": state, "critic": other}))
    assert normalize(save({"generator": state, "critic": other}), weights="critic").to_bytes() == expected
    models = {"models": [state, other]}
    assert normalize(save(models), weights="models[1]").to_bytes() == expected


@pytest.mark.parametrize("place", ["best_loss", "best_val_loss_state_dict", "best_metric_model", "opt_model"])
def test_weights_that_are_best_by_a_loss_are_no_loss(place, save):
    state = student().state_dict()
    plain = normalize(save(state, "plain.pt")).to_bytes()
    assert normalize(save({place: state})).to_bytes() == plain
    assert normalize(save({place: state, "model": state})).to_bytes() == plain


def test_weights_whose_name_is_not_that_of_a_student_are_named_and_not_taken(save):
    state = student().state_dict()
    for place in ("teacher", "loss_model", "optimizer.exp_avg"):
        outer, _, inner = place.partition(".")
        path = save({outer: {inner: state} if inner else state})
        with pytest.raises(AssayError, match=f"holds weights of a student under '{place}' alone, .* as variants"):
            normalize(path)
        assert normalize(path, weights=place).state_dict.place == place
    best, last = {"best_val_loss_state_dict": moved(state)}, {"state_dict": state}
    with pytest.raises(AssayError, match="two different models, under 'best_val_loss_state_dict' and 'state_dict'"):
        normalize(save(best | last))


def test_the_best_weights_beside_an_average_are_no_second_model(save):
    state = student().state_dict()
    average = moved(state, 0.5)
    content = {"model_state": state, "best_model_state": moved(state), "ema": parameters_of(average)}
    assert normalize(save(content)).to_bytes() == normalize(save(average, "plain.pt")).to_bytes()


def test_an_adapter_that_is_not_merged_into_the_weights_is_refused(save):
    """It changes the energies, whether it stands in the network or beside it; a student may be called one."""
    state = student("painn").state_dict()
    low = {"A": torch.ones(2, 8), "B": torch.ones(8, 2)}
    layer = {f"blocks.0.filter.lora_{side}.default.weight": tensor for side, tensor in low.items()}
    inside = prefixed(state, "base_model.model.") | prefixed(layer, "base_model.model.")
    inside["base_model.model.blocks.0.filter.base_layer.weight"] = inside.pop("base_model.model.blocks.0.filter.weight")
    scales = {"blocks.0.filter.scale": torch.full((24, 1), 2.0), "embedding.weight": state["embedding.weight"]}
    biases = {name: tensor for name, tensor in state.items() if name.endswith("bias")}
    plain = normalize(save(state, "plain.pt")).to_bytes()
    for content in (
        inside,
        {"state_dict": state, "lora": {"0.A": low["A"]}},
        {"state_dict": state, "adapters": {"mine": {"down": low["A"]}}},
        {"state_dict": state, "delta": layer},
        {"state_dict": state, "loraWeights": low},
        {"state_dict": state, "peft": scales},
        {"state_dict": state, "adapters": biases},
        {"state_dict": state, "delta": {"blocks.0.filter.ia3_l": low["A"], "blocks.1.filter.hada_w1_a": low["A"]}},
        {"student": state, "adapters": {"blocks.0.context": {"down.weight": low["A"], "up.weight": low["B"]}}},
    ):
        path = save(content)
        with pytest.raises(AssayError, match=r"a part of an adapter such as LoRA.*merge_and_unload"):
            normalize(path)
        if "state_dict" in content:
            assert normalize(path, weights="state_dict").to_bytes() == plain
    of_features = {"0.weight": low["A"]}
    for content in (
        {"adapter": state},
        {"adapter": state, "ema": parameters_of(state)},
        {"state_dict": prefixed(state, "adapter.")},
        {"m": state, "lora": {"rank": 2}, "peft_config": {"scale": torch.tensor(2.0)}},
        {"student": state, "adapter": of_features, "kd": {"adapter": of_features}},
        {"state_dict": state, "hint_adapter": of_features, "domain_adapter": {"mean": low["A"]}},
    ):
        assert normalize(save(content)).to_bytes() == plain


def test_weights_that_are_not_there_are_refused_with_those_that_are(save):
    state = student().state_dict()
    for content, asked, match in (
        ({"model": state}, "average", "holds no moving average: set variants.<name>.weights to one of 'model'"),
        ({"ema": state}, "raw", "holds no raw weights: set variants.<name>.weights to one of 'ema'"),
        ({"model": state, "ema": moved(state)}, "net", "holds no weights under 'net': .* one of 'model', 'ema'"),
        (state, "average", "one of 'the top'"),
    ):
        with pytest.raises(AssayError, match=match):
            normalize(save(content), weights=asked)
    assert normalize(save(state), weights="the top").to_bytes() == normalize(save(state)).to_bytes()
