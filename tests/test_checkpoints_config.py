"""What a checkpoint says of its network is found wherever a trainer put it, and never replaced by what it denies."""

import functools
import json

import numpy as np
import pytest
import torch

from assay.checkpoint import normalize
from assay.workflow.errors import AssayError
from shared.checkpoint_samples import safetensors_bytes, store, student


@pytest.fixture
def save(tmp_path):
    return functools.partial(store, tmp_path)


# Places of a config, each as what a trainer saves beside the weights.
PLACES_OF_CONFIGS = {
    "config_of_a_module": lambda config: {"hyper_parameters": {"config": config}},
    "model_params": lambda config: {"model_params": config},
    "lightning_cli": lambda config: {"hyper_parameters": {"model": {"class_path": "x.PaiNN", "init_args": config}}},
    "name_of_the_network": lambda config: {"config": {"painn": config}},
    "net": lambda config: {"config": {"net": config}},
    "settings": lambda config: {"settings": config},
    "name_of_nobody": lambda config: {"my_run": {"my_student": config}},
    "training": lambda config: {"training": {"lr": 1e-3, "config": config}},
    "text": lambda config: {"config": json.dumps(config)},
    "flattened_by_dots": lambda config: {"hyper_parameters": {f"model.{key}": it for key, it in config.items()}},
    "flattened_by_slashes": lambda config: {f"config/model/{key}": it for key, it in config.items()},
    "boxed": lambda config: {"config": {key: {"value": it, "desc": None} for key, it in config.items()}},
    "list_of_items": lambda config: {"config": list(config.items())},
    "text_in_a_config": lambda config: {"hparams": {"model": json.dumps(config)}},
}


@pytest.mark.parametrize("around", ["best_loss", "trainer_state", "state", "test_data", "best_val_loss"])
def test_a_config_counts_wherever_it_stands_beside_its_weights(around, save):
    model = student("painn", epsilon=1e-4, activation="gelu", repulsion=True)
    state = {"model": model.state_dict(), "config": model.hyperparameters}
    teacher = {"model": {"a.b": state["model"]["head.0.bias"]}, "config": {"floor": True, "hidden": 8}}
    checkpoint = normalize(save({around: state, "teacher_state": teacher}))
    assert checkpoint.network.hyperparameters == model.hyperparameters
    assert "assumed" not in checkpoint.network.sources.values()


@pytest.mark.parametrize("place", PLACES_OF_CONFIGS)
def test_a_config_is_found_wherever_it_is_nested(place, save):
    model = student("painn", envelope="cosine", epsilon=1e-4, activation="gelu", repulsion=True, floor=True)
    beside = PLACES_OF_CONFIGS[place](model.hyperparameters | {"optimizer": {"epsilon": 1e-3}})
    checkpoint = normalize(save({"state_dict": model.state_dict()} | beside))
    assert checkpoint.network.hyperparameters == model.hyperparameters
    assert "assumed" not in checkpoint.network.sources.values()


def test_configs_that_contradict_each_other_are_refused_by_both_places(save):
    state = student("painn").state_dict()
    content = {"hyper_parameters": {"model": {"epsilon": 1e-3}, "net": {"epsilon": 1e-5}}}
    match = (
        r"epsilon = 0\.001 under 'hyper_parameters\.model\.epsilon' and 1e-05 under 'hyper_parameters\.net\.epsilon'"
    )
    with pytest.raises(AssayError, match=match):
        normalize(save({"state_dict": state} | content))


