"""What a student was taught is read from its data and told wherever it goes, and what lies outside is found."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ase
import ase.io
import h5py
import numpy as np
import pytest
import torch
from ase.build import bulk, fcc111, molecule

from assay.checkpoint import normalize, write
from assay.checkpoint.scope import write_scope
from assay.data import read_dataset
from assay.data.dataset import concatenate, from_structures
from assay.data.hdf5 import read_hdf5, write_hdf5
from assay.data.scope import Scope, count_outside, neighbor_means, scope_of
from assay.export import engine_file, onnx_graphs
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.models import build_model
from assay.package.build import example_files
from assay.physics.coverage import gaps
from assay.physics.reference import read_reference
from assay.physics.verdict import table
from assay.predictors.interface import load_predictor
from assay.runtime import scope as packaged
from assay.structures.structure import Structure
from assay.verification.verify import verify
from assay.workflow.config_models.physics_yaml import Export
from assay.workflow.errors import AssayError
from assay.workflow.records import told_beside, trained_on
from shared.checkpoint_samples import SHIPPED
from shared.physics_toys import CONFIG

ROOT = Path(__file__).parents[1]
TINY = ROOT / "data/checkpoints/tiny.pt"


def labelled(atoms, **told):
    found = Structure.from_ase(atoms)
    known = vars(found) | {"energy_eV": 0.0, "forces_eV_per_A": np.zeros((len(atoms), 3))} | told
    return Structure(**known)


@pytest.fixture(scope="module")
def taught():
    """Water, ethanol and a radical that is one of two hundred."""
    common = [labelled(molecule(name)) for name in ("H2O", "CH3CH2OH")] * 100
    return scope_of(from_structures([*common, labelled(molecule("CH3"))]))


# What is read from data


def test_scope_is_what_the_data_have(taught):
    assert (taught.elements, taught.charges, taught.spins) == (("H", "C", "O"), (0,), (1,))
    assert (taught.axes, taught.n_atoms, taught.n_structures) == ((0,), (3, 9), 201)
    assert taught.neighbors == (2.0, 8.0)
    said = "neutral, closed-shell molecules of H, C and O, up to 9 atoms; no liquids, no crystals"
    assert taught.sentence == said
    assert Scope.from_record(json.loads(json.dumps(taught.record))) == taught


def test_charges_spins_and_cells_enter_the_sentence():
    ions = [labelled(molecule("H2O"), charge=charge, spin=spin) for charge, spin in ((-1, 2), (0, 1), (1, 2))]
    scope = scope_of(from_structures(ions))
    said = "molecules of H and O, with charges -1, +0 and +1, with multiplicities 1 and 2, up to 3 atoms"
    assert scope.sentence == f"{said}; no liquids, no crystals"
    assert "ignored" in scope.outside(ions[0])["charge"] and "ignored" in scope.outside(ions[1])["spin"]
    cells = [replace(ion, cell=np.eye(3) * 6.0, pbc=np.ones(3, bool)) for ion in ions]
    said = "periodic structures of H and O, with charges -1, +0 and +1, up to 3 atoms; no lone molecules"
    assert scope_of(from_structures(cells)).sentence == said


def test_neighbors_are_counted_with_periodic_images():
    argon = Structure("fcc", np.array([18]), np.zeros((1, 3)), 2.0 * (1 - np.eye(3)), np.ones(3, bool))
    shells = np.array([[i, j, k] for i in range(-6, 7) for j in range(-6, 7) for k in range(-6, 7)]) @ argon.cell
    inside = (np.linalg.norm(shells, axis=1) <= 5.0).sum() - 1
    assert neighbor_means([argon, Structure.from_ase(molecule("H2O"))]) == pytest.approx([inside, 2.0])


def test_columns_keep_charge_and_spin():
    told = from_structures([labelled(molecule("H2O"), charge=-1, spin=2), labelled(molecule("H2O"))])
    again = concatenate([told.subset([1]), told.subset([0])])
    assert [(s.charge, s.spin) for s in again] == [(None, None), (-1, 2)]
    assert from_structures([labelled(molecule("H2O"))]).charge is None


def test_hdf5_keeps_charge_and_spin(tmp_path):
    told = [labelled(molecule("H2O"), charge=-1, spin=2), labelled(molecule("H2O")), labelled(molecule("OH"), spin=2)]
    write_hdf5(tmp_path / "ions.h5", from_structures(told))
    for read in (read_hdf5, read_dataset):
        assert [(s.charge, s.spin) for s in read(tmp_path / "ions.h5")] == [(-1, 2), (None, None), (None, 2)]
    write_hdf5(tmp_path / "untold.h5", from_structures(told[1:2]))
    with h5py.File(tmp_path / "untold.h5") as file:
        assert "charges" not in file["structures"]


# What lies outside


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("charge", lambda atoms: atoms.info.update(charge=-1)),
        ("charge", lambda atoms: atoms.info.update(total_charge=1)),
        ("charge", lambda atoms: atoms.set_initial_charges([-1, 0, 0])),
        ("spin", lambda atoms: atoms.info.update(spin=3)),
        ("spin", lambda atoms: atoms.info.update(multiplicity=3)),
        ("spin", lambda atoms: atoms.info.update(Spin_Multiplicity="3")),
        ("spin", lambda atoms: atoms.set_initial_magnetic_moments([2, 0, 0])),
        ("elements", lambda atoms: atoms.set_chemical_symbols("SHH")),
        ("periodicity", lambda atoms: (atoms.set_cell([20, 20, 20]), atoms.set_pbc(True))),
        ("size", lambda atoms: atoms.extend(ase.Atoms("H8", np.eye(8, 3) * 9 + np.arange(8)[:, None] * 9))),
        ("density", lambda atoms: (atoms.set_cell([3, 3, 3]), atoms.set_pbc(True))),
    ],
)
def test_each_kind_is_found(taught, kind, change):
    atoms = molecule("H2O")
    assert taught.outside(Structure.from_ase(atoms)) == {}
    change(atoms)
    assert kind in taught.outside(Structure.from_ase(atoms))


def test_what_is_named_and_taught_is_not_flagged(taught):
    atoms = molecule("H2O")
    atoms.info.update(charge=0, spin=1)
    assert taught.outside(Structure.from_ase(atoms)) == {}
    assert taught.outside(Structure.from_ase(molecule("CH3"))).keys() == {"spin"}
    assert taught.outside(Structure.from_ase(molecule("CH3CH2OH"))) == {}, "the largest has 9 atoms, too"


def test_electrons_of_a_cell_that_names_no_spin_tell_none():
    """Copper has 29 electrons, so that a vacancy, or a cell of another size, changes whether their number is even."""
    whole = bulk("Cu", cubic=True) * (2, 2, 2)
    vacancy, surface, odd = whole[1:], fcc111("Cu", (3, 3, 3), vacuum=6.0), bulk("Cu") * (3, 3, 3)
    molecules = [labelled(molecule("H2O"))] * 5
    for metal in (whole, odd):
        copper = scope_of(from_structures([labelled(metal)] * 5))
        assert copper.sentence == f"neutral periodic structures of Cu, up to {len(metal)} atoms; no lone molecules"
        assert copper.spins is None
        for ours in (copper, scope_of(from_structures([labelled(metal)] * 5 + molecules))):
            theirs = packaged.Scope(json.loads(json.dumps(ours.record)))
            for cell in (whole, vacancy, odd, surface):
                assert "spin" not in ours.outside(Structure.from_ase(cell)), cell
                assert "spin" not in theirs.outside(cell), cell
    assert "spin" in ours.outside(Structure.from_ase(molecule("OH"))) and "spin" in theirs.outside(molecule("OH"))


def test_a_magnet_has_no_other_spin_in_a_larger_cell():
    """ASE writes the moments that a calculation began with, whose sum grows with the cell."""
    cells = [bulk("Fe", cubic=True) * count for count in (1, 2, 3)]
    for cell in cells:
        cell.set_initial_magnetic_moments([2.3] * len(cell))
    found = [labelled(cell) for cell in cells]
    assert [structure.spin for structure in found] == [6, 38, 125]
    molecules = [labelled(molecule("H2O")), labelled(molecule("OH"), spin=2)]
    for data, spins in ((found, None), (found[:1], None), (found + molecules, (1, 2))):
        ours = scope_of(from_structures(data))
        theirs = packaged.Scope(json.loads(json.dumps(ours.record)))
        assert ours.spins == spins
        for cell, structure in zip(cells, found, strict=True):
            assert "spin" not in ours.outside(structure) and "spin" not in theirs.outside(cell)
    told_before = Scope.from_record(ours.record | {"spins": [6, 38]})
    assert not any("spin" in told_before.outside(structure) for structure in found)


def test_of_an_unknown_scope_charges_alone_are_said():
    unknown, ion = Scope(reason="nobody knows"), molecule("H2O")
    ion.info["charge"] = -1
    assert unknown.sentence == "structures like its training data, which are unknown: nobody knows"
    assert unknown.outside(Structure.from_ase(ion)).keys() == {"charge"}
    assert unknown.outside(Structure.from_ase(molecule("H2O"))) == {}


def test_structures_outside_are_counted(taught):
    ion = labelled(molecule("H2O"), charge=-1)
    found = count_outside(taught, [ion, labelled(molecule("H2O")), labelled(molecule("C6H6"))])
    assert (found["n_outside"], found["by_kind"]) == (2, {"charge": 1, "spin": 1, "size": 1, "density": 1})
    assert found["first"]["size"] == "C6H6: it has 12 atoms, and its training data at most 9"


TOLD = [
    {},
    {"charge": -1},
    {"Charge": 1, "spin": 2},
    {"total_charge": "1"},
    {"spin": 0},
    {"SPIN_MULTIPLICITY": 3},
    {"spin": 1, "Multiplicity": 2},
    {"multiplicity": 0, "spin": 3},
    {"charge": "ionic", "total_charge": -2},
    {"charge": None, "multiplicity": float("nan")},
]


def test_the_packaged_scope_says_the_same(taught):
    """Each has sentences of its own, and reads charge and spin from a structure of its own kind."""
    ions = [labelled(molecule("OH"), charge=charge, spin=spin) for charge, spin in ((-1, 1), (0, 2), (1, 1))]
    scopes = [taught, scope_of(from_structures(ions)), Scope(reason="nobody knows")]
    dense = molecule("H2O", cell=[3.1] * 3, pbc=True)
    seen = set()
    for atoms in (molecule("H2O"), molecule("CH3"), molecule("OH"), molecule("C6H6"), dense, dense * (2, 1, 1)):
        charged, formal, magnetic = atoms.copy(), atoms.copy(), atoms.copy()
        formal.set_array("formal_charges", np.array([-2] + [0] * (len(atoms) - 1)))
        charged.set_initial_charges([-1.0] + [0.0] * (len(atoms) - 1))
        magnetic.set_initial_magnetic_moments([2.0] + [0.0] * (len(atoms) - 1))
        for own in (charged, formal, magnetic, *(told_by(atoms, info) for info in TOLD)):
            structure = Structure.from_ase(own)
            assert packaged.charge_and_spin(own) == (structure.charge, structure.spin)
            [neighbors] = neighbor_means([structure])
            for ours in scopes:
                theirs = packaged.Scope(json.loads(json.dumps(ours.record))).outside(own, neighbors)
                assert theirs.keys() == ours.outside(structure).keys() - {"elements"}, (own, own.info)
                seen |= theirs.keys()
    assert seen == {"charge", "spin", "periodicity", "size", "density"}


@pytest.mark.parametrize(
    ("moments", "spin"), [([2, 0, 0], 3), ([-2, 0, 0], 3), ([1, -1, 0], 1), ([-1.9, 0.5, 0.4], 2), (np.eye(3), None)]
)
def test_moments_of_either_sign_are_unpaired_electrons(moments, spin):
    """Those with three components along axes add up to no number of them."""
    water = molecule("H2O")
    water.set_initial_magnetic_moments(moments)
    assert packaged.charge_and_spin(water)[1] == Structure.from_ase(water).spin == spin


def told_by(atoms, info):
    own = atoms.copy()
    own.info |= info
    return own


# Where it is told


@pytest.mark.parametrize("student", ["original", "tiny", "ultra_tiny"])
def test_shipped_students_say_theirs(student):
    checkpoint = normalize(ROOT / f"data/checkpoints/{student}.pt")
    assert checkpoint.scope.sentence == checkpoint.card(student)["scope"]["sentence"] == SHIPPED
    assert SHIPPED in checkpoint.summary()


def test_a_file_of_another_checkpoint_does_not_count(tmp_path, taught):
    checkpoint = Path(shutil.copy(TINY, tmp_path / "mine.pt"))
    assert "nothing beside mine.pt tells" in normalize(checkpoint).scope.reason
    write_scope(checkpoint, taught)
    assert normalize(checkpoint).scope.n_structures == 201
    torch.save(torch.load(checkpoint, weights_only=True) | {"epoch": 1}, checkpoint)
    assert normalize(checkpoint).scope.reason == "mine.scope.json is of another file than mine.pt"


def test_the_record_of_its_own_training_counts(tmp_path, taught):
    checkpoint = Path(shutil.copy(TINY, tmp_path / "mine.pt"))
    sha256 = torch.load(checkpoint, weights_only=True)["training"]["train_sha256"]
    record = checkpoint.with_suffix(".training.json")
    record.write_text(json.dumps({"train_sha256": sha256, "scope": taught.record}))
    assert normalize(checkpoint).scope.n_atoms == (3, 9)
    record.write_text(json.dumps({"train_sha256": "0" * 64, "scope": taught.record}))
    assert not normalize(checkpoint).scope.known


def test_a_link_to_a_checkpoint_has_the_scope_of_what_it_leads_to(tmp_path, taught):
    """Also through a second link, of which each may have a file of its own beside it."""
    (tmp_path / "run").mkdir()
    checkpoint = Path(shutil.copy(TINY, tmp_path / "run" / "epoch=12.pt"))
    write_scope(checkpoint, taught)
    shutil.copy(TINY.with_suffix(".training.json"), tmp_path / "run" / "epoch=12.training.json")
    (tmp_path / "run" / "last.pt").symlink_to("epoch=12.pt")
    (tmp_path / "best.pt").symlink_to(Path("run") / "last.pt")
    assert normalize(tmp_path / "best.pt").scope.n_structures == 201
    assert trained_on(tmp_path / "best.pt") == trained_on(TINY)
    assert told_beside(tmp_path / "best.pt") == told_beside(checkpoint)
    assert write_scope(tmp_path / "best.pt", replace(taught, n_structures=3)) == tmp_path / "best.scope.json"
    assert normalize(tmp_path / "best.pt").scope.n_structures == 3
    assert normalize(checkpoint).scope.n_structures == 201
    (tmp_path / "loop.pt").symlink_to("loop.pt")
    assert told_beside(tmp_path / "loop.pt") == []


def test_a_link_to_a_normalized_model_has_its_card(tmp_path):
    write(normalize(TINY), "mine", tmp_path / "model.safetensors", tmp_path / "model.json")
    (tmp_path / "best.safetensors").symlink_to("model.safetensors")
    assert normalize(tmp_path / "best.safetensors").scope == normalize(TINY).scope


def test_checkpoints_whose_names_end_in_a_version_have_a_scope_each(tmp_path, taught):
    for number, name in enumerate(("model.v1", "model.v2", "model.v2.10")):
        write_scope(shutil.copy(TINY, tmp_path / name), replace(taught, n_structures=number))
    scopes = [normalize(tmp_path / name).scope.n_structures for name in ("model.v1", "model.v2", "model.v2.10")]
    assert scopes == [0, 1, 2]


@pytest.mark.parametrize(
    ("elements", "untaught", "gap"),
    [
        (("H", "C", "O"), "NH3", []),
        (("Na", "Cl"), "H2O", ["no structure of the checks holds Na, Cl"]),
    ],
)
def test_elements_that_a_scope_file_alone_tells_hold_for_all_that_judges(tmp_path, elements, untaught, gap):
    torch.manual_seed(0)
    model = build_model("painn", {"hidden": 8, "n_blocks": 1, "n_rbf": 4, "head": [4]})
    torch.save({"model": model.state_dict(), "config": {"cutoff_A": 5.0}}, tmp_path / "mine.pt")
    assert normalize(tmp_path / "mine.pt").elements is None
    write_scope(tmp_path / "mine.pt", Scope(elements, (0,), (1,), (0,), (1, 9), (0.0, 9.0), 7))
    read = normalize(tmp_path / "mine.pt")
    write(read, "mine", tmp_path / "model.safetensors", tmp_path / "model.json")
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["elements"] == card["scope"]["elements"] == list(elements)
    model, metadata = read.build(), export_metadata(model, card)
    network = lower(model, elements=metadata["elements"])
    onnx_graphs.save(onnx_graphs.assemble(network, model.cutoff, metadata, search=True), tmp_path / "model.onnx")
    engine_file.save(model, tmp_path / "model.assay", metadata)
    files = {name: tmp_path / name for name in ("model.onnx", "model.assay")}
    settings = Export(**CONFIG["export"] | {"runs": 2, "threads": [1]})
    judged = verify(read.build(torch.float64), read.atomic_numbers, files, {}, [], settings)
    assert judged["passed"] and judged["files"].keys() == files.keys(), judged
    (tmp_path / "example.xyz").write_bytes(example_files(read.build(torch.float64), read.atomic_numbers)["example.xyz"])
    example, other = Structure.from_ase(ase.io.read(tmp_path / "example.xyz")), Structure.from_ase(molecule(untaught))
    for name in ("mine.pt", "model.safetensors", *files):
        predictor = load_predictor(tmp_path / name)
        assert np.isfinite(predictor.predict([example])[0].energy_eV)
        with pytest.raises(AssayError, match="not trained on"):
            predictor.predict([other])
        reference = read_reference(ROOT / CONFIG["physics"]["reference"])
        assert gaps(reference, reference, predictor.elements, None) == gap


def test_elements_of_a_scope_file_beyond_the_embedding_are_refused(tmp_path, taught):
    hyperparameters = {"hidden": 8, "n_blocks": 1, "n_rbf": 4, "head": [4], "max_z": 7}
    torch.save({"model": build_model("painn", hyperparameters).state_dict()}, tmp_path / "mine.pt")
    write_scope(tmp_path / "mine.pt", taught)
    with pytest.raises(AssayError, match="element O, but its embedding has rows for the atomic numbers up to 7 only"):
        normalize(tmp_path / "mine.pt")


@pytest.mark.slow
def test_command_writes_what_the_data_say_and_refuses_other_data(tmp_path):
    checkpoint, data = Path(shutil.copy(TINY, tmp_path / "mine.pt")), tmp_path / "mine.xyz"
    frames = [labelled(molecule(name)).to_ase() for name in ("H2O", "CH4")]
    ase.io.write(data, frames, format="extxyz")
    command = [sys.executable, "scripts/scope.py", str(checkpoint), str(data)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "closed-shell molecules of H, C and O, up to 5 atoms" in done.stdout and not done.returncode
    assert normalize(checkpoint).scope.n_structures == 2
    shutil.copy(TINY.with_suffix(".training.json"), checkpoint.with_suffix(".training.json"))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "is not what" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_verdict_names_it():
    judged = {"checks": {}, "failed": [], "left_out": [], "rests_on": {"judged": 0, "of": 0}, "capped": None}
    judged |= {"verdict": "md-ready", "not_applicable": [], "scope": SHIPPED}
    assert table(judged).splitlines()[-1] == f"md-ready; it is for {SHIPPED}"
