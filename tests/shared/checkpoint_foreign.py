"""Checkpoints that hold pickled objects of other libraries beside sound weights, and pickles that mean harm.

`FOREIGN` maps a form's name to a function that wraps a student in it. The classes of libraries that are not installed
are made for the moment of saving, so that nothing could import them afterwards.
"""

import collections
import contextlib
import dataclasses
import datetime
import enum
import functools
import io
import os
import pathlib
import sys
import types
import zipfile

import cloudpickle
import numpy as np
import torch

from shared.checkpoint_samples import Runs, legacy_bytes, lightning, parameters_of, prefixed, torch_bytes


class Kind(enum.Enum):
    """A setting of a trainer."""

    ENERGY = "energy"


@dataclasses.dataclass
class Settings:
    """What a trainer keeps beside the weights."""

    lr: float = 1e-3
    kind: Kind = Kind.ENERGY


Point = collections.namedtuple("Point", "x y")


@contextlib.contextmanager
def library(**classes):
    """Modules that exist while a file is saved: full names of classes, with "__" for ".", and the classes."""
    names = []
    for full, made in classes.items():
        module, _, name = full.replace("__", ".").rpartition(".")
        made.__module__, made.__name__, made.__qualname__ = module, name, name
        parts = module.split(".")
        for parent in (".".join(parts[: end + 1]) for end in range(len(parts))):
            if parent not in sys.modules:
                sys.modules[parent] = types.ModuleType(parent)
                names.append(parent)
        setattr(sys.modules[module], name, made)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def omegaconf(config):
    """A DictConfig of AnyNodes in a Lightning file, as OmegaConf pickles them."""

    class DictConfig:
        pass

    class ListConfig:
        pass

    class AnyNode:
        pass

    def node(value, parent):
        made = DictConfig() if isinstance(value, dict) else ListConfig() if isinstance(value, list) else AnyNode()
        made.__dict__["_parent"] = parent
        if isinstance(value, dict):
            made.__dict__["_content"] = {key: node(item, made) for key, item in value.items()}
        elif isinstance(value, list):
            made.__dict__["_content"] = [node(item, made) for item in value]
        else:
            made.__dict__["_val"] = value
        return made

    names = {
        "omegaconf__dictconfig__DictConfig": DictConfig,
        "omegaconf__listconfig__ListConfig": ListConfig,
        "omegaconf__nodes__AnyNode": AnyNode,
    }
    with library(**names):
        return torch_bytes(config(node))


def attribute_dict(state, config):
    """Lightning's hyper_parameters, a dict with attributes."""

    class AttributeDict(dict):
        pass

    with library(lightning_fabric__utilities__data__AttributeDict=AttributeDict):
        return torch_bytes(lightning(prefixed(state, "model."), hyper_parameters=AttributeDict(config)))


def whole_lightning_module(model):
    """A module of a class that is nowhere, with the student in it."""

    class Task(torch.nn.Module):
        pass

    with library(trainer__task__Task=Task):
        task = Task()
        task.model, task.loss, task.lr = model, torch.nn.MSELoss(), 1e-3
        return torch_bytes(task)


def beside(value):
    """A form with ``value`` among the hyperparameters of a Lightning file."""
    return lambda model: torch_bytes(
        lightning(
            prefixed(model.state_dict(), "model."), hyper_parameters={"other": value() if callable(value) else value}
        )
    )


def said(model):
    """A config as a trainer would name it."""
    return {"hidden_dim": model.hyperparameters["hidden"], "cutoff": 5.0, "num_rbf": 4, "heads": [1, {"a": None}]}