def test_the_config_of_another_network_does_not_contradict(save):
    model = student("painn", activation="gelu", epsilon=1e-4)
    state, config = model.state_dict(), model.hyperparameters
    plain = normalize(save({"model": state, "config": config}, "plain.pt")).to_bytes()
    for name, other in (
        ("readout", {"hidden_dim": 32, "activation": "silu"}),
        ("pretrained", {"hidden": 128, "n_blocks": 6, "activation": "silu"}),
        ("reference", {"r_max": 6.0, "num_interactions": 2}),
    ):
        read = normalize(save({"model": state, "config": config | {name: other}}))
        assert read.to_bytes() == plain
        assert f"config.{name} was taken for the config of another network" in read.summary()
    for beside in (
        {"config": config | {"foundation_model": {"r_max": 6.0, "num_interactions": 2}}},
        {"config": config | {"readout": {"hidden_dim": 4, "activation": "gelu"}}},
        {"args": config | {"rank": 3, "world_size": 4}, "pruning": {"floor": 0.1}, "adversarial": {"epsilon": 0.1}},
    ):
        assert normalize(save({"model": state} | beside)).to_bytes() == plain
    for beside, said in (
        ({"config": config | {"readout": {"hidden_dim": 8, "activation": "silu"}}}, "activation = gelu .* and silu"),
        ({"config": config | {"readout": {"hidden_dim": 4, "activation": "silu"}}}, "activation = gelu .* and silu"),
        ({"config": config | {"model": {"hidden": 32, "activation": "gelu"}}}, "hidden = 8 .* and 32"),
        ({"pretrained": {"hidden": 128, "n_blocks": 6, "activation": "gelu"}}, "says pretrained.activation = 'gelu'"),
    ):
        with pytest.raises(AssayError, match=said):
            normalize(save({"model": state} | beside))


def test_nothing_is_assumed_of_which_the_file_says_otherwise_somewhere(save):
    state = student("painn").state_dict()
    for content, said in (
        ({"student_options": {"floor": True}}, r"says student_options\.floor = True, .* and floor = False would be"),
        (
            {"training": {"activation": "gelu"}},
            r"says training\.activation = 'gelu', .* and activation = silu would be",
        ),
        (
            {"config": "hidden: 8\nenvelope: cosine"},
            r"says config\.envelope = 'cosine', .* polynomial would be",
        ),
        (
            {"config": {"overrides": ["model.floor=true", "lr=0.1"]}},
            r"says config\.overrides\.model\.floor = True, ",
        ),
        ({"argv": ["train.py", "--norm-eps", "1e-3"]}, r"says argv\.norm-eps = 0\.001, .* 1e-08 would be"),
        ({"config": {"pair_envelope": "cosine"}}, r"says config\.pair_envelope = 'cosine', .* polynomial would be"),
        ({"config": {"priors": {"repulsion": {"enabled": True}}}}, r"holds config\.priors\.repulsion as \{"),
        ({"config": {"blocks": {"activation": {"cls": "GELU"}}}}, r"holds config\.blocks\.activation as \{"),
        ({"config": {"encoder": {"activation": {"fn": "gelu", "of": 1}}}}, r"holds config\.encoder\.activation as \{"),
        ({"config": {"cutoffFn": "cosine"}}, r"says config\.cutoffFn = 'cosine', .* envelope = polynomial would be"),
        (
            {"config": {"hidden": 8, "eps": 1e-3}},
            r"says config\.eps = 0\.001, .* save its config as a dict with epsilon in it",
        ),
        ({"argv": ["train.py", "--floor"]}, r"says argv\.floor = True, .* False would be"),
        ({"config": {"model_floor": True}}, r"says config\.model_floor = True, .* and floor = False would be"),
        ({"run/floor": True}, r"says run\.floor = True, .* and floor = False would be"),
        ({"config": {"use_zbl": True}}, r"says config\.use_zbl = True, .* and repulsion = False would be"),
        ({"config": {"distance_floor": 1}}, r"says config\.distance_floor = 1, .* and floor = False would be"),
        ({"config": {"cutoff_fn": {"type": "cosine"}}}, r"says config\.cutoff_fn = 'cosine', .* envelope = polynomial"),
        ({"config": {"norm": {"eps": 0.5}}}, r"says config\.norm\.eps = 0\.5, .* and epsilon = 1e-08 would be"),
        (
            {"config": {"activation": {"_target_": "torch.nn.Softplus", "beta": 2.0}}},
            r"holds config\.activation as \{.*\}, which cannot be read, and activation = silu would be",
        ),
        ({"config": {"repulsion": {"type": "zbl", "k": 1}}}, r"holds config\.repulsion as \{.*, and repulsion = False"),
        *(
            ({key: "model:\n  envelope: cosine\n"}, rf"says {key}\.model\.envelope = 'cosine', ")
            for key in ("config_yaml", "yaml", "hparams_text", "model_yaml", "experiment_config", "options")
        ),
        (
            {"sys_argv": ["train.py", "--verbose", "--envelope", "cosine"]},
            r"says sys_argv\.envelope = 'cosine', ",
        ),
        ({"command_line": "train.py --envelope cosine"}, r"says command_line\.envelope = 'cosine', "),
        (
            {"hydra": {"overrides": {"task": ["model.envelope=cosine"]}}},
            r"says hydra\.overrides\.task\.model\.envelope = 'cosine', ",
        ),
    ):
        with pytest.raises(AssayError, match=said):
            normalize(save({"state_dict": state} | content))
    plain = normalize(save(state, "plain.pt")).to_bytes()
    for content in (
        {"student_options": {"floor": False}, "teacher": {"floor": True}, "loss": {"epsilon": 1e-3}},
        {"training": {"epsilon": 1e-3}, "optimizer": {"epsilon": 1e-3}, "config": "a student"},
        {
            "config": {
                "lr": 1e-3,
                "eps": 1e-6,
                "optimizer.epsilon": 1e-3,
                "teacher/act": "tanh",
                "cutoff_fn": "polynomial",
            }
        },
        {"config": {"eps": np.float32(1e-8)}},
        {"config": "activation: silu\nenvelope: polynomial", "argv": ["train.py", "--lr", "1e-3"]},
        {"config": {"use_zbl": False, "repulsion": {}, "norm": {"eps": 1e-8}, "batch_size": 4}},
        {"optimizer_config": "epsilon: 0.1", "data_args": "--floor", "message": "activation: gelu"},
    ):
        assert normalize(save({"state_dict": state} | content)).to_bytes() == plain


