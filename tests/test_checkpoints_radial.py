"""The buffers of a radial basis tell the cutoff, and whether distances count from contact."""

import functools

import pytest
import torch

from assay.checkpoint import normalize
from assay.checkpoint.radial_basis import cutoff_of_buffer
from assay.models.painn import RadialBasis
from assay.runtime.network_constants import FIRST_CENTER_A
from assay.workflow.errors import AssayError
from shared.checkpoint_samples import store, student


@pytest.fixture
def save(tmp_path):
    return functools.partial(store, tmp_path)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("cutoff", [3.0, 5.0, 5.25, 6.5])
def test_cutoff_of_buffers(cutoff, dtype):
    gaussian = student("painn", cutoff_A=cutoff, radial_basis="gaussian").state_dict()["radial.centers"]
    bessel = student("painn", cutoff_A=cutoff).state_dict()["radial.frequencies"]
    exact = dtype.itemsize > 2
    assert cutoff_of_buffer("radial.centers", gaussian.to(dtype)) == pytest.approx(cutoff, rel=0 if exact else 1e-2)
    assert cutoff_of_buffer("radial.frequencies", bessel.to(dtype)) == pytest.approx(cutoff, rel=0 if exact else 1e-2)
    assert cutoff_of_buffer("radial.centers", gaussian**1.1) is None


@pytest.mark.parametrize("first", [0.0, FIRST_CENTER_A])
def test_centers_tell_the_cutoff_also_where_one_of_them_is_next_to_zero(first):
    """There the centers in float32 are off by as much as they are, of which 16 bits keep all."""
    for cutoff in (0.6, 2.0, 4.9, 5.0, 5.6, 7.0, 8.1):
        for n_rbf in range(2, 65):
            centers = RadialBasis("gaussian", n_rbf, cutoff, first).centers
            assert cutoff_of_buffer("radial.centers", centers) == cutoff
            assert cutoff_of_buffer("radial.centers", centers.half()) == pytest.approx(cutoff, rel=1e-2)
            assert cutoff_of_buffer("radial.centers", centers.bfloat16()) == pytest.approx(cutoff, rel=1e-2)


def test_a_buffer_tells_whether_distances_count_from_contact(save):
    """Of weights alone, and of the config of a network that did not know of it."""
    for from_contact in (False, True):
        state = student("painn", radial_basis="gaussian", from_contact=from_contact, pair_elements=[1, 6]).state_dict()
        network = normalize(save(state)).network
        assert network.hyperparameters["from_contact"] == from_contact
        assert network.hyperparameters["pair_elements"] == [1, 6]
        assert network.hyperparameters["cutoff_A"] == 5.0
        assert network.sources["from_contact"] == "buffer radial.centers"
        config = {"from_contact": not from_contact}
        with pytest.raises(AssayError, match=rf"config\.from_contact = {not from_contact}, but its buffer"):
            normalize(save({"state_dict": state, "config": config}))
    bare = {name: values for name, values in state.items() if not name.startswith("radial.")}
    config = {"radial_basis": "gaussian", "cutoff_A": 5.0, "floor": False}
    network = normalize(save({"state_dict": bare, "config": config})).network
    assert not network.hyperparameters["from_contact"]
    assert network.sources["from_contact"] == "file config config.floor"
    network = normalize(save({"state_dict": bare, "config": config | {"from_contact": True}})).network
    torch.testing.assert_close(network.tensors["radial.centers"], state["radial.centers"], rtol=0, atol=0)


@pytest.mark.parametrize("first", [-1.0, -0.3, 0.5])
def test_centers_that_begin_elsewhere_are_of_distances_unless_the_config_says_else(save, first):
    state = student("painn", radial_basis="gaussian").state_dict()
    state["radial.centers"] = torch.linspace(first, 5.0, len(state["radial.centers"]))
    for config in ({}, {"floor": True}, {"from_contact": False}):
        network = normalize(save({"state_dict": state, "config": config}), 5.0).network
        assert not network.hyperparameters["from_contact"]
        assert ("from_contact" in network.assumed) == (first < 0 and not config)
    told = save({"state_dict": state, "config": {"from_contact": True}})
    if first < 0:
        network = normalize(told, 5.0).network
        assert network.hyperparameters["from_contact"]
        torch.testing.assert_close(network.tensors["radial.centers"], state["radial.centers"], rtol=0, atol=0)
    else:
        with pytest.raises(AssayError, match=r"config\.from_contact = True, but its buffer"):
            normalize(told, 5.0)


def test_a_buffer_without_numbers_does_not_fit(save):
    for kind, name in (("gaussian", "centers"), ("bessel", "frequencies")):
        state = student("painn", radial_basis=kind).state_dict() | {f"radial.{name}": torch.zeros(0)}
        with pytest.raises(AssayError, match=rf"do not fit together: radial\.{name} \[0\]"):
            normalize(save(state), 5.0)
