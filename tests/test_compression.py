"""Smaller forms of a student: what changes nothing changes nothing, what converges converges, and what pays is said."""

import copy
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from assay.checkpoint import normalize
from assay.compression import methods
from assay.compression.comparison import compare, eight_bits, kind_of, pays, recommendation, stress_mae
from assay.compression.distilling import HessianLoss, PackedPairs, in_pairs, relabelled
from assay.compression.low_rank import factored, truncated
from assay.compression.methods import Workshop, begin, made, save
from assay.compression.plan import forms
from assay.compression.pruning import importance, layout, prune
from assay.compression.tables import TabulatedBasis, tabulated
from assay.data.dataset import from_structures
from assay.data.scope import Scope
from assay.engine.library import library
from assay.engine.painn import why_unsupported
from assay.models import build_model
from assay.physics.checks import CHECKS, measure
from assay.predictors.interface import load_predictor
from assay.predictors.networks import EagerPredictor, predictor_of
from assay.quantize.comparison import errors
from assay.structures.structure import Structure
from assay.training.loss import eager_gradients
from assay.training.packs import PackedDataset
from assay.workflow.config import load_config
from assay.workflow.errors import AssayError
from assay.workflow.teachers import teacher_of
from shared.physics_toys import THRESHOLDS, toy_reference
from shared.recipes import LOSS
from shared.workflow_copy import ROOT

SHAPE = {"hidden": 6, "n_blocks": 2, "n_rbf": 5, "head": [4], "radial_basis": "gaussian", "epsilon": 1e-3}
needs_engine = pytest.mark.skipif(library() is None, reason="no C++ compiler on this machine")
LIMITS = {
    "size_ratio": 0.35,
    "time_ratio": 0.8,
    "slowest": 1.05,
    "force_mae_ratio": 1.1,
    "energy_mae_ratio": 1.3,
    "stress_mae_ratio": 1.3,
    "energy_force_consistency": 0.01,
    "drift_ratio": 2.0,
}


def structures(count=6):
    made_up = []
    for k in range(count):
        atoms = molecule(["CH3CH2OH", "CH3SH", "C6H6"][k % 3])
        atoms.rattle(0.1, seed=k)
        made_up.append(
            Structure(
                f"{k}", atoms.numbers, atoms.positions, energy_eV=-float(k), forces_eV_per_A=0.1 * atoms.positions
            )
        )
    return made_up


@pytest.fixture(params=[1, 2])
def model(request):
    torch.manual_seed(1)
    return build_model("painn", SHAPE | {"rank": request.param}).double()


def evaluate(model):
    return EagerPredictor(model).predict(structures(3))


def assert_equal(one, other, tolerance):
    for a, b in zip(one, other, strict=True):
        assert a.energy_eV == pytest.approx(b.energy_eV, abs=tolerance)
        np.testing.assert_allclose(a.forces_eV_per_A, b.forces_eV_per_A, atol=tolerance)


def widened(model, extra):
    """The same network with channels and hidden units between its own, of which nothing is read."""
    wide = build_model(model.architecture, model.hyperparameters | {"hidden": SHAPE["hidden"] + extra}).double()
    places = [1, 2, 4, 5, 6, 8]  # of the own channels, in order, among nine
    state, axes = wide.state_dict(), layout(wide)
    for name, own in model.state_dict().items():
        if name not in axes:
            state[name] = own
            continue
        target = torch.zeros_like(state[name])
        index = [torch.arange(length) for length in target.shape]
        for axis, chunks, _ in axes[name]:
            width = target.shape[axis] // chunks
            index[axis] = torch.cat([chunk * width + torch.tensor(places) for chunk in range(chunks)])
        target[torch.meshgrid(*index, indexing="ij")] = own
        state[name] = target
    wide.load_state_dict(state)
    return wide


def test_pruning_channels_that_are_zero_changes_nothing(model):
    wide = widened(model, 3)
    assert_equal(evaluate(wide), evaluate(model), 1e-10)
    data = from_structures(structures())
    packs = PackedDataset(data, model.cutoff)
    pack = packs.assemble(np.arange(6))
    scores = importance(wide, eager_gradients(wide, LOSS), [pack])
    assert set(scores) == {"channels", *(f"blocks.{k}.{part}" for k in range(2) for part in ("context", "update"))}
    assert all((score == 0).sum() == 3 for score in scores.values())
    narrow = prune(wide, scores, SHAPE["hidden"])
    assert narrow.hyperparameters == model.hyperparameters
    assert_equal(evaluate(narrow.double()), evaluate(model), 1e-6)
    fewer = prune(wide, scores, SHAPE["hidden"] - 2).double()
    assert abs(evaluate(fewer)[0].energy_eV - evaluate(model)[0].energy_eV) > 1e-4, "a channel that is used is missed"