@pytest.mark.parametrize(
    ("said", "activation"),
    [
        ({"class_path": "torch.nn.SiLU", "init_args": {"inplace": False}}, "silu"),
        ({"name": "silu", "args": {"inplace": True}}, "silu"),
        ({"name": "gelu", "kwargs": {"approximate": "none"}}, "gelu"),
        ({"_target_": "torch.nn.Softplus", "beta": 1.0, "threshold": 20.0}, "softplus"),
        ({"class_path": "torch.nn.Softplus", "init_args": {"beta": 2.0}}, None),
        ({"name": "gelu", "kwargs": {"approximate": "tanh"}}, None),
        ({"name": "silu", "params": {"name": "gelu"}}, None),
        ({"name": "softplus", "args": [2.0]}, None),
    ],
)
def test_an_activation_is_read_from_a_dict_whose_arguments_change_nothing(said, activation, save):
    path = save({"state_dict": student("painn").state_dict(), "config": {"model": {"activation": said}}})
    if activation is None:
        with pytest.raises(AssayError, match=r"holds config\.model\.activation as \{.*\}, which cannot be read"):
            normalize(path)
    else:
        assert normalize(path).network.hyperparameters["activation"] == activation


def test_dicts_count_where_they_are_settings_of_the_network_alone(save):
    state = student("painn").state_dict()
    plain = normalize(save(state, "plain.pt")).to_bytes()
    for content in (
        {"config": {"repulsion": {"enabled": False, "cutoff": 2.0}, "floor": {"enabled": "no"}, "zbl": {}}},
        {"sweep_config": {"parameters": {"activation": {"values": ["silu", "gelu"]}, "epsilon": {"min": 1e-9}}}},
        {"config": {"hidden": 8, "sweep": {"parameters": {"activation": {"values": ["silu", "gelu"]}}}}},
        {"quantization": {"activation": {"bits": 8}}, "md": {"repulsion": {"k": 1.0}, "envelope": {"width": 1.0}}},
        {"quantization": {"activation": "int8"}, "captured": {"activation": {"mean": 0.1, "std": 0.3}}},
        {"exploration": {"epsilon": {"start": 1.0, "end": 0.1}}, "annealing": {"floor": {"steps": 5}}},
    ):
        assert normalize(save({"state_dict": state} | content)).to_bytes() == plain
    for content, place in (
        ({"config": {"repulsion": {"enabled": True}}}, "config.repulsion"),
        ({"config": {"floor": {"k": 1.0}}}, "config.floor"),
        ({"student_options": {"repulsion": {"k": 1.0}}}, "student_options.repulsion"),
        ({"my_run": {"hidden": 8, "cutoff": 5.0, "repulsion": {"k": 1.0}}}, "my_run.repulsion"),
        ({"config": {"interaction": {"activation": {"name": "gelu", "k": 1}}}}, "config.interaction.activation"),
    ):
        with pytest.raises(AssayError, match=rf"holds {place} as \{{.*\}}, which cannot be read"):
            normalize(save({"state_dict": state} | content))


