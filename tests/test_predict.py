"""scripts/predict.py, the first contact with a model, and the predictor behind it."""

import json
import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from types import SimpleNamespace

import ase.io
import ase.neighborlist
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, graphene, molecule

from assay.checkpoint import normalize, write
from assay.data import read_dataset
from assay.engine.library import library_path
from assay.engine.model_file import to_bytes
from assay.export.metadata import export_metadata
from assay.predictors.interface import BACKENDS, Prediction, kind_of, load_predictor
from assay.predictors.named import add_arguments, named_model
from assay.predictors.networks import EagerPredictor
from assay.predictors.structure_files import PredictionFiles, predict_frames, read_frames
from assay.structures.batching import count_edges
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from shared.checkpoint_samples import store, student, torch_bytes

SCRIPT = Path(__file__).parents[1] / "scripts/predict.py"
MOLECULES = ["H2O", "CH3CH2OH", "NH3", "C6H6"]


def predict(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A painn in a raw checkpoint, which tells its settings, and the elements it was trained on."""
    content = {"model_state_dict": student("painn").state_dict(), "training": {"elements": ["H", "C", "N", "O"]}}
    config = {"envelope": "polynomial", "activation": "silu", "epsilon": 1e-8, "repulsion": False, "floor": False}
    return store(tmp_path_factory.mktemp("model"), content | {"config": config})


@pytest.fixture
def molecules(tmp_path):
    path = tmp_path / "molecules.xyz"
    ase.io.write(path, [molecule(name) for name in MOLECULES])
    return path


def test_table_json_and_extended_xyz(checkpoint, molecules, tmp_path):
    result = predict(checkpoint, molecules, "--json", tmp_path / "out.json", "--output", tmp_path / "out.xyz")
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "out.json").read_text())
    frames = ase.io.read(tmp_path / "out.xyz", ":")
    table = [line.split() for line in result.stdout.splitlines()[1:-2]]
    assert "which are unknown: " in result.stdout and "outside of it" not in result.stdout
    expected = EagerPredictor(normalize(checkpoint).build()).predict(
        [Structure.from_ase(molecule(name)) for name in MOLECULES]
    )
    assert len(rows) == len(frames) == len(table) == len(expected) == 4
    for row, atoms, line, prediction in zip(rows, frames, table, expected, strict=True):
        assert set(row) == {"energy_eV", "forces_eV_per_A", "outside_scope"} and not row["outside_scope"]
        assert row["energy_eV"] == pytest.approx(prediction.energy_eV, abs=1e-4)
        np.testing.assert_allclose(row["forces_eV_per_A"], prediction.forces_eV_per_A, atol=1e-4)
        assert atoms.get_potential_energy() == pytest.approx(row["energy_eV"])
        np.testing.assert_allclose(atoms.get_forces(), row["forces_eV_per_A"], atol=1e-7)
        assert float(line[3]) == pytest.approx(row["energy_eV"], abs=1e-6)
        assert float(line[4]) == pytest.approx(np.linalg.norm(row["forces_eV_per_A"], axis=1).max(), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "content", "message"),
    [
        ("model", "nonsense", "structures.xyz is not extended XYZ: 'nonsense' stands where"),
        ("model", "2\n\nH 0 0 0\nSi 0 0 2\n", "holds Si, which"),
        ("model", "2\n\nH 0 0 0\nH 0 0 0\n", "do two of its atoms coincide?"),
        ("structures", "1\n\nH 0 0 0\n", "is no checkpoint that torch.save or safetensors writes"),
    ],
)
def test_errors_are_one_sentence(checkpoint, tmp_path, model, content, message):
    structures = tmp_path / "structures.xyz"
    structures.write_text(content)
    result = predict({"model": checkpoint, "structures": structures}[model], structures, "--json", tmp_path / "o.json")
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "o.json").exists()


def test_a_folder_does_not_hide_the_variant_of_its_name(tmp_path, monkeypatch):
    """Such as the one that ``unzip package.zip`` makes."""
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    parser = ArgumentParser()
    add_arguments(parser)
    assert named_model(parser.parse_args(["tiny"])).path.name == "tiny.pt"
    (tmp_path / "tiny").rmdir()
    (tmp_path / "tiny").touch()
    assert named_model(parser.parse_args(["tiny"])).path == Path("tiny"), "a file goes before"


def test_umlauts_in_names_and_comments_are_kept_in_the_locale_c(checkpoint, tmp_path):
    model, structures, output, table = (tmp_path / f"größe.{kind}" for kind in ("pt", "xyz", "out.xyz", "json"))
    shutil.copy(checkpoint, model)
    structures.write_text(GOOD.format(more='author="Müller"'), encoding="utf-8")
    command = [sys.executable, SCRIPT, model, structures, "--output", output, "--json", table]
    done = subprocess.run(command, env=os.environ | {"LC_ALL": "C"}, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "Müller" in output.read_text(encoding="utf-8") and len(json.loads(table.read_text())) == 1
    structures.unlink()
    done = subprocess.run(command, env=os.environ | {"LC_ALL": "C"}, capture_output=True, text=True, encoding="utf-8")
    assert done.stderr == f"Error: there is no file {structures}: check the path\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no file"),
        ("nonsense", "is not extended XYZ"),
        ("", "holds no structures"),
    ],
)
def test_no_table_is_begun_of_a_file_without_structures(checkpoint, tmp_path, content, message):
    structures = tmp_path / "structures.xyz"
    if content is not None:
        structures.write_text(content)
    result = predict(checkpoint, structures)
    assert (result.returncode, result.stdout) == (1, "") and message in result.stderr


def test_a_missing_file_of_structures_is_told_before_the_model_is_loaded(tmp_path):
    (tmp_path / "model.pt").write_text("no checkpoint")
    result = predict(tmp_path / "model.pt", tmp_path / "missing.xyz")
    assert result.returncode == 1 and "there is no file" in result.stderr and "missing.xyz" in result.stderr


def test_files_without_structures_are_refused(tmp_path):
    with pytest.raises(AssayError, match="there is no file"):
        list(read_frames(tmp_path / "missing.xyz"))
    (tmp_path / "empty.cif").touch()
    with pytest.raises(AssayError, match=r"empty\.cif"):
        list(read_frames(tmp_path / "empty.cif"))
    (tmp_path / "empty.xyz").touch()
    assert not list(read_frames(tmp_path / "empty.xyz"))


GOOD = "2\nProperties=species:S:1:pos:R:3 {more}\nO 0 0 0\nH 0 0 1\n"
BAD = {
    "Li": "1\n\nLi 0 0 0\n",
    "Q": "1\n\nQ 0 0 0\n",
    "coincide": "2\n\nH 0 0 0\nH 0 0 0\n",
    "apart": "2\n\nH 0 0 0\nH 0 0 1e6\n",
    "has no atoms: leave it out": "0\n\n",
    "`charge` 0.4, but a total charge is a whole number": "1\ncharge=0.4 \nH 0 0 0\n",
    "cut short": "5\n\nH 0 0 0\n",
}


def test_a_bad_structure_costs_no_other_its_prediction(checkpoint, tmp_path):
    structures, output, table = (tmp_path / name for name in ("all.xyz", "out.xyz", "out.json"))
    structures.write_text("\ufeff" + GOOD.format(more="name=12") + GOOD.format(more="").join([*BAD.values()]))
    result = predict(checkpoint, structures, "--json", table, "--output", output)
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert result.stderr.startswith("Error: there is no prediction of one structure (and of 6 more), but of all others")
    assert f"structure 1 of {structures}: Li holds Li" in result.stderr
    rows, frames = json.loads(table.read_text()), ase.io.read(output, ":")
    assert [row.get("error") is None for row in rows] == [True, False] * 7
    assert len(frames) == 7 and len({round(atoms.get_potential_energy(), 6) for atoms in frames}) == 1
    assert frames[0].info["name"] == 12
    for word in BAD:
        assert any(word in line and "no prediction: structure" in line for line in result.stdout.splitlines()), word


@pytest.mark.skipif(library_path() is None, reason="there is no C++ compiler for the engine")
def test_atoms_at_one_place_cost_no_other_structure_its_prediction_by_the_engine(checkpoint, tmp_path):
    model, structures = tmp_path / "model.assay", tmp_path / "all.xyz"
    network = normalize(checkpoint).build(torch.float32, "cpu")
    model.write_bytes(
        to_bytes(network, export_metadata(network, {"variant": "toy", "checkpoint_sha256": "0a"}), [1, 8])
    )
    structures.write_text(GOOD.format(more="") + BAD["coincide"] + GOOD.format(more=""))
    predictor = load_predictor(model)
    refusals = [answer.refusal for answer in predict_frames(predictor, read_frames(structures), structures)]
    assert refusals[0] == refusals[2] == "" and "structure 1 of" in refusals[1] and "do two of its" in refusals[1]
    water, pair = (
        Structure(name, *given)
        for name, given in (
            ("water", (np.array([8, 1, 1]), np.array([[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.0, -0.7, -0.5]]))),
            ("pair", (np.array([1, 1]), np.zeros((2, 3)))),
        )
    )
    found = predictor.predict([water, pair, water])
    assert np.isfinite([found[0].energy_eV, found[2].energy_eV]).all() and np.isnan(found[1].energy_eV)
    assert np.isnan(found[1].forces_eV_per_A).all() and np.isfinite(found[2].forces_eV_per_A).all()
    np.testing.assert_allclose(found[0].energy_eV, predictor.predict([water])[0].energy_eV, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"energy_eV": np.inf}, {"forces_eV_per_A": np.diag([0.0, np.nan, 0.0])}])
def test_a_prediction_with_one_number_that_is_none_is_refused(tmp_path, wrong):
    path = tmp_path / "all.xyz"
    path.write_text(GOOD.format(more=""))
    found = Prediction(**{"energy_eV": -1.0, "forces_eV_per_A": np.zeros((3, 3))} | wrong)
    [answer] = predict_frames(SimpleNamespace(predict=lambda _: [found]), read_frames(path), path)
    assert answer.prediction is None and "has no finite energy" in answer.refusal


def test_order_is_kept_over_batches(checkpoint):
    """Structures are packed by size, and come back where they were."""
    predictor = load_predictor(checkpoint, dtype="float64")
    structures = [Structure.from_ase(molecule(name)) for name in MOLECULES] + [Structure.from_ase(Atoms())]
    together = predictor.predict(structures * 40)
    assert len(together) == 200
    for index, structure in enumerate(structures):
        [alone] = predictor.predict([structure])
        for copy in together[index :: len(structures)]:
            assert copy.energy_eV == pytest.approx(alone.energy_eV, abs=1e-9)
            np.testing.assert_allclose(copy.forces_eV_per_A, alone.forces_eV_per_A, atol=1e-9)
    assert len({round(prediction.energy_eV, 6) for prediction in together}) == 5


def test_periodic_structure_counts_its_images(checkpoint):
    predictor = load_predictor(checkpoint, dtype="float64")
    cell = bulk("C", cubic=True)
    cell.rattle(0.05, seed=3)
    [small] = predictor.predict([Structure.from_ase(cell)])
    [large] = predictor.predict([Structure.from_ase(cell * (2, 1, 1))])
    cell.pbc = False
    [open_one] = predictor.predict([Structure.from_ase(cell)])
    assert large.energy_eV == pytest.approx(2 * small.energy_eV, abs=1e-9)
    np.testing.assert_allclose(large.forces_eV_per_A, np.tile(small.forces_eV_per_A, (2, 1)), atol=1e-9)
    assert abs(open_one.energy_eV - small.energy_eV) > 1e-3


def test_a_slab_needs_no_third_vector(checkpoint):
    """Its energy is that of the same slab in a box, and its atoms are counted rightly into batches."""
    predictor = load_predictor(checkpoint, dtype="float64")
    sheet = graphene("C2", a=2.5)
    sheet.rattle(0.05, seed=1)
    boxed = sheet.copy()
    boxed.center(vacuum=20.0, axis=2)
    assert not sheet.cell[2].any() and boxed.cell[2, 2] > 30
    flat, high = predictor.predict([Structure.from_ase(atoms) for atoms in (sheet, boxed)])
    assert flat.energy_eV == pytest.approx(high.energy_eV, abs=1e-9)
    np.testing.assert_allclose(flat.forces_eV_per_A, high.forces_eV_per_A, atol=1e-9)
    large = Structure.from_ase(sheet * (6, 6, 1))
    i = ase.neighborlist.neighbor_list("i", sheet * (6, 6, 1), 5.0)
    assert count_edges(large, 5.0) == pytest.approx(len(i), rel=0.15)


def test_unfit_structures_are_refused(checkpoint):
    predictor = load_predictor(checkpoint)
    for atoms, match in (
        (Atoms("F"), "holds F, which .* was not trained on"),
        (Atoms("X"), "holds X"),
        (Atoms("H", [[0, 0, np.nan]]), "not finite"),
        (Atoms("H", pbc=True), "lattice vectors that are zero"),
        (Atoms("H", pbc=True, cell=[[3, 0, 0], [6, 0, 0], [0, 0, 9]]), "dependent"),
        (Atoms("H", pbc=(1, 0, 0), cell=[0.05, 9, 9]), "closer than 0.1 angstrom"),
        (Atoms("H2", [[0, 0, 0], [0, 0, 1e6]], pbc=(1, 1, 0), cell=[4, 4, 0]), "more than 10000 angstrom apart"),
        (Atoms("H", [[0, 5e7, 0]]), "where its position loses digits"),
    ):
        with pytest.raises(AssayError, match=match):
            predictor.predict([Structure.from_ase(atoms)])


def test_elements_come_from_the_record_or_are_bounded_by_the_embedding(checkpoint, tmp_path):
    assert load_predictor(checkpoint).elements == {1, 6, 7, 8}
    write(normalize(checkpoint), "x", tmp_path / "model.safetensors", tmp_path / "model.json")
    assert load_predictor(tmp_path / "model.safetensors").elements == {1, 6, 7, 8}
    unknown = load_predictor(store(tmp_path, student("painn").state_dict()))
    assert unknown.elements is None
    assert unknown.predict([Structure.from_ase(Atoms("F"))])
    with pytest.raises(AssayError, match="holds Ne"):
        unknown.predict([Structure.from_ase(Atoms("Ne"))])


def test_kind_is_told_by_suffix_and_content(checkpoint, tmp_path):
    assert kind_of(checkpoint) == "checkpoint"
    assert kind_of(tmp_path / "a.onnx") == "onnx"
    assert kind_of(store(tmp_path, torch_bytes({})[:-30])) == "checkpoint"
    with pytest.raises(AssayError, match="there is no checkpoint"):
        load_predictor(tmp_path / "missing.pt")
    assert BACKENDS["checkpoint"] == "assay.predictors.networks"


def test_each_record_of_an_sdf_has_its_row(checkpoint, tmp_path):
    record = (
        "{}\n\n\n  2  0  0  0  0  0  0  0  0  0999 V2000\n    0.0 0.0 0.0 O   0  0\n    0.0 0.0 0.{} H   0  0\nM  END\n"
    )
    (tmp_path / "three.sdf").write_text("".join(record.format(f"at-{z}", z) + "$$$$\n" for z in (90, 95, 99)))
    result = predict(checkpoint, tmp_path / "three.sdf", "--json", tmp_path / "out.json")
    assert result.returncode == 0 and all(f"at-{z}" in result.stdout for z in (90, 95, 99)), result.stderr
    assert len({row["energy_eV"] for row in json.loads((tmp_path / "out.json").read_text())}) == 3


def test_what_extended_xyz_cannot_hold_is_left_out_of_predictions(tmp_path):
    """Such as the empty names of residues of a PDB file: the columns behind them shift, and nothing reads the file."""
    atoms = molecule("H2O")
    atoms.info |= {"empty": "", "lines": "a\nb", "path": "C:\\", "none": np.zeros(0), "comment": "two words"}
    kept = {"residues": np.array(["SOL", "SOL", "-"]), "weights": np.arange(3.0), "fixed": np.array([True] * 3)}
    lost = {"names": np.array(["OW", "", "HW"]), "words": np.array(["a b", "c", "d"]), "tensors": np.zeros((3, 3, 3))}
    lost |= {
        "types": np.arange(3, dtype=np.uint8),
        "x y": np.arange(3),
        "species": np.arange(3),
        "nothing": np.zeros((3, 0)),
    }
    for name, values in (lost | kept).items():
        atoms.set_array(name, values)
    forces = np.arange(9.0).reshape(3, 3)
    with PredictionFiles(None, tmp_path / "out.xyz") as files:
        files.write(atoms, Prediction(-1.5, forces), {"flagged": False, "flag_reason": ""})
    read = ase.io.read(tmp_path / "out.xyz")
    np.testing.assert_allclose(read.get_forces(), forces)
    assert read.get_potential_energy() == -1.5 and read.info == {"comment": "two words", "flagged": False}
    assert read.arrays.keys() == {"numbers", "positions", *kept}
    [load] = read_frames(tmp_path / "out.xyz")
    assert load().arrays["residues"].tolist() == ["SOL", "SOL", "-"]


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2", "model.assay", "calculator.json"])
def test_what_a_checkpoint_leaves_open_is_not_said_of_another_file(name, tmp_path):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(AssayError, match=f"cutoff_A and units is said of .*{name}, which is a .* and knows its own"):
        load_predictor(tmp_path / name, cutoff_A=5.0, units={"energy": "eV"})


@pytest.mark.parametrize(
    "told",
    [
        {"virial": np.arange(6.0)},
        {"virial": None},
        {"series": [[1, 2], [3]]},
        {"text": "_JSON [1"},
        {"lines": "a\rb"},
        {"Properties": "x"},
        {"Lattice": "fcc"},
        {"box": 5.43},
        {"PBC": "slab"},
        {"total_energy": -7.0, "virial": np.eye(3)},
        {"config_energy_weight": 0.0, "stress_weight": 0.0},
    ],
)
def test_what_would_hide_predictions_or_pass_for_one_is_left_out(tmp_path, told):
    crystal = bulk("Cu")
    crystal.info = {"source": "set 3", **told, "name": "copper", "REF_energy": -8.0}
    with PredictionFiles(None, tmp_path / "out.xyz") as files:
        files.write(crystal, Prediction(-1.5, np.zeros((1, 3)), 0.1 * np.eye(3)), {})
    read = ase.io.read(tmp_path / "out.xyz")
    assert read.info == {"source": "set 3", "name": "copper", "REF_energy": -8.0}
    assert read.get_potential_energy() == -1.5 and read.cell[0, 1] == crystal.cell[0, 1] and read.pbc.all()
    labelled = read_dataset({"path": tmp_path / "out.xyz", "energy_key": "energy"})
    assert labelled.energy.tolist() == [-1.5] and labelled.stress[0, 0, 0] == 0.1


@pytest.mark.parametrize("name", ["symbols", "Z", "atomic_numbers", "nuclear_charges"])
def test_columns_that_would_be_read_as_elements_are_left_out_of_predictions(tmp_path, name):
    water = molecule("H2O")
    water.set_array(name, np.array(["OW", "HW", "HW"]) if name == "symbols" else np.arange(1, 4))
    with PredictionFiles(None, tmp_path / "out.xyz") as files:
        files.write(water, Prediction(-1.5, np.zeros((3, 3))), {})
    [load] = read_frames(tmp_path / "out.xyz")
    assert ase.io.read(tmp_path / "out.xyz").numbers.tolist() == load().numbers.tolist() == [8, 1, 1]
