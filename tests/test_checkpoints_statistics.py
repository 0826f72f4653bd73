"""Statistics of labels beside the weights of a checkpoint are refused, where its network does not apply them."""

import collections
import decimal
import functools

import numpy as np
import pytest
import torch

from assay.checkpoint import normalize
from assay.workflow.errors import AssayError
from shared.checkpoint_foreign import library
from shared.checkpoint_samples import SIZES, prefixed, store, student, torch_bytes


@pytest.fixture(params=sorted(SIZES))
def architecture(request):
    return request.param


@pytest.fixture
def save(tmp_path):
    return functools.partial(store, tmp_path)


def test_a_normalizer_that_changes_nothing_is_let_pass(architecture, save):
    """Its mean is 0 and its standard deviation 1; records of the training are no normalizers."""

    class Normalizer:
        def __init__(self, mean, std):
            self.mean, self.std, self.device = mean, std, "cpu"

    state = student(architecture).state_dict()
    plain = normalize(save(state, "plain.pt")).to_bytes()
    neutral = {"mean": torch.zeros(1), "std": torch.ones(1)}
    with library(trainer__Normalizer=Normalizer):
        made = {
            name: torch_bytes({"model": state, "normalizer": Normalizer(mean, torch.ones(3))})
            for name, mean in (("neutral", 0.0), ("shifts", torch.tensor([0.0, 0.1, 0.0])))
        }
    for content in (
        {"model": state, "normalizers": {"energy": neutral, "forces": neutral | {"std": None}}},
        {"model": state, "energy_mean": 0, "energy_std": [1.0, 1.0]},
        {"model": state, "training": {"energy_mean": -76.4}},
        {"model": state, "config": {"scale": 1.0, "shift": 0.0, "E0s": "average", "mean_force": 0.4}},
        {"model": state, "atom_refs": {"H": 0.0, "O": 0.0}, "metrics": {"mean": 0.02}},
        {"model": state, "scaler": {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5}},
        made["neutral"],
    ):
        assert normalize(save(content)).to_bytes() == plain
    for content, said in (
        (made["shifts"], r"normalizer\.mean = several numbers"),
        ({"model": state, "hparams": {"normalizer": {"std": 2.5}}}, r"hparams\.normalizer\.std = 2\.5"),
    ):
        with pytest.raises(AssayError, match=f"keeps {said} beside its weights"):
            normalize(save(content))


