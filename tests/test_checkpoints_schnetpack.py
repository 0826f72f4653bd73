"""Files of schnetpack are read tensor for tensor: energies and forces are those of its own formulas."""

import argparse
import functools
import re

import ase.units
import pytest
import safetensors.torch
import torch
from ase.build import molecule
from torch.nn import functional

from assay.checkpoint import normalize, write
from assay.neighbors.lists import build_graph
from assay.predictors.named import add_arguments, named_model
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from shared import schnetpack_alike as spk
from shared.checkpoint_samples import store, student, torch_bytes
from shared.schnetpack_forms import ACTIVATIONS, NETWORKS, PLAIN, REFUSED


@functools.cache
def structure():
    atoms = molecule("CH3CONH2")
    atoms.rattle(0.1, seed=1)
    return torch.tensor(atoms.numbers), torch.tensor(atoms.positions)


def assert_same(made, checkpoint):
    """Compare with the formulas of the stand-ins, both in double precision."""
    numbers, positions = structure()
    model = checkpoint.build(torch.float64)
    distance = torch.cdist(positions, positions, compute_mode="donot_use_mm_for_euclid_dist")
    center, neighbor = torch.nonzero((distance < model.cutoff) & (distance > 0)).T
    energy, forces = made.double()(numbers, positions, center, neighbor)
    batch = torch.zeros_like(numbers)
    graph = build_graph(positions, batch, model.cutoff)
    found = model.energy_and_forces(numbers, positions, batch, 1, graph)
    assert float(found.energy) == pytest.approx(float(energy), abs=1e-9, rel=0)
    torch.testing.assert_close(found.forces, forces, rtol=0, atol=1e-9)
    assert float(forces.abs().max()) > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_schnetpack(name, tmp_path):
    made = spk.model(**NETWORKS[name])
    path = store(tmp_path, spk.whole(made), "best_inference_model")
    assert_same(made, normalize(path))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_schnetpack(name, tmp_path):
    made = spk.model(activation=ACTIVATIONS[name], kind=spk.SchNet if name.endswith("softplus") else spk.PaiNN)
    assert_same(made, normalize(store(tmp_path, spk.whole(made), "best_inference_model")))


@pytest.mark.parametrize("name", NETWORKS)
def test_checkpoints_of_schnetpack(name, tmp_path):
    """The Lightning file comes to the same bytes, and so does its normalized form."""
    made = spk.model(**NETWORKS[name])
    first = normalize(store(tmp_path, spk.whole(made), "best_inference_model"))
    second = normalize(store(tmp_path, spk.checkpoint(made), "last.ckpt"))
    assert second.to_bytes() == first.to_bytes()
    write(first, "x", tmp_path / "model.safetensors", tmp_path / "model.json")
    assert normalize(tmp_path / "model.safetensors").to_bytes() == first.to_bytes()


def test_a_state_dict_of_schnetpack_beside_another_word_on_its_energy_is_refused(tmp_path):
    """Where a pickled module tells, or no offset is there that the config could speak of, it is read."""
    made, plain = spk.model(), spk.model(after=[])
    average = {"model": {"output_modules": [{"_target_": "schnetpack.atomistic.Atomwise", "aggregation_mode": "avg"}]}}
    offsets = {"postprocessors": [{"_target_": "schnetpack.transform.AddOffsets", "is_extensive": False}]}
    for config in (average, offsets, {"do_postprocessing": False}):
        for model in (made, plain):
            path = store(tmp_path, {"state_dict": model.state_dict(), "config": config})
            if model is made or config is average:
                with pytest.raises(AssayError, match=r"says config\..*, and its energy would be taken to be the sum"):
                    normalize(path)
            else:
                assert normalize(path).to_bytes() == normalize(store(tmp_path, model.state_dict(), "s.pt")).to_bytes()
        assert_same(made, normalize(store(tmp_path, spk.checkpoint(made, config=config), "last.ckpt")))


@pytest.mark.parametrize("name", ["shared_interactions", "all_shared", "schnet_shared"])
def test_shared_tensors_that_safetensors_keep_once_are_put_back(name, tmp_path):
    made = spk.model(**NETWORKS[name])
    for mixing in getattr(made.representation, "mixing", []):
        mixing.epsilon = 1e-8
    safetensors.torch.save_model(made, tmp_path / "model.safetensors")
    assert len(safetensors.torch.load_file(tmp_path / "model.safetensors")) < len(made.state_dict())
    assert_same(made, normalize(tmp_path / "model.safetensors"))


def test_painn_of_schnetpack_that_lacks_blocks_is_refused(tmp_path):
    """Its filters tell of all blocks, of which savers that drop shared tensors keep the first."""
    state = spk.model(shared=True).state_dict()
    kept = {name: tensor for name, tensor in state.items() if not re.search(r"\.(interactions|mixing)\.[1-9]", name)}
    assert len(kept) < len(state)
    with pytest.raises(AssayError, match=r"'representation.filter_net' of \d+ rows, but the interactions of 1 blocks"):
        normalize(store(tmp_path, torch_bytes(kept)))


