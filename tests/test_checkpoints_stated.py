"""What a checkpoint says of the units of its energies and of how they are summed is never passed over."""

import functools

import pytest

from assay.checkpoint import normalize
from assay.workflow.errors import AssayError
from shared import schnetpack_alike as spk
from shared.checkpoint_samples import SIZES, store, student


@pytest.fixture
def save(tmp_path):
    return functools.partial(store, tmp_path)


@pytest.mark.parametrize("architecture", SIZES)
def test_units_that_a_file_states_of_its_network_are_not_passed_over(architecture, save):
    state = student(architecture).state_dict()
    plain = normalize(save(state, "plain.pt")).to_bytes()
    ours = {"energy": "eV", "length": "angstrom"}
    for content, said in (
        ({"config": {"energy_unit": "kcal/mol"}}, r"config\.energy_unit = 'kcal/mol'"),
        ({"hparams": {"units": {"energy": "Hartree", "forces": "eV/A"}}}, r"hparams\.units\.energy = 'Hartree'"),
        ({"config": {"model": {"lengthUnits": "bohr"}}}, r"config\.model\.lengthUnits = 'bohr'"),
        ({"config": {"forces_unit": "kcal/mol/angstrom"}}, r"config\.forces_unit = 'kcal/mol/angstrom'"),
        ({"units": "real"}, r"units = 'real'"),
        ({"config": {"data": {"energy_unit": "kcal/mol"}}}, r"config\.data\.energy_unit = 'kcal/mol'"),
        ({"config": {"data": {"units": {"energy": "Hartree"}}}}, r"config\.data\.units\.energy = 'Hartree'"),
        ({"config": {"dataset": {"energy_units": "hartree"}}}, r"config\.dataset\.energy_units = 'hartree'"),
        ({"dataset": {"units": "kcal/mol"}}, r"dataset\.units = 'kcal/mol'"),
        (
            {"datamodule_hyper_parameters": {"property_units": {"energy": "kcal/mol"}}},
            r"datamodule_hyper_parameters\.property_units\.energy = 'kcal/mol'",
        ),
        ({"training": {"energy_unit": "hartree"}}, r"training\.energy_unit = 'hartree'"),
        ({"config": {"total_energy_unit": "hartree"}}, r"config\.total_energy_unit = 'hartree'"),
        ({"energy_unit_dft": "kcal/mol"}, r"energy_unit_dft = 'kcal/mol'"),
        ({"units": "eV, bohr"}, r"units = 'eV, bohr'"),
        ({"units": "energy: eV, length: bohr"}, r"units\.length = 'bohr'"),
        ({"config": {"units": "wave: eV"}}, r"config\.units = 'wave: eV'"),
        ({"config": {"model.energy_unit": "hartree"}}, r"config\.model\.energy_unit = 'hartree'"),
        ({"config": {"targets": {"energy": {"unit": "kcal/mol"}}}}, r"config\.targets\.energy\.unit = 'kcal/mol'"),
        ({"config": {"data": {"energy": {"units": "Hartree"}}}}, r"config\.data\.energy\.units = 'Hartree'"),
        (
            {"config": {"training_set": {"systems": {"length_unit": "bohr"}}}},
            r"config\.training_set\.systems\.length_unit = 'bohr'",
        ),
        (
            {"config": {"targets": {"energy": {"unit": "Ha", "weight": 0.1}}}},
            r"config\.targets\.energy\.unit = 'Ha'",
        ),
        ({"energy": {"unit": "Ha", "weight": 0.1}}, r"energy\.unit = 'Ha'"),
        ({"training": {"energy": {"unit": "Ha"}}}, r"training\.energy\.unit = 'Ha'"),
        ({"config": {"potential": {"energy": {"unit": "Ha"}}}}, r"config\.potential\.energy\.unit = 'Ha'"),
        ({"results": {"config": {"energy_unit": "Ha"}}}, r"results\.config\.energy_unit = 'Ha'"),
        ({"config": {"targets": {"U0": {"quantity": "energy", "unit": "Ha"}}}}, r"config\.targets\.U0\.unit = 'Ha'"),
        ({"config": {"outputs": [{"name": "energy", "unit": "Ha"}]}}, r"config\.outputs\[0\]\.unit = 'Ha'"),
        ({"config": {"heads": [{"output_key": "energy", "unit": "Ha"}]}}, r"config\.heads\[0\]\.unit = 'Ha'"),
        ({"config": {"outputs": {"U0_energy": {"unit": "Ha"}}}}, r"config\.outputs\.U0_energy\.unit = 'Ha'"),
        ({"config": {"energy_units": ("eV", "kcal/mol")}}, r"config\.energy_units = 'kcal/mol'"),
        ({"hparams": {"units": ["eV", "bohr"]}}, r"hparams\.units = 'bohr'"),
        ({"config": {"units": {"energy": {"name": "Hartree"}}}}, r"config\.units\.energy = 'Hartree'"),
        ({"simulation": {"length_unit": "ps"}}, r"simulation\.length_unit = 'ps'"),
        ({"net_options": {"energy": {"unit": "Ha"}}}, r"net_options\.energy\.unit = 'Ha'"),
        ({"exp_config": {"forces": {"unit": "Ha/bohr"}}}, r"exp_config\.forces\.unit = 'Ha/bohr'"),
        ({"config": {"unit_style": "real", "unit_system": "metal"}}, r"config\.unit_style = 'real'"),
    ):
        path = save({"model": state} | content)
        with pytest.raises(AssayError, match=f"says {said}, and its energies would be .* the unit of something else"):
            normalize(path)
        assert normalize(path, units=ours).to_bytes() == plain
    for content in (
        {"config": {"energy_unit": "eV", "units": {"energy": "ev", "length": "Angstrom", "time": "fs"}}},
        {"units": "metal", "config": {"units": "eV, angstrom, eV/A", "n_units": 64, "distance_unit": "Ang"}},
        {"config": {"data": {"energy_unit": "eV"}, "units": 64}, "dataset": {"units": "eV"}},
        {"units": "energy: eV, length: angstrom, time=fs", "config": {"units": '{"energy": "eV", "stress": "GPa"}'}},
        {"config": {"total_energy_unit": "eV", "force_unit_norm": "layer", "gradient_unit": "clip"}},
        {"config": {"distance_unit": "Ångström", "force_unit": "eV Å⁻¹", "energy_unit": "electronvolt"}},
        {"datamodule_hyper_parameters": {"property_units": {"energy": "eV"}, "distance_unit": "Ang", "batch_size": 8}},
        {"teacher": {"energy_unit": "hartree"}, "training": {"time_unit": "s", "units": 3}},
        {"config": {"units": ["eV", "angstrom"], "unit_system": "ASE", "targets": {"energy": {"unit": "eV"}}}},
        {"results": {"energy": {"unit": "meV"}}, "logs": [{"name": "forces", "unit": "meV/A"}]},
        {"config": {"time": {"unit": "s"}, "layers": [{"name": "in", "units": "tanh"}], "stress": {"unit": "GPa"}}},
        {"performance": {"energy": {"mae": 3.1, "unit": "meV"}}, "errors": [{"name": "forces", "unit": "meV/A"}]},
        {"config": {"threshold": {"energy": {"unit": "meV"}}, "units": ["eV", "angstrom", "fs"]}},
        {"codecarbon": {"energy_unit": "kWh"}, "card": {"energy": {"value": 1.2, "unit": "kcal/mol"}}},
    ):
        assert normalize(save({"model": state} | content)).to_bytes() == plain