def test_importance_is_the_squared_sum_of_weight_times_gradient():
    torch.manual_seed(0)
    model = build_model("painn", SHAPE | {"rank": 1})
    gradients = {name: torch.randn_like(p) for name, p in model.named_parameters()}
    scores = importance(model, lambda parameters, pack: (torch.zeros(()), list(gradients.values())), [None, None])
    bias = (model.blocks[0].context[0].bias * gradients["blocks.0.context.0.bias"]).detach().double()
    into = (model.blocks[0].context[0].weight * gradients["blocks.0.context.0.weight"]).detach().double().sum(1)
    out = (model.blocks[0].context[2].weight * gradients["blocks.0.context.2.weight"]).detach().double().sum(0)
    torch.testing.assert_close(scores["blocks.0.context"], 2 * (bias + into + out) ** 2)


def test_more_channels_than_there_are_is_refused(model):
    with pytest.raises(AssayError, match="a student of 6 channels cannot be pruned to 7"):
        prune(model, {}, 7)


def test_factors_of_full_rank_change_nothing_and_of_less_do(model):
    same, count = factored(model, 1.0)
    assert count == sum(p.numel() for p in model.parameters()), "factors of full rank would be larger"
    assert_equal(evaluate(same), evaluate(model), 1e-12)
    less, fewer = factored(model, 0.34)
    assert fewer < count
    assert abs(evaluate(less)[0].energy_eV - evaluate(model)[0].energy_eV) > 1e-6
    assert torch.linalg.matrix_rank(less.blocks[0].context[0].weight) == 2


def test_truncation_is_exact_at_full_rank_and_the_nearest_below():
    matrix = torch.randn(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(truncated(matrix, 5), matrix, rtol=0, atol=1e-12)
    values = torch.linalg.svdvals(matrix)
    assert (truncated(matrix, 3) - matrix).norm() == pytest.approx(values[3:].norm().item())


@pytest.mark.parametrize("kind", ["gaussian", "bessel"])
def test_tables_converge_with_the_fourth_power_of_their_grid(kind):
    model = build_model("painn", SHAPE | {"radial_basis": kind}).double()
    distances = torch.linspace(0.7, 4.9, 173, dtype=torch.float64)
    exact = model.radial(distances)
    errors = [(TabulatedBasis(model.radial, 5.0, n)(distances) - exact).abs().max().item() for n in (65, 129, 257)]
    assert errors[2] < 1e-5
    assert all(12 < coarse / fine < 20 for coarse, fine in pairwise(errors))


def test_a_network_with_fine_tables_is_the_network_and_its_forces_are_its_gradient(model):
    exact = evaluate(model)
    assert_equal(evaluate(tabulated(model, 2000)), exact, 1e-7)
    coarse = tabulated(model, 12)
    assert abs(evaluate(coarse)[0].energy_eV - exact[0].energy_eV) > 1e-6
    there = structures(1)[0]
    step = np.zeros_like(there.positions)
    step[2, 1] = 1e-4
    energies = [
        EagerPredictor(coarse)
        .predict([Structure("", there.atomic_numbers, there.positions + sign * step)])[0]
        .energy_eV
        for sign in (1, -1)
    ]
    assert -(energies[0] - energies[1]) / 2e-4 == pytest.approx(
        EagerPredictor(coarse).predict([there])[0].forces_eV_per_A[2, 1], abs=1e-6
    )
    assert "not table" in why_unsupported(coarse)
    assert predictor_of(coarse).runtime == "eager"


@pytest.mark.parametrize("floor", [False, True])
def test_a_fine_table_has_all_that_is_seen_of_distances_from_contact(floor):
    """The largest atoms are farthest from it where they touch, far below the first center."""
    torch.manual_seed(1)
    shape = SHAPE | {"max_z": 55, "floor": floor, "from_contact": True, "pair_elements": [55]}
    model = build_model("painn", shape).double()
    torch.nn.init.normal_(model.pair_energies.table)
    fine, lone = (
        tabulated(model, 4000),
        EagerPredictor(model).predict([Structure("", np.array([55]), np.zeros((1, 3)))])[0],
    )
    pairs = [
        Structure("", np.array([55, 55]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, d]])) for d in (0.4, 1.5, 2.9, 3.6, 4.5)
    ]
    exact = EagerPredictor(model).predict(pairs)
    assert all(abs(pair.energy_eV - 2 * lone.energy_eV) > 1e-4 for pair in exact)
    assert_equal(EagerPredictor(fine).predict(pairs), exact, 1e-7)