@pytest.mark.parametrize(("key", "name"), [("n_interactions", "n_blocks"), ("n_atom_basis", "hidden"), ("n_rbf",) * 2])
@pytest.mark.parametrize("kind", [spk.PaiNN, spk.SchNet])
def test_config_that_contradicts_tensors_of_schnetpack_is_refused(key, name, kind, tmp_path):
    content = {"state_dict": spk.model(kind=kind).state_dict(), "config": {key: 99 if key == "n_rbf" else 7}}
    with pytest.raises(AssayError, match=rf"says config.{key} = \d+, but its tensors have {name} = \d+"):
        normalize(store(tmp_path, torch_bytes(content)))


@pytest.mark.parametrize("name", PLAIN)
def test_state_dicts_of_schnetpack(name, tmp_path):
    """Tensors alone: what they do not show is schnetpack's default, and said."""
    made = spk.model(**PLAIN[name])
    for mixing in getattr(made.representation, "mixing", []):
        mixing.epsilon = 1e-8
    checkpoint = normalize(store(tmp_path, spk.tensors(made)))
    assert checkpoint.to_bytes() == normalize(store(tmp_path, spk.whole(made), "model")).to_bytes()
    assumed = {key for key, source in checkpoint.network.sources.items() if source == "assumed"}
    assert "activation" in assumed and ("head_activation" in assumed) == bool(
        checkpoint.network.hyperparameters["head"]
    )
    assert "tensors alone" in checkpoint.summary()
    assert any("tensors alone" in note for note in checkpoint.card("x")["source"]["notes"])


def test_what_a_state_dict_is_assumed_to_scale_and_add_is_said(tmp_path):
    """Neutral postprocessors of other properties leave no doubt."""
    made = spk.model(after=[spk.ScaleProperty(), spk.ScaleProperty("forces", scale=1.0), spk.AddOffsets()])
    made.postprocessors.append(spk.AddOffsets("dipole"))
    for name in ("mean", "atomref"):
        getattr(made.postprocessors[4], name).zero_()
    for mixing in made.representation.mixing:
        mixing.epsilon = 1e-8
    checkpoint = normalize(store(tmp_path, spk.tensors(made)))
    assert_same(made, checkpoint)
    assumed = [note for note in checkpoint.card("x")["source"]["notes"] if note.startswith("Assumed: ")]
    assert assumed == [
        "Assumed: postprocessors.1 multiplies the energy by 1.3.",
        "Assumed: postprocessors.3 adds its mean of -1.7 and its atomref of -9 to 4 to the energy of each atom.",
    ]


@pytest.mark.parametrize(("name", "applied", "other"), [("energy_mean", -1.7, -1.9), ("energy_std", 1.3, 1.31)])
def test_a_statistic_beside_a_network_of_schnetpack_is_the_one_that_it_applies(tmp_path, name, applied, other):
    made = spk.model(after=[spk.ScaleProperty(), spk.AddOffsets()])
    state = made.state_dict()
    plain = normalize(store(tmp_path, {"state_dict": state}, "plain.pt")).to_bytes()
    assert normalize(store(tmp_path, {"state_dict": state, "config": {name: applied}}, "a.pt")).to_bytes() == plain
    with pytest.raises(AssayError, match=rf"keeps config\.{name} = {other} beside its weights"):
        normalize(store(tmp_path, {"state_dict": state, "config": {name: other}}, "b.pt"))


@pytest.mark.parametrize("trained", [False, True])
def test_averages_of_schnetpack_are_told_from_raw_weights(trained, tmp_path):
    """Its callback puts the raw weights aside while the average stands in the model; shared modules count once."""
    basis = {"basis": lambda: spk.GaussianRBF(6, 4.5, trainable=trained)}
    made, raw = spk.model(shared=True, **basis), spk.model(shared=True, **basis)
    with torch.no_grad():
        for parameter in raw.parameters():
            parameter.add_(0.01)
    lists = {"shadow_params": list(made.parameters()), "collected_params": list(raw.parameters())}
    content = spk.checkpoint(made, callbacks={"ExponentialMovingAverage": {"ema": {"decay": 0.99, **lists}}})
    path = store(tmp_path, content, "last.ckpt")
    average = normalize(path)
    assert average.state_dict.average and not average.choice.in_doubt
    assert_same(made, average)
    assert_same(raw, normalize(path, weights="raw"))