def test_an_epsilon_of_distances_or_clipping_is_not_that_of_the_norms(save):
    state = student("painn").state_dict()
    plain = normalize(save(state, "plain.pt")).to_bytes()
    for content in (
        {"config": {"distance_eps": 1e-12, "pair_eps": 1e-12}},
        {"clip_norm": {"max": 1.0, "eps": 1e-6}, "config": {"gradient_norm": {"eps": 1e-6}}},
    ):
        assert normalize(save({"state_dict": state} | content)).to_bytes() == plain
    for content, said in (
        ({"some": {"lr": 1e-3, "norm_eps": 1e-3}}, r"some\.norm_eps = 0\.001"),
        ({"vector_norm": {"eps": 1e-3}}, r"vector_norm\.eps = 0\.001"),
        ({"config": {"pair_repulsion": True}}, r"config\.pair_repulsion = True"),
    ):
        with pytest.raises(AssayError, match=f"says {said}, which is not taken for"):
            normalize(save({"state_dict": state} | content))


def test_values_that_are_text_and_other_names_of_the_same_are_read(save):
    model = student("painn", envelope="cosine", epsilon=1e-3, repulsion=True, floor=True)
    state, config = model.state_dict(), model.hyperparameters
    plain = normalize(save({"model": state, "config": config}, "plain.pt")).to_bytes()
    texts = {name: str(value) for name, value in config.items()}
    assert normalize(save(safetensors_bytes(state, **texts), "a.safetensors")).to_bytes() == plain
    for other in (
        {"activation": "swish"},
        {"Act-Fn": "SiLU", "numRBF": 4, "CUTOFF": 5.0, "normEps": 1e-3},
        {"activation": "nn.SiLU(inplace=True)"},
        {"cutoff_A": "5.0", "max_z": "9"},
        {"head": "(4,)", "rank": "None"},
        {"head": "energy", "n_layers": 5, "num_layers": 1},
        {"activation": {"_target_": "torch.nn.SiLU", "_partial_": True}, "envelope": {"name": "cosine"}},
        {"radial_basis": "Bessel", "envelope": "CosineCutoff"},
        {"rbf_type": "BesselBasis", "envelope_type": "cosine_cutoff"},
        {"hidden": 8.0, "repulsion": 1, "floor": 1.0},
        {"head": [4, 1]},
        {"model": {"epsilon": np.float32(1e-3), "cutoff": torch.tensor(5.0)}},
        {"rank": 8},
        {"rank": 2, "lora_alpha": 4},
        {
            "activation": {"class_path": "torch.nn.SiLU", "init_args": {}},
            "hidden_act": {"type": "silu", "inplace": True},
        },
    ):
        assert normalize(save({"model": state, "config": config | other})).to_bytes() == plain
    renamed = {"hiddenDim": 8, "Activation": "silu", "norm_eps": 1e-3, "Repulsion": True, "FLOOR": True}
    other_names = {name: config[name] for name in ("n_blocks", "head")} | renamed | {"envelope_type": "cosine"}
    assert normalize(save({"model": state, "config": other_names})).to_bytes() == plain
    for other in ({"cutoff_A": "far"}, {"floor": "maybe"}, {"epsilon": "nan"}, {"hidden": "8.5"}, {"repulsion": 2}):
        with pytest.raises(AssayError, match="which cannot be"):
            normalize(save({"model": state, "config": config | other}))


def test_weights_and_config_under_a_word_of_quantization_belong_together(save):
    model = student("painn", activation="gelu")
    path = save({"before_quantization": {"model": model.state_dict(), "config": model.hyperparameters}})
    assert normalize(path).network.hyperparameters["activation"] == "gelu"
