"""Metrics against their definitions, written out atom by atom."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from assay.accuracy.evaluation import accuracy_of_split, with_both_forces, worst
from assay.accuracy.metrics import Errors, baselines, confidence_intervals, energy_after_element_shift, metrics
from assay.data import read_dataset
from assay.data.dataset import from_structures
from assay.data.formats import count_structures
from assay.data.hdf5 import write_hdf5
from assay.neighbors.lists import neighbor_list
from assay.predictors.interface import Prediction
from assay.structures.batching import count_edges, pack, pack_structures
from assay.structures.structure import Structure, collate
from assay.workflow.errors import AssayError
from shared.predict_labelled import JUDGED, predict_labelled


def make_dataset(count, seed=0):
    generator = np.random.default_rng(seed)
    structures = []
    for index in range(count):
        n = int(generator.integers(2, 9))
        structures.append(
            Structure(
                name=f"s{index}",
                atomic_numbers=generator.choice([1, 6, 8], n),
                positions=generator.normal(0, 2, (n, 3)),
                energy_eV=float(generator.normal(-50 * n, 3)),
                forces_eV_per_A=generator.normal(0, 1.5, (n, 3)),
                molecule=f"m{index // 3}",
            )
        )
    return from_structures(structures)


def errors_of(dataset, energy_noise=0.3, force_noise=0.2, seed=1):
    generator = np.random.default_rng(seed)
    return Errors(
        dataset.atomic_numbers,
        dataset.sizes,
        dataset.energy + generator.normal(0.1, energy_noise, len(dataset)),
        dataset.energy,
        dataset.forces + generator.normal(0, force_noise, dataset.forces.shape),
        dataset.forces,
    )


def test_metrics_equal_their_definitions():
    errors = errors_of(make_dataset(40))
    squares = labelled_squares = absolute = 0.0
    components, cosines = [], []
    for predicted, labelled in zip(errors.forces, errors.forces_teacher, strict=True):
        for p, t in zip(predicted, labelled, strict=True):
            squares, labelled_squares = squares + (p - t) ** 2, labelled_squares + t * t
            absolute += abs(p - t)
            components.append(t)
        cosines.append(predicted @ labelled / math.hypot(*predicted) / math.hypot(*labelled))
    mean, n = sum(components) / len(components), len(components)
    per_atom = [abs(e - t) / k for e, t, k in zip(errors.energy, errors.energy_teacher, errors.n_atoms, strict=True)]
    found = metrics(errors)
    assert found["force_accuracy"] == pytest.approx(1 - math.sqrt(squares / n) / math.sqrt(labelled_squares / n))
    assert found["force_r2"] == pytest.approx(1 - squares / sum((t - mean) ** 2 for t in components))
    assert found["force_mae_eV_per_A"] == pytest.approx(absolute / n)
    assert found["force_rmse_eV_per_A"] == pytest.approx(math.sqrt(squares / n))
    assert found["force_cosine"] == pytest.approx(sum(cosines) / len(cosines))
    assert found["energy_mae_eV_per_atom"] == pytest.approx(sum(per_atom) / len(per_atom))
    assert found["energy_rmse_eV_per_atom"] == pytest.approx(math.sqrt(sum(e * e for e in per_atom) / len(per_atom)))
    whole = [e * k for e, k in zip(per_atom, errors.n_atoms, strict=True)]
    assert found["energy_mae_eV"] == pytest.approx(sum(whole) / len(whole))
    assert found["energy_rmse_eV"] == pytest.approx(math.sqrt(sum(e * e for e in whole) / len(whole)))
    left = [e / k for e, k in zip(energy_after_element_shift(errors), errors.n_atoms, strict=True)]
    shifted = {key.split("_")[1]: value for key, value in found.items() if "after_element_shift_eV_per_atom" in key}
    assert shifted["mae"] == pytest.approx(sum(map(abs, left)) / len(left))
    assert shifted["rmse"] == pytest.approx(math.sqrt(sum(e * e for e in left) / len(left)))
    assert shifted["rmse"] < found["energy_rmse_eV_per_atom"]


def test_each_element_and_each_size_has_the_errors_of_its_own():
    dataset = make_dataset(40)
    errors = errors_of(dataset)
    judged = accuracy_of_split(errors, dataset, JUDGED.model_copy(update={"size_bins": [6, 4]}))
    off = errors.forces - errors.forces_teacher
    for symbol, z in (("H", 1), ("C", 6), ("O", 8)):
        own, labels = off[errors.atomic_numbers == z], errors.forces_teacher[errors.atomic_numbers == z]
        rmse, rms = np.sqrt((own**2).mean()), np.sqrt((labels**2).mean())
        expected = {"n_atoms": len(own), "force_mae_eV_per_A": np.abs(own).mean(), "force_rmse_eV_per_A": rmse}
        expected |= {"force_rms_teacher_eV_per_A": rms, "force_accuracy": 1.0 - rmse / rms}
        expected["force_cosine"] = errors.cosine[errors.atomic_numbers == z].mean()
        assert judged["per_element"][symbol] == pytest.approx(expected)
    bins = [(1, 4), (5, 6), (7, None)]
    for row, (low, high) in zip(judged["per_size"], bins, strict=True):
        own = [k for k, n in enumerate(errors.n_atoms) if low <= n <= (high or n)]
        assert (row["n_atoms_min"], row["n_atoms_max"], row["n_structures"]) == (low, high, len(own))
        assert row["force_mae_eV_per_A"] == pytest.approx(np.abs(off[np.isin(errors.owner, own)]).mean())
        assert row["energy_mae_eV_per_atom"] == pytest.approx(np.abs(errors.energy_error_per_atom[own]).mean())


def test_percentiles_are_of_what_they_are_called_in_its_unit():
    forces = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [3.0, 0.0, 0.0]])
    predicted = np.array([[0.0, 1.0, 0.0], [0.0, 4.0, 0.0], [-3.0, 0.0, 0.0]])  # turned, twice as large, turned round
    hydrogen = Structure("H", np.array([1]), np.zeros((1, 3)), energy_eV=0.0)
    frames = [replace(hydrogen, forces_eV_per_A=forces[[k]]) for k in range(3)]
    dataset = from_structures(frames)
    errors = Errors(
        dataset.atomic_numbers, dataset.sizes, np.array([0.1, -0.3, 0.5]), dataset.energy, predicted, forces
    )
    found = accuracy_of_split(errors, dataset, JUDGED)["percentiles"]
    assert {name: (own.get("p50"), own.get("p100")) for name, own in found.items()} == {
        "force_error_eV_per_A": pytest.approx((2.0, 6.0)),
        "force_size_error_eV_per_A": pytest.approx((0.0, 2.0)),
        "force_angle_deg": pytest.approx((90.0, 180.0)),
        "energy_error_eV_per_atom": pytest.approx((0.1, 0.5)),
        "stress_error_GPa": (None, None),
    }
    assert found["energy_error_eV_per_atom"]["p5"] == pytest.approx(-0.26)


def test_angle_ignores_atoms_without_force():
    forces = np.array([[1.0, 0, 0], [0.0, 1e-3, 0]])
    errors = Errors(
        np.array([1, 1]), np.array([2]), np.zeros(1), np.zeros(1), np.array([[2.0, 0, 0], [1, 0, 0]]), forces
    )
    assert metrics(errors)["force_cosine"] == pytest.approx(1.0)


def test_element_shift_is_removed_and_nothing_else():
    dataset = make_dataset(60)
    errors = errors_of(dataset, energy_noise=0.0, force_noise=0.0)
    shift = {1: 0.7, 6: -2.0, 8: 0.3}
    errors.energy = errors.energy_teacher + errors.per_structure(np.vectorize(shift.get)(errors.atomic_numbers))
    assert np.abs(energy_after_element_shift(errors)).max() < 1e-9
    assert metrics(errors)["energy_mae_eV_per_atom"] > 0.1
    errors.energy[3] += 1.0
    assert np.abs(energy_after_element_shift(errors)[3]) > 0.5


def test_as_many_constants_as_structures_leave_no_error_to_tell():
    water_and_methane = np.array([1, 1, 8, 6, 1, 1, 1, 1])
    errors = Errors(
        water_and_methane, np.array([3, 5]), np.array([100.0, -50.0]), np.zeros(2), np.zeros((8, 3)), np.ones((8, 3))
    )
    found = metrics(errors)
    assert found["energy_mae_eV"] == 75.0
    assert found["energy_mae_after_element_shift_eV_per_atom"] is None
    interval = confidence_intervals(errors, ["", ""], 50, 0.95, 0)
    assert interval["energy_mae_after_element_shift_eV_per_atom"] == [None, None]


def test_forces_below_what_a_label_can_be_have_no_share_that_is_explained():
    labels = 1e-6 * np.random.default_rng(0).normal(size=(2, 3))
    found = metrics(Errors(np.array([1, 8]), np.array([1, 1]), np.zeros(2), np.zeros(2), np.full((2, 3), 0.1), labels))
    assert found["force_accuracy"] is None and found["force_r2"] is None


def test_zero_force_baseline_has_no_accuracy():
    base = baselines(errors_of(make_dataset(50)))["zero_force_mean_energy"]
    assert base["force_accuracy"] == pytest.approx(0.0, abs=1e-12)
    assert base["force_r2"] <= 0.0
    assert base["energy_mae_eV_per_atom"] > 0.1


def test_energies_that_a_constant_explains_leave_a_baseline_no_error():
    errors = errors_of(make_dataset(50))
    of_elements = errors.per_structure(np.vectorize({1: -2.0, 6: -9.0, 8: -20.0}.get)(errors.atomic_numbers))
    for energies, unexplained in ((-7.0 * errors.n_atoms, [False, False]), (of_elements, [True, False])):
        errors.energy_teacher = energies
        maes = [found["energy_mae_eV_per_atom"] for found in baselines(errors).values()]
        assert list(baselines(errors)) == ["zero_force_mean_energy", "zero_force_constant_per_element"]
        assert [mae > 1e-9 for mae in maes] == unexplained


@pytest.mark.parametrize("size", [0.0, 1e-16, 1e-6])
def test_forces_that_are_none_tell_no_accuracy(size):
    dataset = make_dataset(20)
    dataset = replace(dataset, forces=size * dataset.forces)
    found = accuracy_of_split(errors_of(dataset), dataset, JUDGED)
    assert found["force_accuracy"] is None
    assert found["confidence_intervals"]["force_accuracy"] == [None, None]
    assert {element["force_accuracy"] for element in found["per_element"].values()} == {None}
    assert found["force_mae_eV_per_A"] > 0.1


def test_molecules_without_a_name_are_counted_one_by_one():
    dataset = make_dataset(6)
    names = np.array(["", "water", "", "water", "ice", ""], dtype=object)
    dataset = replace(dataset, molecules=names)
    found = accuracy_of_split(errors_of(dataset), dataset, JUDGED)
    assert found["n_molecules"] == 5


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    everything = errors_of(make_dataset(4000))
    truth, owner = metrics(everything)["force_mae_eV_per_A"], np.arange(4000) // 100
    inside = 0
    for part in range(40):
        found = confidence_intervals(everything.subset(owner == part), [""] * 100, 200, 0.9, seed=part)
        low, high = found["force_mae_eV_per_A"]
        inside += low <= truth <= high
    assert 30 <= inside <= 40


def frames_of_molecules(n_molecules, n_frames, generator):
    """Errors of frames of six atoms, of molecules with an error of their own each, 0.05 eV/angstrom in the mean."""
    n = n_molecules * n_frames
    scale = np.repeat(generator.gamma(4, 0.05 / 4, n_molecules), 6 * n_frames)
    forces = generator.normal(0, 1, (6 * n, 3))
    predicted = forces + scale[:, None] * generator.choice([-1, 1], forces.shape)
    errors = Errors(np.full(6 * n, 6), np.full(n, 6), np.zeros(n), np.zeros(n), predicted, forces)
    return errors, [f"m{k}" for k in range(n_molecules) for _ in range(n_frames)]


def test_intervals_cover_the_truth_about_as_often_as_they_say_where_molecules_have_many_frames():
    generator, inside = np.random.default_rng(1), 0
    for part in range(60):
        errors, molecules = frames_of_molecules(30, 20, generator)
        low, high = confidence_intervals(errors, molecules, 200, 0.9, seed=part)["force_mae_eV_per_A"]
        inside += low <= 0.05 <= high
    assert 48 <= inside <= 60


def test_intervals_of_one_frame_a_molecule_are_those_of_structures():
    errors, names = errors_of(make_dataset(30)), [f"m{k}" for k in range(30)]
    unnamed = confidence_intervals(errors, [""] * 30, 100, 0.95, seed=0)
    assert confidence_intervals(errors, names, 100, 0.95, seed=0) == unnamed
    counts = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30))
    absolute = np.abs(errors.energy_error_per_atom)
    once = confidence_intervals(errors, names, 1, 0.95, seed=0)["energy_mae_eV_per_atom"]
    assert once == pytest.approx([counts @ absolute / 30] * 2)


def test_one_molecule_alone_has_no_interval():
    dataset = make_dataset(3)
    errors = errors_of(dataset)
    assert set(dataset.molecules) == {"m0"} and metrics(errors)["force_mae_eV_per_A"] > 0
    found = confidence_intervals(errors, dataset.molecules, 20, 0.95, seed=0)
    assert found.keys() == metrics(errors).keys()
    assert all(ends == [None, None] for ends in found.values())
    errors.forces_teacher[errors.owner > 0] = 0.0
    apart = confidence_intervals(errors, ["", "", ""], 20, 0.95, seed=0)
    assert apart["force_cosine"] == [None, None] and None not in apart["force_mae_eV_per_A"]


def test_intervals_resample_structures_and_not_atoms():
    dataset = make_dataset(30)
    errors = errors_of(dataset, force_noise=0.0)
    errors.forces[errors.owner == 0] += 1.0
    low, high = confidence_intervals(errors, [""] * 30, 500, 0.95, seed=0)["force_mae_eV_per_A"]
    assert low == 0.0
    assert high > 2 * metrics(errors)["force_mae_eV_per_A"]


def test_worst_names_the_worst():
    dataset = make_dataset(20)
    errors = errors_of(dataset)
    errors.forces[errors.owner == 13] *= 5.0
    rows = worst(errors, dataset, 3)
    off = (errors.forces - errors.forces_teacher)[errors.owner == 13]
    assert (rows[0]["name"], rows[0]["molecule"], rows[0]["n_atoms"]) == ("s13", "m4", len(off))
    assert rows[0]["force_rmse_eV_per_A"] == pytest.approx(np.sqrt((off**2).mean()))
    assert rows[0]["energy_error_eV_per_atom"] == (errors.energy[13] - errors.energy_teacher[13]) / len(off)
    first, *_ = with_both_forces(rows, errors, dataset)
    assert np.array_equal(first.arrays["student_forces"] - first.get_forces(), off)


class Echo:
    """Predicts half of the labels, so that a wrong order shows."""

    cutoff_A, max_z, elements, dtype = 5.0, 118, None, "float64"

    def predict(self, structures):
        return [Prediction(s.energy_eV / 2, s.forces_eV_per_A / 2) for s in structures]


def test_predictions_come_back_in_order_whatever_the_batches():
    errors = predict_labelled(Echo(), make_dataset(70)).errors
    assert np.allclose(errors.energy, errors.energy_teacher / 2)
    assert np.allclose(errors.forces, errors.forces_teacher / 2)
    assert metrics(errors)["force_accuracy"] == pytest.approx(0.5)


def test_split_is_complete_and_drawn_by_seed(tmp_path):
    settings = JUDGED.model_copy(update={"max_structures": 25, "size_bins": [4, 6], "resamples": 1000})
    write_hdf5(tmp_path / "set.h5", make_dataset(60))
    dataset, again = (read_dataset(tmp_path / "set.h5", settings.max_structures, settings.seed) for _ in range(2))
    judged = accuracy_of_split(errors_of(dataset), dataset, settings)
    assert (judged["n_structures"], count_structures(tmp_path / "set.h5")) == (25, 60)
    assert list(dataset.names) == list(again.names)
    assert sum(row["n_structures"] for row in judged["per_size"]) == 25
    assert sum(row["n_atoms"] for row in judged["per_element"].values()) == judged["n_atoms"]
    for name, (low, high) in judged["confidence_intervals"].items():
        assert low <= judged[name] <= high


def test_packs_hold_every_structure_once_within_their_limits():
    generator = np.random.default_rng(0)
    atoms = generator.integers(1, 120, 300)
    edges = atoms * generator.integers(1, 40, 300)
    batches = pack(atoms, edges, max_atoms=200, max_edges=3000)
    assert sorted(np.concatenate(batches)) == list(range(300))
    for batch in batches:
        assert len(batch) == 1 or (atoms[batch].sum() <= 200 and edges[batch].sum() <= 3000)
    assert pack([], []) == []


def test_edges_are_counted_as_the_neighbor_list_counts_them():
    structures = list(make_dataset(20))
    _, positions, batch = collate(structures)
    edge_index, _ = neighbor_list(positions.double(), batch, 3.1)
    assert sum(count_edges(structure, 3.1) for structure in structures) == edge_index.shape[1]
    assert len(pack_structures(structures, 3.1, max_edges=10)) > 1


class Holey(Echo):
    """A model that knows hydrogen, carbon and oxygen, and has no energy for one structure."""

    name, max_z, elements, dtype = "holey", 8, None, "float32"

    def predict(self, structures):
        broken = [replace(s, energy_eV=np.nan) if s.name == "s7" else s for s in structures]
        return super().predict(broken)


def test_structures_without_a_prediction_are_named_and_the_rest_is_judged():
    structures = list(make_dataset(20))
    structures[3] = replace(structures[3], positions=structures[3].positions * 1e6)
    structures[5] = replace(structures[5], atomic_numbers=np.full(len(structures[5]), 9))
    dataset = replace(from_structures(structures), numbers=100 + np.arange(20))
    found = predict_labelled(Holey(), dataset, "mine")
    assert [(row["name"], row["number"]) for row in found.without] == [("s3", 103), ("s5", 105), ("s7", 107)]
    assert "angstrom apart" in found.without[0]["reason"] and "holds F" in found.without[1]["reason"]
    assert found.without[2]["reason"] == "energy or forces are not finite"
    assert found.sentence.startswith("3 of 20 structures have no prediction") and found.record["n_structures"] == 3
    assert len(found.errors) == len(found.dataset) == 17 and np.isfinite(found.errors.energy).all()
    assert list(found.dataset.numbers) == [100 + k for k in range(20) if k not in (3, 5, 7)]
    json.dumps(accuracy_of_split(found.errors, found.dataset, JUDGED), allow_nan=False)
    whole = predict_labelled(Holey(), from_structures(structures[10:]))
    assert whole.sentence == "" and whole.record == {"n_structures": 0, "structures": []}
    with pytest.raises(AssayError, match=r"no structure of mine can be judged: 1 of 1 .* s3 \(number 0\)"):
        predict_labelled(Holey(), from_structures(structures[3:4]), "mine")