@pytest.mark.parametrize("case", REFUSED)
def test_what_schnetpack_computes_and_assay_does_not(case, tmp_path):
    content, pattern = REFUSED[case]
    path = store(tmp_path, content())
    with pytest.raises(AssayError, match=pattern) as caught:
        normalize(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_heads_beside_the_energy_are_left_aside(tmp_path):
    made = spk.model()
    made.output_modules.append(spk.Atomwise([8, 1], functional.silu, "charge"))
    checkpoint = normalize(store(tmp_path, spk.whole(made)))
    assert "Left aside, because the energy does not depend on it: Atomwise." in checkpoint.summary()
    made.output_modules = made.output_modules[:2]
    assert_same(made, checkpoint)


def test_energy_scaled_and_forces_not_is_said(tmp_path):
    made = spk.model(after=[spk.ScaleProperty()])
    checkpoint = normalize(store(tmp_path, spk.whole(made)))
    assert "scales the energy by 1.3 but not the forces" in checkpoint.summary()
    made.do_postprocessing = False
    assert "switched off" in normalize(store(tmp_path, spk.whole(made), "b")).summary()


@pytest.mark.parametrize("basis", [spk.GaussianRBF, spk.BesselRBF])
@pytest.mark.parametrize("kind", [spk.PaiNN, spk.SchNet])
def test_units_that_a_network_was_trained_in(kind, basis, tmp_path):
    """In kcal/mol and bohr the same numbers are other energies of larger structures."""
    made = spk.model(kind, basis, cutoff=spk.SwitchFunction)
    path = store(tmp_path, spk.whole(made))
    found = normalize(path, units={"energy": "kcal/mol", "length": "bohr"})
    assert "Energies are taken to be in kcal/mol, distances in bohr, as variants" in found.summary()
    kcal, bohr = ase.units.kcal / ase.units.mol, ase.units.Bohr
    numbers, positions = structure()
    plain, model = (checkpoint.build(torch.float64) for checkpoint in (normalize(path), found))
    assert model.cutoff == pytest.approx(4.5 * bohr, rel=1e-12)
    batch = torch.zeros_like(numbers)
    ours, theirs = (
        network.energy_and_forces(numbers, at, batch, 1, build_graph(at, batch, network.cutoff))
        for network, at in ((model, positions * bohr), (plain, positions))
    )
    assert float(ours.energy) == pytest.approx(float(theirs.energy) * kcal, abs=1e-9, rel=0)
    torch.testing.assert_close(ours.forces, theirs.forces * kcal / bohr, rtol=0, atol=1e-9)


def test_state_dicts_of_schnetpack_in_half_precision(tmp_path):
    """The cutoff is the number that was rounded, and every weight is kept."""
    half = {
        name: tensor.half() for name, tensor in spk.model(cutoff=lambda _: spk.CosineCutoff(4.3)).state_dict().items()
    }
    checkpoint = normalize(store(tmp_path, half), cutoff_A=4.3)
    assert checkpoint.network.hyperparameters["cutoff_A"] == 4.3
    weight = half["representation.mixing.0.mu_channel_mix.weight"]
    assert torch.equal(checkpoint.network.tensors["blocks.0.mix.weight"], weight.float())


def test_units_say_nothing_of_other_files(tmp_path):
    with pytest.raises(AssayError, match="is no file of schnetpack"):
        normalize(store(tmp_path, student().state_dict()), units={"energy": "kcal/mol"})
    with pytest.raises(AssayError, match=r"'furlong' is no unit of length"):
        normalize(store(tmp_path, spk.whole(spk.model()), "b"), units={"length": "furlong"})
    for units in ({"energy": "-eV"}, {"length": "-bohr"}, {"energy": "eV*bohr^9999/bohr^9999"}):
        with pytest.raises(
            AssayError, match=r"is no unit of \w+ that a network is trained in: give one without a sign"
        ):
            normalize(store(tmp_path, spk.whole(spk.model()), "b"), units=units)


def test_a_cutoff_that_contradicts_the_file_is_refused(tmp_path):
    path = store(tmp_path, spk.whole(spk.model()))
    with pytest.raises(AssayError, match=r"cutoff 4.5 by its tensors, but 5 by the user config"):
        normalize(path, cutoff_A=5.0)


def test_a_variant_of_the_config_keeps_its_units(tmp_path):
    path = store(tmp_path, spk.whole(spk.model()), "best_inference_model")
    config = tmp_path / "mine.yaml"
    config.write_text(f"variants: {{mine: {{checkpoint: {path}, units: {{energy: kcal/mol}}}}}}")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    numbers, positions = structure()
    acetamide = Structure("acetamide", numbers.numpy(), positions.numpy())
    energies = []
    for model in ("mine", str(path)):
        [predictor] = named_model(parser.parse_args([model, "--config", str(config)])).load(dtypes=("float64",))
        energies.append(predictor.predict([acetamide])[0].energy_eV)
    assert energies[0] == pytest.approx(energies[1] * ase.units.kcal / ase.units.mol, rel=1e-12)