def test_pairs_are_a_step_apart_and_no_pack_separates_them():
    data = in_pairs(from_structures(structures()), 0.05, 0)
    for k in range(0, len(data), 2):
        first, second = data.subset([k]), data.subset([k + 1])
        moved = second.positions - first.positions
        assert np.sqrt((moved**2).sum(-1).mean()) == pytest.approx(0.05, rel=1e-4)
    plan = PackedPairs(data, 5.0).plan(0, 0, 45)
    assert sorted(np.concatenate(plan)) == list(range(len(data)))
    assert all((chosen[1::2] == chosen[::2] + 1).all() and not (chosen[::2] % 2).any() for chosen in plan)
    assert max(data.sizes[chosen].sum() for chosen in plan) <= 45


def test_the_loss_of_pairs_is_that_of_hessian_vector_products():
    """Of two networks that differ in a harmonic term alone, whose Hessian is known."""
    torch.manual_seed(0)
    data = in_pairs(from_structures(structures()), 0.01, 0)
    pack = PackedPairs(data, 5.0).assemble(np.arange(len(data)))
    stiffness = 3.0
    own = pack.forces - stiffness * pack.positions
    loss = HessianLoss(**asdict(LOSS), hessian_weight=2.0, hessian_delta_eV_per_A2=1.0, step_A=0.01)
    added = loss(pack.energy, own, None, pack) - LOSS(pack.energy, own, None, pack)
    u = (pack.positions[pack.batch % 2 == 1] - pack.positions[pack.batch % 2 == 0]) / 0.01
    expected = 2.0 * (torch.sqrt(((stiffness * u) ** 2).sum(-1) + 1.0) - 1.0).mean()
    assert added.item() == pytest.approx(expected.item(), rel=2e-3)
    assert loss(pack.energy, pack.forces, None, pack).item() == pytest.approx(0.0, abs=1e-6)


def test_a_larger_student_labels_what_a_smaller_one_learns(model):
    data = from_structures(structures())
    labelled = relabelled(data, EagerPredictor(model))
    assert_equal(EagerPredictor(model).predict(list(data)), EagerPredictor(model).predict(list(labelled)), 0.0)
    assert labelled.energy[1] == pytest.approx(EagerPredictor(model).predict([data[1]])[0].energy_eV)
    assert not np.allclose(labelled.forces, data.forces)


def crystals(model, count=4):
    """Crystals with the labels of a model, but for the stress of the first one, beside an open molecule."""
    frames = []
    for k in range(count):
        atoms = bulk("CO", "rocksalt", a=4.0 + 0.05 * k, cubic=True)
        atoms.rattle(0.1, seed=k)
        frames.append(Structure.from_ase(atoms, f"crystal-{k}"))
    labelled = [p.label(s) for s, p in zip(frames, EagerPredictor(model).predict(frames), strict=True)]
    return [replace(labelled[0], stress_eV_per_A3=None), *labelled[1:], structures(1)[0]]


def test_stresses_are_learned_from_the_larger_student_and_measured_where_they_are_labelled(model):
    exact, predictor = crystals(model), EagerPredictor(model)
    assert stress_mae(predictor, exact) == pytest.approx(0.0, abs=1e-9)
    assert stress_mae(predictor, structures(2)) is None
    off = [s if s.stress_eV_per_A3 is None else replace(s, stress_eV_per_A3=s.stress_eV_per_A3 + 0.01) for s in exact]
    assert stress_mae(predictor, off) == pytest.approx(0.01)
    found = relabelled(from_structures(off), predictor).stress
    np.testing.assert_allclose(found[1:4], [s.stress_eV_per_A3 for s in exact[1:4]], atol=1e-9)
    assert np.isnan(found[[0, 4]]).all()


def test_virials_are_in_the_loss_of_a_form_where_structures_have_stresses(model, tmp_path):
    settings = {"tuning": {"loss": {"energy_weight": 4.0, "virial_weight": 0.5}}}
    for frames, weight in ((crystals(model), 0.5), (structures(4), 0.0)):
        data = from_structures(frames)
        assert Workshop(model, data, data, settings, tmp_path).loss["virial_weight"] == weight


