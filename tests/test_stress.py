"""Stress: that every runtime gives it with ASE's sign and unit, and how its errors are summed up."""

from dataclasses import replace

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa

from assay.accuracy.evaluation import accuracy_of_split
from assay.accuracy.figures import draw_parity
from assay.accuracy.metrics import confidence_intervals, metrics
from assay.checkpoint import normalize, write
from assay.data import read_dataset
from assay.data.dataset import from_structures
from assay.export import onnx_graphs, torchscript
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.predictors.interface import Prediction, load_predictor
from assay.predictors.structure_files import PredictionFiles
from assay.structures.structure import Structure
from shared.checkpoint_samples import store, student
from shared.physics_toys import predictor
from shared.predict_labelled import JUDGED, predict_labelled
from shared.report_results import change, make_benchmarks, make_results, read, write_report


def crystal(seed=0, size=(2, 2, 1)):
    """Carbon and oxygen on a strained and rattled lattice."""
    atoms = bulk("C", "fcc", a=3.3, cubic=True) * size
    atoms.numbers[::3] = 8
    atoms.rattle(0.08, seed=seed)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + np.array([[0.02, 0.01, 0], [0, -0.03, 0.02], [0, 0, 0.01]])), True)
    return atoms


def labelled(count=12, without=()):
    """Crystals with labels of a Lennard-Jones calculator, some without a stress."""
    structures = []
    for k in range(count):
        atoms = crystal(k)
        atoms.calc = LennardJones(epsilon=0.05, sigma=2.4, rc=6.0)
        atoms.get_forces(), atoms.get_stress()
        structure = Structure.from_ase(atoms, f"crystal {k}")
        structures.append(replace(structure, stress_eV_per_A3=None) if k in without else structure)
    return structures


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A painn in every form that gives a stress."""
    folder, model = tmp_path_factory.mktemp("forms"), student("painn")
    store(folder, {"model": model.state_dict(), "training": {"elements": ["C", "O"]}}, "model.pt")
    checkpoint = normalize(folder / "model.pt")
    write(checkpoint, "test", folder / "model.safetensors", folder / "model.json")
    metadata, network = export_metadata(model, checkpoint.card("test")), lower(model)
    edges = onnx_graphs.assemble(network, model.cutoff, metadata, search=False)
    onnx_graphs.save(edges, folder / "model.edges.onnx")
    torchscript.save(torchscript.to_torchscript(network, model.cutoff), folder / "model.ts.pt", metadata)
    return folder


def strained(model, structure, step=1e-4):
    """The stress of a structure by central differences of the energy."""
    found, volume = np.zeros((3, 3)), abs(np.linalg.det(structure.cell))
    for i in range(3):
        for j in range(3):
            energies = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[i, j] += sign * step
                moved = replace(structure, positions=structure.positions @ strain, cell=structure.cell @ strain)
                energies.append(model.predict([moved])[0].energy_eV)
            found[i, j] = (energies[0] - energies[1]) / (2 * step * volume)
    return found


@pytest.mark.parametrize("runtime", ["eager", "engine"])
def test_stress_is_the_derivative_of_the_energy_by_strain(files, runtime):
    model, structure = (
        load_predictor(files / "model.pt", dtype="float64", runtime=runtime),
        Structure.from_ase(crystal()),
    )
    stress = model.predict([structure])[0].stress_eV_per_A3
    expected = strained(model, structure)
    assert np.abs(expected).max() > 1e-4
    assert stress == pytest.approx(expected, abs=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("file", ["model.safetensors", "model.edges.onnx", "model.ts.pt"])
def test_every_form_gives_one_stress(files, file):
    exact = load_predictor(files / "model.pt", dtype="float64")
    structures = [Structure.from_ase(crystal(k)) for k in range(3)]
    wanted = np.array([p.stress_eV_per_A3 for p in exact.predict(structures)])
    found = np.array([p.stress_eV_per_A3 for p in load_predictor(files / file).predict(structures)])
    assert found == pytest.approx(wanted, abs=1e-4 * np.abs(wanted).max())


def test_molecules_and_slabs_have_none_and_do_not_take_it_from_others(files):
    model, atoms = load_predictor(files / "model.pt", dtype="float64"), crystal()
    alone = model.predict([Structure.from_ase(atoms)])[0].stress_eV_per_A3
    slab, molecule = atoms.copy(), atoms[:4]
    slab.pbc, molecule.pbc, molecule.cell = (True, True, False), False, None
    together = model.predict([Structure.from_ase(each) for each in (molecule, atoms, slab)])
    assert together[0].stress_eV_per_A3 is None and together[2].stress_eV_per_A3 is None
    assert together[1].stress_eV_per_A3 == pytest.approx(alone, abs=1e-12)


def test_predictions_of_crystals_are_written_with_their_stress(files, tmp_path):
    model, atoms = load_predictor(files / "model.pt"), [crystal(), crystal()[:3]]
    atoms[1].pbc = False
    predictions = model.predict([Structure.from_ase(each) for each in atoms])
    with PredictionFiles(None, tmp_path / "out.xyz") as file:
        for each, prediction in zip(atoms, predictions, strict=True):
            file.write(each, prediction, {})
    one, other = ase.io.read(tmp_path / "out.xyz", ":")
    assert one.get_stress(voigt=False) == pytest.approx(predictions[0].stress_eV_per_A3, abs=1e-7)
    assert "stress" not in other.calc.results


class Off:
    """The labels, with a stress that is off by a constant tensor."""

    cutoff_A, max_z, elements, dtype = 5.0, 118, None, "float64"

    def __init__(self, structures, tensor):
        self.known, self.tensor = {s.name: s for s in structures}, tensor

    def predict(self, structures):
        own = [self.known[structure.name] for structure in structures]
        return [
            Prediction(
                s.energy_eV, s.forces_eV_per_A, None if self.tensor is None else s.stress_eV_per_A3 + self.tensor
            )
            if s.stress_eV_per_A3 is not None
            else Prediction(s.energy_eV, s.forces_eV_per_A)
            for s in own
        ]


TENSOR = np.array([[3.0, 1.0, 0.0], [1.0, -2.0, 0.0], [0.0, 0.0, 0.0]]) * 1e-3


def test_errors_of_the_stress_equal_their_definitions():
    structures = labelled(without=(3, 5))
    errors = predict_labelled(Off(structures, TENSOR), from_structures(structures)).errors
    found = metrics(errors)
    components = np.array([3.0, 2.0, 0.0, 0.0, 0.0, 1.0])  # xx, yy, zz, yz, xz, xy in meV/angstrom^3
    assert found["stress_mae_meV_per_A3"] == pytest.approx(components.mean())
    assert found["stress_rmse_meV_per_A3"] == pytest.approx(np.sqrt((components**2).mean()))
    assert found["stress_mae_GPa"] == pytest.approx(1e-3 * components.mean() / GPa)
    assert 1e-3 / GPa == pytest.approx(0.1602177, rel=1e-6)
    low, high = confidence_intervals(errors, [""] * len(errors), 50, 0.95, 0)["stress_rmse_GPa"]
    assert low == pytest.approx(high) == pytest.approx(found["stress_rmse_GPa"])
    judged = accuracy_of_split(errors, from_structures(structures), JUDGED)
    assert (judged["n_stress_labels"], judged["n_stresses"]) == (10, 10)
    assert judged["percentiles"]["stress_error_GPa"]["p5"] == pytest.approx(3e-3 / GPa), "of the largest component"
    rms = np.sqrt(
        np.mean(
            [np.square(s.stress_eV_per_A3[np.triu_indices(3)]) for s in structures if s.stress_eV_per_A3 is not None]
        )
    )
    assert judged["baselines"]["zero_force_mean_energy"]["stress_rmse_meV_per_A3"] == pytest.approx(1e3 * rms)


def test_a_student_without_stress_is_not_called_right_about_it():
    structures = labelled(4)
    errors = predict_labelled(Off(structures, None), from_structures(structures)).errors
    judged = accuracy_of_split(errors, from_structures(structures), JUDGED)
    assert (judged["n_stress_labels"], judged["n_stresses"], judged["stress_mae_GPa"]) == (4, 0, None)


def test_labels_without_stress_have_no_such_errors():
    structures = labelled(3, without=range(3))
    errors = predict_labelled(Off(structures, TENSOR), from_structures(structures)).errors
    assert errors.stress is None and not [key for key in metrics(errors) if "stress" in key]


def test_a_student_that_learned_nothing_of_stress_is_seen():
    structures = labelled(3)
    errors = predict_labelled(predictor(dtype=torch.float64), from_structures(structures)).errors
    assert metrics(errors)["stress_rmse_GPa"] > 0.1
    assert len(errors.subset(np.array([True, False, True])).stress) == 2


def test_parity_has_a_row_of_stress_where_a_split_has_one(tmp_path):
    crystals, plain = labelled(4), labelled(4, without=range(4))
    splits = {
        name: predict_labelled(Off(structures, TENSOR), from_structures(structures)).errors
        for name, structures in (("crystals", crystals), ("plain", plain))
    }
    for name, chosen in (("both.svg", splits), ("plain.svg", {"plain": splits["plain"]})):
        draw_parity(tmp_path / name, chosen)
    assert "stress component (GPa)" in (tmp_path / "both.svg").read_text()
    assert "stress" not in (tmp_path / "plain.svg").read_text()


def test_report_and_table_hold_the_errors_of_the_stress(tmp_path):
    folder = make_results(tmp_path / "results")
    known = {
        "stress_mae_GPa": 0.123,
        "stress_rmse_GPa": 0.234,
        "stress_mae_meV_per_A3": 0.77,
        "stress_rmse_meV_per_A3": 1.5,
    }

    def add(content):
        content["splits"]["larger_molecules"] |= {"n_stress_labels": 400, "n_stresses": 399, **known}

    change(folder, "accuracy", add)
    assert [student.has_stress for student in read(folder)] == [True] * 3
    summary = write_report(tmp_path / "report", folder, make_benchmarks(tmp_path, []))
    assert known.items() <= summary["variants"]["tiny"]["splits"]["larger_molecules"].items()
    assert "larger_molecules_stress_mae_GPa" in (tmp_path / "report/comparison.csv").read_text()
    page = (tmp_path / "report/report.html").read_text()
    assert ">0.123<" in page and ">399<" in page and "MAE (meV/Å³)" in page


def test_zeros_in_the_place_of_the_stress_of_a_molecule_are_no_label(tmp_path):
    """ASE and others write them where molecules stand beside crystals; as a virial they would be learned."""
    copper, water = bulk("Cu", cubic=True), molecule("H2O", cell=[9.0] * 3)
    for atoms in (copper, water):
        results = {"energy": -1.0, "forces": np.zeros((len(atoms), 3)), "stress": np.zeros(6)}
        atoms.calc = SinglePointCalculator(atoms, **results)
    ase.io.write(tmp_path / "mixed.xyz", [copper, water], format="extxyz")
    dataset = read_dataset(tmp_path / "mixed.xyz")
    assert np.isfinite(dataset.stress).all((1, 2)).tolist() == [True, False]