def test_statistics_of_labels_are_refused_under_whichever_name(architecture, save):
    state = student(architecture).state_dict()
    mean = torch.tensor(-400.0)
    for content, said in (
        ({"mean": -400.0, "std": 27.2}, r"mean = -400\.0"),
        ({"energy_shift": -400.0, "energy_scale_factor": 27.2}, r"energy_shift = -400\.0"),
        ({"config": {"scale": 27.2, "shift": 0.0}}, r"config\.scale = 27\.2"),
        ({"scaler": {"mean": -400.0, "scale": 27.2}}, r"scaler\.mean = -400\.0"),
        ({"scaler": {"mean_": [0.0], "scale_": [27.2]}}, r"scaler\.scale_ = 27\.2"),
        ({"target_normalizer": {"mean": mean, "std": torch.tensor(27.2)}}, r"target_normalizer\.mean = -400\.0"),
        ({"normalizer_state_dict": {"mean": mean}}, r"normalizer_state_dict\.mean = -400\.0"),
        ({"hyper_parameters": {"y_mean": 0.0, "y_std": 27.2}}, r"hyper_parameters\.y_std = 27\.2"),
        ({"hyper_parameters": {"config": {"labelStd": 2.0}}}, r"hyper_parameters\.config\.labelStd = 2\.0"),
        ({"atom_refs": {"H": -13.6, "O": -2040.0}}, r"atom_refs = several numbers"),
        ({"config": {"E0s": torch.arange(10.0)}}, r"config\.E0s = several numbers"),
        ({"hparams": {"atomic_energies": {1: -13.6}}}, r"hparams\.atomic_energies = -13\.6"),
        ({"config": {"per_type_energy_shifts": [-13.6, -1029.0]}}, r"config\.per_type_energy_shifts = several numbers"),
        ({"config": {"per_type_energy_scales": [1.0, 2.5]}}, r"config\.per_type_energy_scales = several numbers"),
        ({"bias_atom_e": torch.tensor([-13.6, -1029.0])}, r"bias_atom_e = several numbers"),
        ({"hyper_parameters": {"lin_ref": [0.0, -13.6]}}, r"hyper_parameters\.lin_ref = several numbers"),
        ({"element_references": [0.0, -13.6]}, r"element_references = several numbers"),
        ({"sae": {"H": -0.6}}, r"sae = -0\.6"),
        ({"config": {"of_nobody": {"H": -13.6, "O": -2040.0}}}, r"config\.of_nobody = several numbers"),
        ({"of_nobody": {"1": -13.6, "8": -2040.0}}, r"of_nobody = several numbers"),
        ({"of_nobody": {"H": 13.6, "O": 2040.5}}, r"of_nobody = several numbers"),
        ({"of_nobody": {6: -1029.0, 7: -1485.0, 8: -2040.0}}, r"of_nobody = several numbers"),
        ({"results": {"normalizer": {"mean": -4.0}}}, r"results\.normalizer\.mean = -4\.0"),
        ({"hparams": {"e_mean": -4.2}}, r"hparams\.e_mean = -4\.2"),
        ({"config": {"dataset_forces_rms": 1.7}}, r"config\.dataset_forces_rms = 1\.7"),
        ({"config": {"mu": 0.0, "sigma": 2.5}}, r"config\.sigma = 2\.5"),
        ({"config": {"out_scale": 2.5}}, r"config\.out_scale = 2\.5"),
        ({"config": {"global_rescale_shift": 3.0}}, r"config\.global_rescale_shift = 3\.0"),
        ({"config": {"energy.mean": -4.2, "energy.std": 2.0}}, r"config\.energy\.mean = -4\.2"),
        ({"energy_mean": "-300.5", "energy_std": "2.5"}, r"energy_mean = -300\.5"),
        ({"args": {"E0s": "{1: -13.6, 8: -2040.0}"}}, r"args\.E0s = several numbers"),
        ({"config": {"atomic_energies": "H:-13.6,O:-2040."}}, r"config\.atomic_energies = several numbers"),
        ({"config": {"atomic_energies": "{'H': np.float64(-13.6)}"}}, r"config\.atomic_energies = -13\.6"),
        ({"atomic_energies": {"H": "-13.6"}}, r"atomic_energies = -13\.6"),
        ({"config": {"of_nobody": {"H": "-13.6", "O": "-2040"}}}, r"config\.of_nobody = several numbers"),
        ({"E0s": '{"1": -13.6}'}, r"E0s = -13\.6"),
        ({"atom_refs": "[0.0, -13.6]"}, r"atom_refs = several numbers"),
        ({"normalizer": "mean=-400.0, std=2.5"}, r"normalizer\.mean = -400\.0"),
    ):
        with pytest.raises(AssayError, match=f"keeps {said} beside its weights"):
            normalize(save({"model": state} | content))


def test_statistics_of_labels_whose_numbers_cannot_be_read_are_refused(save):
    state = student().state_dict()
    pair = collections.namedtuple("Pair", "mean std")

    class Frozen:
        def __init__(self, *values):
            self.values = values

        def __getstate__(self):
            return list(self.values)

    table = np.array([(1, -13.6)], dtype=[("z", "i8"), ("e", "f8")])
    with library(trainer__Pair=pair, trainer__Frozen=Frozen):
        refused = [
            (torch_bytes({"model": state} | content), f"keeps {place} beside .* cannot be read .{name}")
            for content, place, name in (
                ({"normalizer": pair(-400.0, 2.5)}, "normalizer", "trainer.Pair"),
                ({"config": {"scaler": Frozen(-400.0, 2.5)}}, r"config\.scaler", "trainer.Frozen"),
                ({"normalizers": [Frozen(-400.0)]}, r"normalizers\[0\]", "trainer.Frozen"),
                ({"energy_mean": np.longdouble(-400.0)}, "energy_mean", "numpy"),
                ({"E0s": table}, "E0s", "numpy"),
            )
        ]
        refused += [
            (torch_bytes({"model": state} | content), said)
            for content, said in (
                ({"energy_mean": decimal.Decimal("-400.0")}, r"keeps energy_mean = -400\.0 beside"),
                ({"atomic_energies": {"H": decimal.Decimal("-13.6")}}, "keeps atomic_energies = .* beside"),
                ({"E0s": np.array({1: -13.6}, dtype=object)}, "keeps E0s = .* beside"),
            )
        ]
        read = torch_bytes({"model": state, "config": {"E0s": Frozen("average")}, "normalizer": Frozen(None, True)})
    for content, said in refused:
        with pytest.raises(AssayError, match=said):
            normalize(save(content))
    assert normalize(save(read)).to_bytes() == normalize(save(state, "plain.pt")).to_bytes()