@needs_engine
@pytest.mark.slow
def test_the_workshop_makes_every_form_and_training_brings_it_nearer(tmp_path):
    torch.manual_seed(0)
    student = build_model("painn", SHAPE | {"rank": 2, "hidden": 8})
    data = relabelled(from_structures(structures(12)), EagerPredictor(student))
    tuning = {"steps": 160, "atoms_per_step": 60, "matrix_lr": 4e-3, "other_lr": 4e-3, "warmup": 2, "ema_decay": 0.8,
              "seed": 0, "validate_every": 20,
              "loss": asdict(LOSS)}  # fmt: skip
    hessian = {"hessian_weight": 0.1, "hessian_delta_eV_per_A2": 1.0, "step_A": 0.02}
    workshop = Workshop(student, data, data, {"tuning": tuning, "hessian": hessian}, tmp_path)

    def error(model):
        predictions = EagerPredictor(model).predict(list(data))
        return np.abs(np.concatenate([p.forces_eV_per_A for p in predictions]) - data.forces).mean()

    cut, tuned = workshop.pruned(4, False), workshop.pruned(4, True)
    assert cut.n_numbers == tuned.n_numbers < sum(p.numel() for p in student.parameters())
    assert error(tuned.model) < 0.9 * error(cut.model)
    assert workshop.low_rank(0.25).n_numbers < sum(p.numel() for p in student.parameters())
    assert workshop.smaller(cut.model, None).model is cut.model
    for learns in ("labels", "forces", "hessians"):
        assert error(workshop.smaller(cut.model, learns).model) < 0.9 * error(cut.model), learns
    save(tuned, tmp_path / "form.pt", Scope(), None)
    assert torch.load(tmp_path / "form.pt", weights_only=True)["n_numbers"] == tuned.n_numbers


@needs_engine
@pytest.mark.slow
def test_what_an_earlier_student_left_is_no_state_of_another(tmp_path, monkeypatch):
    tuning = {"steps": 6, "atoms_per_step": 60, "matrix_lr": 4e-3, "other_lr": 4e-3, "warmup": 2, "ema_decay": 0.8,
              "seed": 0, "validate_every": 2, "loss": asdict(LOSS)}  # fmt: skip
    networks = []
    for seed in range(2):
        torch.manual_seed(seed)
        networks.append(build_model("painn", SHAPE | {"rank": 2, "hidden": 8}))
    data = relabelled(from_structures(structures(12)), EagerPredictor(networks[0]))

    def tuned(network, folder):
        return Workshop(network, data, data, {"tuning": tuning}, folder).pruned(4, True).model.state_dict()

    clean = tuned(networks[1], tmp_path / "clean")
    assert not list(tmp_path.glob("clean/*.state.pt"))
    monkeypatch.setattr(methods, "remove_states", lambda *_: None)  # as where it was killed before
    tuned(networks[0], tmp_path / "used")
    assert list(tmp_path.glob("used/*.state.pt"))
    assert all(torch.equal(clean[name], own) for name, own in tuned(networks[1], tmp_path / "used").items())


def test_a_form_keeps_what_its_student_was_taught_and_by_whom(model, tmp_path):
    scope = Scope(("H", "C", "O"), (0,), (1,), (0,), (2, 12), (1.0, 9.0), 6)
    save(made(model), tmp_path / "form.pt", scope, "GFN2-xTB")
    silane = Structure.from_ase(molecule("SiH4"))
    with pytest.raises(AssayError, match=r"holds Si, which .*form\.pt was not trained on"):
        load_predictor(tmp_path / "form.pt").predict([silane])
    assert normalize(tmp_path / "form.pt").scope == scope
    assert teacher_of({"checkpoint": str(tmp_path / "form.pt")}, {"name": "another"})["name"] == "GFN2-xTB"
    for beside in tmp_path.glob("*.json"):
        beside.unlink()
    assert normalize(tmp_path / "form.pt").elements == ["H", "C", "O"], "the file itself says so"
    save(made(model), tmp_path / "form.pt", Scope(reason="nothing tells"), None)
    assert normalize(tmp_path / "form.pt").elements is None


