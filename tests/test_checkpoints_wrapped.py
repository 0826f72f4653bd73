"""What a checkpoint keeps in classes of Python and its libraries is read, or refused where it cannot be."""

import collections
import dataclasses
import datetime
import enum
import functools
import json
import os
import pathlib

import numpy as np
import pydantic
import pytest
import torch

from assay.checkpoint import normalize
from assay.workflow.errors import AssayError
from shared.checkpoint_foreign import Point
from shared.checkpoint_samples import Runs, store, student, torch_bytes


@pytest.fixture
def save(tmp_path):
    return functools.partial(store, tmp_path)


class Word(enum.Enum):
    """A choice among activations and envelopes."""

    GELU = "gelu"
    COSINE = "cosine"


class TextWord(enum.StrEnum):
    """The same that are text."""

    GELU = "gelu"
    COSINE = "cosine"


class GlobalWord(enum.Enum):
    """One whose pickle has the name of the member in the place of its value."""

    GELU = "gelu"

    def __reduce_ex__(self, protocol):
        return getattr, (GlobalWord, self.name)


def global_member_of(word):
    return GlobalWord(word)


def bytes_of(text):
    return text.encode()


def bytearray_of(text):
    return bytearray(text.encode())


def object_of(text):
    return np.array(text, dtype=object)


class Model(pydantic.BaseModel, extra="allow"):
    """A config of pydantic."""

    activation: str


class Fields:
    """A config that keeps its entries as the dicts of ml_collections do."""

    def __init__(self, fields):
        self._fields, self._locked = fields, True


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    """A config whose pickle has its values without their names."""

    cutoff: float


def test_a_word_is_read_in_whatever_python_wraps_it(save):
    model = student("painn", envelope="cosine", activation="gelu")
    for wrap in (Word, TextWord, np.str_, np.array, bytes_of, bytearray_of, object_of, global_member_of):
        said = {"activation": wrap("gelu"), "envelope": wrap("cosine") if wrap is not global_member_of else "cosine"}
        for protocol in (2, 5):
            path = save(torch_bytes({"model": model.state_dict(), "config": said}, pickle_protocol=protocol))
            assert normalize(path).network.hyperparameters == model.hyperparameters
    said["activation"] = functools.partial(torch.nn.functional.gelu)
    assert (
        normalize(save({"model": model.state_dict(), "config": said})).network.hyperparameters["activation"] == "gelu"
    )


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("bytes_from", ["<", ">"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_weights_may_be_arrays_of_numpy_in_any_order(save, order, bytes_from, protocol):
    model = student("painn")
    arrays = {name: value.numpy() for name, value in model.state_dict().items()}
    weights = {name: own.astype(own.dtype.newbyteorder(bytes_from), order) for name, own in arrays.items()}
    content = {"model": weights, "config": model.hyperparameters}
    found = normalize(save(torch_bytes(content, pickle_protocol=protocol))).network.tensors
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())


def test_a_config_is_read_in_whatever_class_keeps_it(save):
    model = student("painn", envelope="cosine", activation="gelu", epsilon=1e-3)
    for wrap in (
        collections.UserDict,
        lambda config: collections.ChainMap({"activation": "gelu"}, config | {"activation": "silu"}),
        lambda config: Model(**config),
        lambda config: Fields(config),
        lambda config: bytes_of(json.dumps(config)),
        lambda config: functools.partial(student, **config),
        lambda config: np.array(config, dtype=object),
    ):
        content = {"model": model.state_dict(), "config": wrap(model.hyperparameters)}
        checkpoint = normalize(save(content))
        assert checkpoint.network.hyperparameters == model.hyperparameters
        assert "assumed" not in checkpoint.network.sources.values()


def test_values_that_cannot_be_read_are_not_replaced_by_what_would_be_assumed(save):
    state, config = student("painn").state_dict(), student("painn").hyperparameters
    for content, said in (
        (
            {"config": Point(8, 5.0)},
            r"config as <an instance of shared\.\w+\.Point>, whose values cannot be read, and env",
        ),
        (
            {"hparams": {"model": Frozen(5.0)}},
            r"hparams\.model as <an instance of .*Frozen>, whose values cannot be read",
        ),
        ({"train_config": Point(8, 5.0)}, None),
        ({"run_config": Point(8, 5.0)}, r"run_config as <an instance of"),
        (
            {"config": {"envelope": Point(1, 2)}},
            r"config\.envelope as .*, which cannot be read, and envelope = polynomial",
        ),
        (
            {"config": {"repulsion": Runs(os.system, "touch hacked")}},
            r"config\.repulsion as .*system>, which cannot be read",
        ),
        ({"config": config, "args": Point(1, 2)}, None),
        ({"tracker_config": Point(8, 5.0), "hyper_parameters": {"slurm_args": Frozen(5.0)}}, None),
        ({"config_device": torch.device("cuda"), "config": {"config_date": datetime.date(2026, 11, 1)}}, None),
        ({"student_config": Point(8, 5.0)}, r"student_config as <an instance of"),
        ({"config": pathlib.Path("configs/painn.yaml"), "args": object()}, None),
    ):
        path = save(torch_bytes({"model": state} | content))
        if said is None:
            assert normalize(path).network.hyperparameters == config
            continue
        with pytest.raises(AssayError, match=f"holds {said}"):
            normalize(path)


def test_elements_in_a_class_that_cannot_be_read_are_not_passed_over(save):
    with pytest.raises(AssayError, match=r"elements = <an instance .*Frozen>, which are no elements"):
        normalize(save({"model": student().state_dict(), "elements": Frozen(6.0)}))