@pytest.mark.parametrize("architecture", SIZES)
def test_a_file_that_says_that_its_energy_is_no_sum_over_atoms_is_refused(architecture, save):
    state = student(architecture).state_dict()
    for content, said in (
        ({"config": {"readout": "mean"}}, r"config\.readout = 'mean'"),
        ({"hparams": {"aggregation_mode": "avg"}}, r"hparams\.aggregation_mode = 'avg'"),
        ({"config": {"model": {"graph_pooling": "global_mean_pool"}}}, r"config\.model\.graph_pooling = 'global_mean"),
        ({"config": {"readout": {"_target_": "nets.MeanReadout"}}}, r"config\.readout\._target_ = 'nets\.MeanReadout'"),
        ({"config": {"heads": [{"aggr": "max"}]}}, r"config\.heads\[0\]\.aggr = 'max'"),
        ({"config": {"is_intensive": True}}, r"config\.is_intensive = True"),
        ({"config": {"extensive": False}}, r"config\.extensive = False"),
        ({"hparams": {"lr": 1e-3, "reduce": "mean"}}, r"hparams\.reduce = 'mean'"),
        ({"config": {"energy": {"aggregation": "mean"}}}, r"config\.energy\.aggregation = 'mean'"),
        ({"config": {"pooling": {"_target_": "nets.MeanPool"}}}, r"config\.pooling\._target_ = 'nets\.MeanPool'"),
        ({"config": {"gnn": {"aggr": "mean"}}}, r"config\.gnn\.aggr = 'mean'"),
        ({"training": {"config": {"readout": "mean"}}}, r"training\.config\.readout = 'mean'"),
        ({"config": {"name": "spin-free", "readout": "mean"}}, r"config\.readout = 'mean'"),
        ({"training": {"model": {"reduce": "mean"}}}, r"training\.model\.reduce = 'mean'"),
        ({"config": {"targets": {"energy": {"extensive": False}}}}, r"config\.targets\.energy\.extensive = False"),
        ({"student_options": {"pooling": {"name": "mean"}}}, r"student_options\.pooling\.name = 'mean'"),
        ({"config": {"pooling": {"cls": "MeanPool"}}}, r"config\.pooling\.cls = 'MeanPool'"),
        (
            {"config": {"readout": {"class_path": "Pool", "init_args": {"mode": "mean"}}}},
            r"config\..*args\.mode = 'mean'",
        ),
        ({"painn_options": {"aggr": "mean"}}, r"painn_options\.aggr = 'mean'"),
        ({"base_config": {"reduce": "mean"}}, r"base_config\.reduce = 'mean'"),
    ):
        with pytest.raises(AssayError, match=f"says {said}.* the sum over its atoms.* or save the file without"):
            normalize(save({"model": state} | content))
    plain = normalize(save(state, "plain.pt")).to_bytes()
    for content in (
        {"config": {"readout": "sum", "aggr": "add", "pooling": {"_target_": "nets.SumPool"}, "is_extensive": True}},
        {"config": {"reduce": True, "pool": 4, "name": "mean", "ensemble": {"aggregation": "mean"}}},
        {"loss": {"reduce": "mean"}, "metrics": {"aggregation": "mean"}, "config": {"do_postprocessing": False}},
        {"training": {"reduce": "mean"}, "history": {"aggregation": "mean"}, "distillation": {"aggregation": "mean"}},
        {"sampling": {"reduce": "mean"}, "sweep_config": {"reduce": "mean"}},
        {"slurm": {"pool": "max_nodes"}, "config": {"heads": {"dipole": {"readout": "mean"}}}, "kd": {"aggr": "mean"}},
        {"config": {"targets": [{"name": "gap", "extensive": False}, {"name": "energy", "extensive": True}]}},
        {"distillation_config": {"reduce": "mean"}, "kd_args": {"pooling": "mean"}, "run_args": {"reduce": "mean"}},
        {"model_selection": {"aggregation": "mean"}, "model_checkpoint": {"aggregate": "min"}},
        {"hyper_parameters": {"model_averaging": {"reduce": "mean"}, "model_card": {"energy": {"unit": "meV"}}}},
        {"best_model": {"energy": {"unit": "meV"}}, "training": {"early_stop": {"target": "energy", "unit": "meV"}}},
    ):
        assert normalize(save({"model": state} | content)).to_bytes() == plain


def test_units_that_a_file_of_schnetpack_states_have_to_be_given(save):
    path = save({"state_dict": spk.model().state_dict(), "hyper_parameters": {"energy_unit": "kcal/mol"}})
    with pytest.raises(AssayError, match=r"energy_unit = 'kcal/mol', .* as variants\.<name>\.units"):
        normalize(path)
    assert "in kcal/mol" in normalize(path, units={"energy": "kcal/mol"}).summary()


def test_a_record_of_the_postprocessors_of_schnetpack_is_no_other_statistic(save):
    state = spk.model().state_dict()
    mean = next(value for name, value in state.items() if name.endswith(".mean"))
    kept = {"state_dict": state, "hyper_parameters": {"energy_mean": float(mean)}}
    assert normalize(save(kept)).to_bytes() == normalize(save(state, "plain.pt")).to_bytes()
    with pytest.raises(AssayError, match=r"keeps hyper_parameters\.energy_mean = "):
        normalize(save(kept | {"hyper_parameters": {"energy_mean": float(mean) + 1.0}}))
