"""What a checkpoint says of its network is found wherever a trainer put it, and never replaced by what it denies."""

import functools
import json

import pytest

from assay.checkpoint import normalize
from assay.workflow.errors import AssayError
from shared.checkpoint_samples import store, student


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
    "text_in_a_config": lambda config: {"hparams": {"model": json.dumps(config)}},
}


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
            r"says envelope in the text under 'config', .* polynomial would be",
        ),
    ):
        with pytest.raises(AssayError, match=said):
            normalize(save({"state_dict": state} | content))
    plain = normalize(save(state, "plain.pt")).to_bytes()
    for content in (
        {"student_options": {"floor": False}, "teacher": {"floor": True}, "loss": {"epsilon": 1e-3}},
        {"training": {"epsilon": 1e-3}, "optimizer": {"epsilon": 1e-3}, "config": "a student"},
    ):
        assert normalize(save({"state_dict": state} | content)).to_bytes() == plain