def test_a_form_goes_on_to_say_what_was_assumed_of_its_student(model, tmp_path):
    """Its own config states all settings, as that of a student who told them does."""
    bare, data = tmp_path / "bare.pt", from_structures(structures(3))
    torch.save(model.state_dict(), bare)
    student = normalize(bare)
    assert {"epsilon", "repulsion"} <= set(student.in_doubt)
    save(made(student.build()), tmp_path / "form.pt", Scope(), None, student.in_doubt)
    form = normalize(tmp_path / "form.pt")
    assert form.in_doubt == student.in_doubt == begin(tmp_path / "form.pt", data, None).in_doubt
    assert "goes back to tensors" in form.doubts()[0]
    assert form.card("x")["hyperparameter_sources"]["epsilon"] == "assumed"
    save(made(model), tmp_path / "form.pt", Scope(), None)
    assert not normalize(tmp_path / "form.pt").doubts()


def test_a_smaller_student_begins_at_the_zero_of_energy_of_the_data(tmp_path):
    """And with rows for their elements; one of the same teacher and elements is taken as it is."""
    torch.manual_seed(1)
    small = build_model("painn", SHAPE | {"rank": 1, "max_z": 8})
    save(made(small), tmp_path / "small.pt", Scope(("H", "C", "O")), "GFN2-xTB")
    data = from_structures(structures(12))
    shift = {1: -13.6, 6: -1030.0, 8: -2040.0, 16: -10800.0}
    shifts = np.array([sum(map(shift.get, structure.atomic_numbers.tolist())) for structure in data])
    errors = []
    for energy in (data.energy, data.energy + shifts):
        begun = begin(tmp_path / "small.pt", replace(data, energy=energy), "PBE")
        found = np.array([p.energy_eV for p in EagerPredictor(begun.model).predict(list(data))])
        errors.append(found - energy)
        assert begun.teacher == "GFN2-xTB" and begun.scope.elements == ("H", "C", "O", "S")
    np.testing.assert_allclose(errors[0], errors[1], atol=1e-3)
    assert np.abs(errors[1]).max() < 10.0
    known = data.subset([k for k, s in enumerate(data) if 16 not in s.atomic_numbers])
    same = begin(tmp_path / "small.pt", known, "gfn2-xtb")
    assert all(torch.equal(own, same.model.state_dict()[name]) for name, own in small.state_dict().items())
    assert same.scope.elements == ("H", "C", "O")
    more = begin(tmp_path / "small.pt", data, "GFN2-xTB")  # of the same teacher, and an element besides
    assert more.scope.elements == ("H", "C", "O", "S") and more.model.max_z >= 16


def test_other_architectures_are_refused():
    other = build_model("seed-painn", {"hidden": 4, "n_blocks": 1, "n_rbf": 4})
    with pytest.raises(AssayError, match="students of the architecture seed-painn are not compressed"):
        Workshop(other, None, None, {}, None)


def test_the_plan_has_each_form_of_the_config():
    settings = load_config(ROOT / "config")["compress"] | {"channels": [16], "rank_shares": [0.5]}
    assert list(forms(settings)) == [
        "pruned-16", "pruned-16-tuned", "low-rank-0.5", "smaller", "smaller-labels", "smaller-forces",
        "smaller-hessians",
    ]  # fmt: skip
    assert list(forms(settings | {"smaller": None, "channels": []})) == ["low-rank-0.5"]


def row(name, size=0.3, time=0.7, force=1.05, failed=(), kind="network", **others):
    return {
        "form": name, "kind": kind, "size_ratio": size, "time_ratio": {"median": time, "p5": time, "p95": time},
        "force_mae_ratio": force, "energy_mae_ratio": 1.2, "stress_mae_ratio": None, "energy_force_consistency": 1e-4,
        "nve_drift_meV_per_atom_per_ps": 0.1, "failed": list(failed),
    } | others  # fmt: skip


def test_a_form_pays_only_if_all_limits_hold():
    student = row("student", 1.0, 1.0, 1.0, ["torsions"])
    assert pays(row("good", failed=["torsions"]), student, LIMITS)
    assert pays(row("of crystals", stress_mae_ratio=1.2), student, LIMITS)
    assert pays(row("small alone", time=1.0), student, LIMITS) and pays(row("fast alone", size=1.0), student, LIMITS)
    for bad in (
        row("neither", size=1.0, time=1.0),
        row("slow", time=1.2),
        row("inaccurate", force=1.2),
        row("unsound", failed=["minima"]),
        row("no gradient", energy_force_consistency=0.5),
        row("wrong energies", energy_mae_ratio=30.0),
        row("wrong stresses", stress_mae_ratio=2.0),
        row("drifts", nve_drift_meV_per_atom_per_ps=0.3),
        row("blows up", nve_drift_meV_per_atom_per_ps=None),
    ):
        assert not pays(bad, student, LIMITS), bad["form"]