FOREIGN = {
    "optimizer_class": lambda model: torch_bytes(
        lightning(prefixed(model.state_dict(), "model."), hyper_parameters={"optimizer": torch.optim.AdamW})
    ),
    "optimizer_object": lambda model: torch_bytes(
        {"model": model.state_dict(), "optimizer": torch.optim.AdamW(model.parameters())}
    ),
    "partial": beside(lambda: functools.partial(torch.optim.AdamW, lr=1e-3)),
    "loss_module": beside(torch.nn.MSELoss),
    "datetime": beside(datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)),
    "dataclass_and_enum": beside(Settings()),
    "namedtuple": beside(Point(1, 2)),
    "simple_namespace": beside(types.SimpleNamespace(a=1)),
    "deque": beside(collections.deque([1, 2], maxlen=5)),
    "range_and_slice": beside(lambda: {"a": range(3), "b": slice(1, 2)}),
    "sets": beside(lambda: {"a": {1, "b"}, "c": frozenset((1,))}),
    "paths": beside(lambda: [pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("c")]),
    "numpy_array": beside(lambda: {"mean": np.arange(6.0).reshape(2, 3), "names": np.array(["H", "C"])}),
    "numpy_generator": beside(lambda: np.random.default_rng(0)),
    "lambda_by_cloudpickle": lambda model: torch_bytes(
        {"model": model.state_dict(), "schedule": lambda step: step / 2}, pickle_module=cloudpickle
    ),
    "protocol_5": lambda model: torch_bytes(
        {"model": model.state_dict(), "settings": Settings(), "steps": np.ones(3)}, pickle_protocol=5
    ),
    "omegaconf": lambda model: omegaconf(
        lambda node: lightning(prefixed(model.state_dict(), "model."), hyper_parameters=node(said(model), None))
    ),
    "attribute_dict": lambda model: attribute_dict(model.state_dict(), said(model)),
    "state_dict_of_numpy_arrays": lambda model: torch_bytes(
        {"model": {name: tensor.numpy() for name, tensor in model.state_dict().items()}}
    ),
    "whole_module": torch_bytes,
    "whole_module_legacy": legacy_bytes,
    "whole_module_under_model": lambda model: torch_bytes({"model": model, "epoch": 3}),
    "whole_module_in_another": whole_lightning_module,
    "whole_module_compiled": lambda model: torch_bytes({"model": torch.nn.DataParallel(model)}),
    "code_beside": lambda model: torch_bytes({"model": model.state_dict(), "x": Runs(os.system, "touch hacked")}),
    "code_beside_legacy": lambda model: legacy_bytes(
        {"model": model.state_dict(), "x": Runs(exec, "open('hacked', 'w')")}
    ),
    "code_as_keys_and_members": lambda model: torch_bytes(
        {"model": model.state_dict(), Runs(os.system, "touch hacked"): 1, "x": [{Runs(eval, "1/0")}]}
    ),
}


def _list(state):
    return list(parameters_of(state).values())


# The forms: what holds `state` as the state dict and `other` as the second set.
WEIGHT_SETS = {
    "shadow_params_in_callback": lambda state, other: lightning(
        prefixed(state, "model."),
        callbacks={"EMA": {"decay": 0.999, "shadow_params": _list(other), "collected_params": None}},
    ),
    "ema_in_optimizer_states": lambda state, other: lightning(
        prefixed(state, "model."), optimizer_states=[{"ema": _list(other), "decay": 0.99}]
    ),
    "ema_weights_in_callback": lambda state, other: lightning(
        prefixed(state, "model."), callbacks={"EMA": {"cur_step": 5, "ema_weights": _list(other)}}
    ),
    "ema_weights_by_name": lambda state, other: lightning(
        prefixed(state, "model."), callbacks={"EMA": {"ema_weights": prefixed(other, "model.")}}
    ),
}


# Pickles by hand


def zip_of(pickled, storages=None, **records):
    """A torch archive with ``pickled`` as its pickle; ``storages`` maps keys to bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, content in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", content)
        for name, content in records.items():
            archive.writestr(f"archive/{name}", content)
    return stream.getvalue()


def text(value):
    """The opcode that pushes a str."""
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def number(value):
    return b"J" + value.to_bytes(4, "little", signed=True)


def storage(key="0", count=4, kind="torch\nFloatStorage"):
    """The opcodes that push a storage of ``count`` numbers."""
    return b"(" + text("storage") + b"c" + kind.encode() + b"\n" + text(key) + text("cpu") + number(count) + b"tQ"


def tensor(size, stride, offset=0, of=None, function="_rebuild_tensor_v2"):
    """The opcodes that push a tensor."""

    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    return (
        b"ctorch._utils\n" + function.encode() + b"\n(" + (of or storage()) + number(offset) + numbers(size)
        + numbers(stride) + b"\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip


def entry(value, key="x"):
    """A pickle of a dict with one entry."""
    return b"\x80\x02}" + text(key) + value + b"s."