def test_statistics_of_labels_are_refused_among_those_of_data(save):
    state = student().state_dict()
    pair, labelled = {"mean": -400.0, "std": 12.5}, {"energy_mean": -400.0, "energy_std": 12.5}
    references = {"H": -13.6, "C": -1029.0}
    places = (
        *("train_stats", "training_statistics", "data_stats", "statistics", "stats", "preprocessing", "transform"),
        *("label_transform", "target_transform", "datamodule_hyper_parameters", "data", "training"),
    )
    for content, said in (
        *(({place: pair}, rf"{place}\.mean = -400\.0") for place in places),
        *(({place: labelled}, rf"{place}\.energy_mean = -400\.0") for place in places),
        *(
            ({place: {"atomic_energies": references}}, rf"{place}\.atomic_energies = several numbers")
            for place in places
        ),
        ({"stats": {"energy": pair}}, r"stats\.energy\.mean = -400\.0"),
        ({"train_stats": {"energy_mean": -400.0}}, r"train_stats\.energy_mean = -400\.0"),
        ({"data": {"normalizer": {"mean": -400.0}}}, r"data\.normalizer\.mean = -400\.0"),
        ({"transforms": [{"name": "Offsets"}, {"name": "Norm", **pair}]}, r"transforms\[1\]\.mean = -400\.0"),
        ({"transforms": [{"atomrefs": [0.0, -13.6]}]}, r"transforms\[0\]\.atomrefs = several numbers"),
        ({"normalizers": [{"mean": -4.0}]}, r"normalizers\[0\]\.mean = -4\.0"),
        ({"normalizer": {"mean": {"energy": -4.0}, "std": {"energy": 1.0}}}, r"normalizer\.mean = -4\.0"),
        ({"normalizers": {"energy": [0.0, 2.0]}}, r"normalizers\.energy\[1\] = 2\.0"),
        ({"scaler": (-4.0, 2.0)}, r"scaler\[0\] = -4\.0"),
        ({"normalizer": torch.tensor([0.0, 2.0])}, r"normalizer\[1\] = 2\.0"),
    ):
        with pytest.raises(AssayError, match=f"keeps {said} beside its weights"):
            normalize(save({"model": state} | content))