def test_the_fastest_form_that_pays_is_recommended_and_a_table_or_factors_never_are(model):
    student = row("student", 1.0, 1.0, 1.0)
    rows = [
        student,
        row("a", time=0.7),
        row("b", time=0.6),
        row("c", time=0.5, force=2.0),
        row("t", 1, 0.1, kind="table"),
        row("f", 0.1, 0.1, kind=kind_of(*factored(model, 0.25))),
    ]
    assert recommendation(rows, LIMITS)["form"] == "b"
    assert kind_of(model, made(model).n_numbers) == rows[1]["kind"]
    nothing = recommendation([student, row("c", force=2.0), row("d", force=1.5)], LIMITS)
    assert nothing["form"] is None
    assert nothing["says"].startswith("Nothing pays") and "smaller form is d" in nothing["says"]


def test_of_fewer_bits_the_room_that_measured_them_decides():
    scheme = {"size_ratio": 0.3, "force_mae_increase_relative": 0.5, "energy_mae_increase_relative": 0.1,
              "energy_force_consistency": 0.001, "nve_drift_meV_per_atom_per_ps": 0.1,
              "latency": {"batch32": {"ratio": {"median": 0.5, "p5": 0.4, "p95": 0.6}}}}  # fmt: skip
    for recommended in (True, False):
        rows = eight_bits(
            {"chosen": "weights", "recommended": recommended, "schemes": {"weights": scheme, "fp16": scheme}}
        )
        assert [r["form"] for r in rows] == ["float16", "int8 (weights)"]
        assert [pays(r, row("student"), LIMITS) for r in rows] == [False, recommended]
        assert rows[0]["force_mae_ratio"] == pytest.approx(1.5)
        assert rows[0]["energy_mae_ratio"] == pytest.approx(1.1)


def test_each_form_is_compared_with_the_student_by_numbers_of_its_own(model, monkeypatch):
    timed = {"student": {"median": 1.0}, "low": {"median": 0.6}}
    monkeypatch.setattr("assay.compression.comparison.times", lambda *_: (timed, {"median": 0.3}))
    judged = []
    monkeypatch.setattr("assay.compression.comparison.measure", lambda *of: judged.append(of[0]) or measure(*of))
    model = copy.deepcopy(model).float()
    changed = copy.deepcopy(model)
    for parameter in changed.parameters():
        parameter.data *= 1.02
    n_numbers = sum(p.numel() for p in model.parameters())
    settings = {"table_points": [40], "seconds": 0.0, "molecules": 2, "limits": LIMITS}
    settings |= {"motion": {"temperature_K": 300.0, "step_fs": 0.5, "duration_fs": 4.0}}
    settings |= {"without_checks": [name for name in CHECKS if name != "net_force"]}
    physics = {"dynamics": {}, "seed": 0, "thresholds": THRESHOLDS}
    rows, said = compare(
        model, {"low": (changed, n_numbers // 2)}, {"chosen": "weights", "recommended": False, "schemes": {}},
        structures(), toy_reference(), settings, physics, None, None,
    )  # fmt: skip
    student, low, table = rows
    assert [row["form"] for row in rows] == ["student", "low", "table-40"]
    assert [row["kind"] for row in rows] == ["network", "factors", "table"]
    assert [row["size_ratio"] for row in rows] == [1.0, pytest.approx(0.5, abs=2 / n_numbers), 1.0]
    assert [row["time_ratio"]["median"] for row in rows] == [1.0, 0.6, 0.3]
    own, other = (errors(EagerPredictor(network), structures()) for network in (model, changed))
    assert (student["force_mae_ratio"], student["energy_mae_ratio"], low["stress_mae_ratio"]) == (1.0, 1.0, None)
    for ratio, key in (("force_mae_ratio", "force_mae_eV_per_A"), ("energy_mae_ratio", "energy_mae_eV_per_atom")):
        assert low[ratio] == pytest.approx(other[key] / own[key], rel=1e-3) and abs(low[ratio] - 1.0) > 1e-4
        assert table[ratio] == pytest.approx(1.0, rel=0.1)
    assert {row["verdict"] for row in rows} == {"md-ready"} and said["form"] is None, "no file holds factors"
    assert [(subject.predictor.dtype, subject.moving.dtype) for subject in judged] == [("float64", "float32")] * 3


def test_made_counts_the_parameters(model):
    assert made(copy.deepcopy(model)).n_numbers == sum(p.numel() for p in model.parameters())
