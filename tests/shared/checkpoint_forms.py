"""The forms of checkpoint that are accepted, by name: the rows of docs/checkpoints/accepted.md.

Each table maps a form's name to a function that wraps the state dict of a student in that form.
"""

import argparse
import collections
import json
import pathlib

import numpy as np
import torch

from shared.checkpoint_samples import (
    legacy_bytes,
    lightning,
    moved,
    parameters_of,
    prefixed,
    safetensors_bytes,
    torch_bytes,
    training,
    without_checksums,
)

CONTAINERS = {
    "pt": lambda state: ("a.pt", torch_bytes(state)),
    "pth": lambda state: ("a.pth", torch_bytes(state)),
    "ordered_dict": lambda state: ("a.pt", torch_bytes(collections.OrderedDict(state))),
    "legacy": lambda state: ("a.pth", legacy_bytes(state)),
    "safetensors": lambda state: ("a.safetensors", safetensors_bytes(state)),
    "safetensors_with_metadata": lambda state: ("a.safetensors", safetensors_bytes(state, format="pt", epoch=3)),
    "wrong_suffix": lambda state: ("a.ckpt", safetensors_bytes(state)),
    "without_checksums": lambda state: ("a.pt", without_checksums(state)),
    "nn_parameters": lambda state: (
        "a.pt",
        torch_bytes({name: torch.nn.Parameter(tensor) for name, tensor in state.items()}),
    ),
    "slices_of_one_storage": lambda state: ("a.pt", torch_bytes(_slices(state))),
    "transposed_storage": lambda state: (
        "a.pt",
        torch_bytes(
            {name: tensor.t().contiguous().t() if tensor.dim() == 2 else tensor for name, tensor in state.items()}
        ),
    ),
}
UNCHECKED = {"legacy", "safetensors", "safetensors_with_metadata", "wrong_suffix", "without_checksums"}
NESTINGS = {
    "model_state_dict": lambda state: {"model_state_dict": state, **training()},
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state, **training()},
    "net": lambda state: {"net": state},
    "student": lambda state: {"student": state, "teacher": moved(state)},
    "deep": lambda state: {"checkpoint": {"weights": {"model_state_dict": state}}},
    "lightning": lambda state: lightning(prefixed(state, "model.")),
    "lightning_student_and_teacher": lambda state: lightning(
        prefixed(state, "student.") | prefixed(moved(state), "teacher.") | {"loss_fn.weight": torch.ones(2)}
    ),
    "beside_an_older_model": lambda state: {"model_state_dict": state, "best_weights": moved(state)},
    "twice_the_same": lambda state: {"weights_a": state, "weights_b": dict(state)},
}
PREFIXES = [
    "module.",
    "model.",
    "student.",
    "_orig_mod.",
    "module.model.",
    "_orig_mod.module.student.",
    "net.",
    "potential.",
]
AVERAGES = {
    "ema_state_dict": lambda ema, raw: {"model_state_dict": raw, "ema_state_dict": ema},
    "ema": lambda ema, raw: {"model": raw, "ema": {"decay": 0.999, "module": ema}},
    "model_ema": lambda ema, raw: {"model": raw, "model_ema": prefixed(ema, "module.")},
    "state_dict_ema": lambda ema, raw: {"state_dict": raw, "state_dict_ema": ema},
    "polyak": lambda ema, raw: {"model": raw, "polyak": ema},
    "averaged_model": lambda ema, raw: {"n_averaged": torch.tensor(5)} | prefixed(ema, "module."),
    "swa": lambda ema, raw: {"model": raw, "swa_model": {"n_averaged": torch.tensor(5)} | prefixed(ema, "module.")},
    "ema_pytorch": lambda ema, raw: (
        prefixed(raw, "online_model.")
        | prefixed(ema, "ema_model.")
        | {"initted": torch.tensor(True), "step": torch.tensor(9)}
    ),
    "lightning_ema": lambda ema, raw: lightning(prefixed(raw, "model.") | prefixed(ema, "ema_model.module.")),
    "lightning_averaged_model": lambda ema, raw: lightning(
        prefixed(raw, "model.")
        | prefixed(ema, "ema_model.module.")
        | {"ema_model.n_averaged": torch.tensor(5), "ema_model.step": torch.tensor(9)}
    ),
    "lit_ema": lambda ema, raw: lightning(
        prefixed(raw, "model.") | _without_dots(ema) | {"model_ema.num_updates": torch.tensor(5)}
    ),
    "parameters_only": lambda ema, raw: {"model": raw, "ema": parameters_of(ema)},
    "torch_ema": lambda ema, raw: {
        "model": raw,
        "ema": {"decay": 0.99, "num_updates": 9, "shadow_params": list(parameters_of(ema).values())},
    },
}
# Averages that were made and have averaged nothing yet.
NOT_BEGUN = {
    "averaged_model": lambda ema, raw: {
        "model_state_dict": raw,
        "swa_model": {"n_averaged": torch.tensor(0)} | prefixed(ema, "module."),
    },
    "lightning_callback": lambda ema, raw: lightning(
        prefixed(raw, "model."),
        callbacks={
            "StochasticWeightAveraging": {"n_averaged": 0, "average_model_state": prefixed(ema, "model.")},
        },
    ),
    "lightning_weight_averaging": lambda ema, raw: lightning(
        prefixed(ema, "model."),
        current_model_state=prefixed(raw, "model."),
        averaging_state={"n_averaged": torch.tensor(0)},
    ),
    "ema_pytorch": lambda ema, raw: (
        prefixed(raw, "online_model.")
        | prefixed(ema, "ema_model.")
        | {"initted": torch.tensor(False), "step": torch.tensor(0)}
    ),
    "lit_ema": lambda ema, raw: lightning(
        prefixed(raw, "model.") | _without_dots(ema) | {"model_ema.num_updates": torch.tensor(0)}
    ),
    "torch_ema": lambda ema, raw: {
        "model": raw,
        "ema": {"decay": 0.99, "num_updates": 0, "shadow_params": list(parameters_of(ema).values())},
    },
    "torch_ema_in_the_model": lambda ema, raw: lightning(
        prefixed(ema, "model."),
        callbacks={
            "EMA": {
                "num_updates": 0,
                "shadow_params": list(parameters_of(ema).values()),
                "collected_params": list(parameters_of(raw).values()),
            }
        },
    ),
}
CONFIGS = {
    "nested": lambda config: {"config": {"model": config, "training": {"lr": 1e-3, "cutoff": 99.0}}},
    "flat": lambda config: {"hyper_parameters": config | {"lr": 1e-3, "name": "my student"}},
    "top_level": lambda config: dict(config),
    "namespace": lambda config: {"args": argparse.Namespace(**config, out=pathlib.Path("a/b"))},
    "numpy_scalars": lambda config: {"config": {key: _numpy(value) for key, value in config.items()}},
    "defaultdict": lambda config: {"config": collections.defaultdict(dict, config)},
    "lightning_config": lambda config: {"hyper_parameters": {"config": config, "lr": 1e-3}},
    "lightning_cli": lambda config: {"hyper_parameters": {"model": {"class_path": "x.PaiNN", "init_args": config}}},
    "under_the_architecture": lambda config: {"config": {"painn": config, "data": {"cutoff": 6.0, "hidden_dim": 3}}},
    "section_of_any_name": lambda config: {"model_params": config, "optimizer": {"hidden": 3, "n_rbf": 7}},
    "json_text": lambda config: {"config": json.dumps({"model": config})},
}


def _without_dots(state):
    """The buffers of LitEma, which is a module of a Lightning module: the averages of parameters, and its decay."""
    averages = {f"model_ema.{name.replace('.', '')}": tensor for name, tensor in parameters_of(state).items()}
    return averages | {"model_ema.decay": torch.tensor(0.999)}


def _slices(state):
    """The same tensors as views of one storage for each dtype, as flat parameters leave them."""
    views = {}
    for dtype in {tensor.dtype for tensor in state.values()}:
        names = [name for name in state if state[name].dtype == dtype]
        flat = torch.cat([state[name].flatten() for name in names])
        parts = flat.split([state[name].numel() for name in names])
        views |= {name: part.view(state[name].shape) for name, part in zip(names, parts, strict=True)}
    return {name: views[name] for name in state}


def _numpy(value):
    return np.float64(value) if isinstance(value, float) else np.int64(value) if isinstance(value, int) else value