def test_what_is_no_statistic_of_labels_or_changes_nothing_is_let_pass(save):
    model = student("painn")
    model.energy_scale.fill_(2.5)
    state = model.state_dict()
    plain = normalize(save(state, "plain.pt")).to_bytes()
    applied = {"H": float(state["reference_energy"][1]), "O": float(state["reference_energy"][8])}
    buffers = {"normalizer.mean": torch.tensor(0.0), "normalizer.std": torch.ones(3), "energy_mean": torch.zeros(1)}
    task = normalize(save({"state_dict": prefixed(state, "model.") | buffers}))
    assert task.to_bytes() == plain
    assert task.state_dict.ignored == list(buffers)
    neutral = "scale net.std rescale.scale_by", "mean net.shift net.atomref.weight atom_ref rescale.shift_by"
    others = {name: torch.full((1,), 1.0 - k) for k in (0, 1) for name in neutral[k].split()}
    others |= {"energy_weight": torch.tensor(4.0), "log_vars": torch.ones(2), "val_mae.total": torch.tensor(3.0)}
    for form in ("", "model."):
        assert normalize(save({"state_dict": prefixed(state, form) | others})).to_bytes() == plain
    for name, value in (
        *(("mean", torch.tensor(-4.0)), ("std", torch.tensor(2.0)), ("atomref.weight", torch.ones(10, 1))),
        *(("rescale.scale_by", torch.tensor(2.0)), ("norm.scale", torch.ones(8)), ("val_mae", torch.ones(8, 8))),
    ):
        with pytest.raises(AssayError, match=f"holds more than a whole painn: it has unknown {name}; where that does"):
            normalize(save({"state_dict": prefixed(state, "model.") | {name: value}}))
    with pytest.raises(AssayError, match=r"has unknown normalizer\.std"):
        normalize(save({"state_dict": prefixed(state, "model.") | {"normalizer.std": torch.tensor(2.0)}}))
    for content in (
        {"mean": 0.0, "std": 1.0, "E0s": {"H": 0.0, 8: 0}, "atom_refs": [0.0, 0.0]},
        {"config": {"scale": True, "E0s": "average", "normalizer": None, "energy_scale": 2.5}},
        {"config": {"atomic_energies": applied, "reference_energies": state["reference_energy"]}},
        {"args": {"E0s": repr({1: applied["H"], 8: applied["O"]}), "energy_scale": "2.5", "shift": "0.0"}},
        {"config": {"atomic_energies": {"H": str(applied["H"])}, "E0s": "H: {H}, O: {O}".format(**applied)}},
        {"config": {"E0s": "e0s.json", "energy_mean": "from 10 structures", "scale": "2x", "normalizer": "mean=0"}},
        {"hparams": {"average": 10, "scale": {"width": 2.0}, "scaling": "log"}},
        {"config": {"per_type_energy_shifts": applied, "mine": applied, "sae": {"H": 0.0}, "scales": {"H": 1.0}}},
        {"colors": {"H": 0.5, "O": 0.1}, "config": {"counts": {"H": 3.0, "O": 4.5}, "loss_weights": {"H": 0.5}}},
        {"config": {"masses": {"H": 1.008}, "radii": {"O": 0.66}, "cutoffs": {"H": 4.5}, "max_neighbors": {"H": 20}}},
        {"config": {"types": {"H": 0, "O": 1}, "milestones": {10: 0.5, 20: 0.1}, "mae_of": {"H": 0.02}}},
        {"config": {"bias": True, "out_features": 3, "sigma": 0.5, "atom_sigma": 0.3, "rescale": True, "e0s": None}},
        {"metrics": {"mean": 3.0, "std": 2.0}, "history": {"mean": 3.0}, "mean": [1.0, 2.0, 3.0]},
        {"scaler": {"scale": 65536.0, "growth_factor": 2.0}, "scaler_state_dict": {}, "grad_scaler": {"scale": 9.0}},
        {"config": {"loss_scale": 128, "lr_scale": 0.1, "force_scale": 100.0, "init_std": 0.02, "noise_std": 0.1}},
        {"config": {"optimizer": {"scale": 2.0}, "augmentation": {"mean": 3.0, "std": 2.0}, "data": {"y_mean": 3.0}}},
        {"stats": {"mean": 0.0, "std": 1.0}, "normalizers": [{"mean": 0, "std": 1}, (0.0, 1.0)], "scaler": [0, 1]},
        {"transforms": [{"name": "Noise", "mean": 0.0, "std": 0.05}, {"noise": "normal", "mean": 1.0, "scale": 0.1}]},
        {"stats": {"n_atoms": {"mean": 20.5, "std": 3.0}, "step_time": {"mean": 3.0, "std": 1.0}, "mean": 0.4}},
        {"normalizer": {"kind": "none", "shape": [3, 4]}, "training": {"force_rms": 1.2}, "data": {"scale": True}},
        {"teacher": {"E0s": [1.0]}, "metrics": {"energy_mean": 0.2, "energy_std": 0.1}, "state": {"mean": 3.0}},
        {"of_nobody": {1: -0.5, 2: -0.7}, "scores": {1: -0.5}, "val_history": {"5": -0.5, "8": -0.7}, "log": {8: -1.5}},
        {"of_nobody": {"10": -0.5, "20": -0.7, "30": -0.9}, "by_epoch": {6: -3.0}, "config": {"vdw": {"H": 1.2}}},
        {"config": {"r_cov": {"H": 0.31, "C": 0.76}}, "results": {"energy_std": 0.03, "energy_mean": 0.1}},
        {"log": {"forces_std": 1.2, "per_split": {"energy_mean": 0.2}}, "summary": {"H": {"y_std": 2.0}, "O": 0.5}},
        {"layer_norm": {"weight.mean": torch.ones(2), "scale": torch.full((4,), 3.0)}, "teacher": {"E0s": [1.0]}},
    ):
        assert normalize(save({"model": state} | content)).to_bytes() == plain


# Which weights
