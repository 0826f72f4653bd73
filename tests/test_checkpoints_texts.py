"""YAML, the words of a command and printed objects are heard in what they say of the network, and in nothing else."""

import functools

import pytest

from assay.checkpoint import normalize
from assay.workflow.errors import AssayError
from shared.checkpoint_samples import store, student


@pytest.fixture
def save(tmp_path):
    return functools.partial(store, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("optimizer:\n  name: adam\n  epsilon: 1.0e-07\nmodel:\n  hidden: 8\n", None),
        ("optimizers:\n- name: adam\n  epsilon: 1.0e-07\n", None),
        ("optimizer: {name: adam,\n  epsilon: 1.0e-07}\nactivation: silu # or gelu\n", None),
        ("teacher:\n  activation: gelu\nrepulsion: no\nfloor: off\nenvelope:\n", None),
        ("activation:\n  _target_: torch.nn.SiLU\n", None),
        ("Config(optim=Adam(epsilon=1e-07), activation=SiLU(inplace=True))", None),
        ("adam, lr=1e-3, epsilon=1e-7", None),
        (["optimizer.epsilon=1e-7", "teacher.activation=gelu", "model=painn"], None),
        ("train.py --teacher-activation gelu --optimizer adam --epsilon 1e-7", None),
        ("---\nteacher:\n  activation: gelu\nmodel:\n  activation: silu", None),
        ("Namespace(activation=<class 'torch.nn.modules.activation.SiLU'>)", None),
        (["note='try #2'", "model.activation=gelu"], r"\.model\.activation = 'gelu'"),
        ("{'activation': <class 'torch.nn.modules.activation.GELU'>}", r"\.activation = 'gelu'"),
        ("[optimizer]\nlr = 1e-3\nepsilon = 1e-7\n\n[model]\nhidden = 8\nepsilon = 1e-8", None),
        ("[optimizer]\nlr = 1e-3\n[model]\nepsilon = 1e-3", r"\.model\.epsilon = 0\.001"),
        ("teacher:\n  activation: silu\nstudent:\n  activation: gelu\n", r"\.student\.activation = 'gelu'"),
        ("optimizer: {lr: 1,\n  epsilon: 1.0e-07}\nmodel: {activation: gelu}", r"\.model\.activation = 'gelu'"),
        ("optimizers:\n- name: adam\nactivation: gelu\n", r"\.activation = 'gelu'"),
        ("model: &model\n  activation: !!str gelu\n", r"\.model\.activation = 'gelu'"),
        ("model: !!python/object:nets.PaiNN\n  envelope: cosine\n", r"\.model\.envelope = 'cosine'"),
        ("activation: !!python/name:torch.nn.GELU ''\n", r"\.activation = '!!python/name'"),
        ("activation:\n  class_path: torch.nn.Softplus\n  init_args:\n    beta: 2.0\n", r"\.activation as \{"),
        ("floor: yes\n", r"\.floor = True"),
        ("envelope: ${envelope}\n", r"\.envelope = '\$'"),
        ("Config(optim=Adam(epsilon=1e-07), model=PaiNN(activation=GELU()))", r"\.model\.activation = 'gelu'"),
        ("{'optimizer': {'epsilon': 1e-07}, 'model': {'envelope': 'cosine'}}", r"\.model\.envelope = 'cosine'"),
        (["optimizer.epsilon=1e-7", "+model.activation=gelu", "model=painn"], r"\.model\.activation = 'gelu'"),
        ("train.py --lr 1e-3 --floor --norm-eps=1e-3", r"\.floor = True"),
        (["train.py", "--lr=1", "--floor", "-v"], r"\.floor = True"),
        ("train.py --lr 1e-3 --norm-eps=1e-3", r"\.norm-eps = 0\.001"),
        ("train.py --student.activation gelu", r"\.student\.activation = 'gelu'"),
    ],
)
def test_a_text_tells_of_the_network_what_it_says_of_nothing_else(text, said, save):
    state = student("painn").state_dict()
    path = save({"state_dict": state, "config": text})
    if said is None:
        assert normalize(path).to_bytes() == normalize(save(state, "plain.pt")).to_bytes()
    else:
        with pytest.raises(AssayError, match=rf"(?:says|holds) config{said}.* would be assumed"):
            normalize(path)


@pytest.mark.parametrize(
    ("key", "text", "beside"),
    [
        ("config", "hidden: 8\nlr: 1e-3\nepsilon: 1e-3\n", "lr"),
        ("config", "optimizer: adam\nepsilon: 1e-3\n", "optimizer"),
        ("argv", ["train.py", "--lr", "1e-2", "--epsilon", "1e-3"], "lr"),
        ("config", {"lr": 1e-3, "eps": 1e-3}, "lr"),
    ],
)
def test_an_epsilon_among_settings_of_an_optimizer_is_said_to_be_passed_over(key, text, beside, save):
    read = normalize(save({"state_dict": student("painn").state_dict(), key: text}))
    assert read.network.sources["epsilon"] == "assumed"
    assert f" = 0.001 was taken for an optimizer's, beside {beside}, and not for the epsilon" in read.summary()


def test_a_text_that_is_no_config_says_nothing_of_the_network(save):
    state = student("painn").state_dict()
    plain = normalize(save(state, "plain.pt")).to_bytes()
    for content in (
        {"config_path": "runs/activation=gelu/config.yaml", "config_file": "envelope=cosine.yaml"},
        {"config_comment": "tried activation=gelu", "config": {"config_name": "activation=gelu"}},
        {"slurm_options": "--floor", "ema_config": "epsilon: 0.1", "hydra": {"job": {"name": "activation=gelu"}}},
    ):
        assert normalize(save({"state_dict": state} | content)).to_bytes() == plain


@pytest.mark.parametrize(
    "key", ["distill_config", "arch_config", "wandb_config", "config_yml", "resolved_config", "config_v2", "kd_args"]
)
def test_a_text_tells_of_the_network_under_whichever_name_of_a_config(key, save):
    path = save({"state_dict": student("painn").state_dict(), key: "model:\n  activation: gelu\n"})
    with pytest.raises(AssayError, match=f"says {key}.model.activation = 'gelu'.* would be assumed"):
        normalize(path)
