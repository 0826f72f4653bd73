"""Small students, and the ways in which trainers save them."""

import io
import json
import math
import pickle

import safetensors.torch
import torch

from assay.models import build_model

SIZES = {
    "seed-painn": {"hidden": 8, "n_blocks": 2, "n_rbf": 4, "max_z": 9, "cutoff_A": 5.0},
    "painn": {"hidden": 8, "n_blocks": 2, "n_rbf": 4, "max_z": 9, "cutoff_A": 5.0, "head": [4]},
}
# What the shipped students say that they were taught.
SHIPPED = "neutral, closed-shell molecules of H, C, N, O, F, P, S, Cl and Br, up to 50 atoms; no liquids, no crystals"


def student(architecture="seed-painn", seed=0, **changes):
    """A student with random weights, the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_model(architecture, SIZES[architecture] | changes)
    if architecture == "painn":
        model.reference_energy += torch.linspace(-1.0, 1.0, len(model.reference_energy), dtype=torch.float64)
    return model


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


def moved(state, by=0.01):
    """Other weights of the same student: parameters and buffers alike stay valid."""
    return {name: tensor if _is_buffer(name) else tensor + by for name, tensor in state.items()}


def parameters_of(state):
    """What an average of parameters holds."""
    return {name: tensor for name, tensor in state.items() if not _is_buffer(name)}


def _is_buffer(name):
    return name.startswith(("rbf.", "radial.", "reference_energy", "energy_scale"))


def training():
    """What trainers save beside the weights."""
    moments = {"step": torch.tensor(1.0), "exp_avg": torch.ones(2, 2), "exp_avg_sq": torch.ones(2, 2)}
    group = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "params": [0], "foreach": None}
    return {
        "epoch": 7,
        "loss": math.pi,
        "optimizer_state_dict": {"state": {0: moments}, "param_groups": [group]},
        "scheduler_state_dict": {"step_size": 10, "gamma": 0.1, "base_lrs": [1e-3], "_last_lr": [1e-3]},
        "scaler": {"scale": 65536.0, "growth_factor": 2.0},
        "rng_state": torch.arange(16, dtype=torch.uint8),
    }


def lightning(state, **more):
    return {
        "epoch": 3,
        "global_step": 1000,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {
            "ModelCheckpoint{'monitor': 'val'}": {"best_model_score": torch.tensor(0.1), "best_k_models": {}}
        },
        "optimizer_states": [training()["optimizer_state_dict"]],
        "lr_schedulers": [],
    } | more


def store(folder, content, name="checkpoint.pt"):
    """The path of a file in ``folder`` with ``content``: bytes as they are, anything else by torch.save."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else torch_bytes(content))
    return path


def torch_bytes(content, **options):
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def legacy_bytes(content):
    return torch_bytes(content, _use_new_zipfile_serialization=False)


def safetensors_bytes(state, **metadata):
    return safetensors.torch.save(dict(state), {key: json.dumps(value) for key, value in metadata.items()} or None)


def without_checksums(content):
    torch.serialization.set_crc32_options(False)
    try:
        return torch_bytes(content)
    finally:
        torch.serialization.set_crc32_options(True)


class Runs:
    """Pickles as a call of ``function``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def pickle_bytes(content, protocol):
    return pickle.dumps(content, protocol)
