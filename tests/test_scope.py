"""What a student was taught is read from its data, told wherever it goes, and what lies outside of it is flagged."""

import json
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import ase
import ase.io
import h5py
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import PropertyNotImplementedError

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
from assay.runtime.calculator import StudentCalculator
from assay.structures.structure import Structure, told_charge_and_spin
from assay.verification.verify import verify
from assay.workflow.config_models.physics_yaml import Export
from assay.workflow.errors import AssayError
from assay.workflow.records import told_beside, trained_on
from shared.physics_toys import CONFIG

ROOT = Path(__file__).parents[1]
INPUTS = ROOT / "../shared/reference/inputs"
TINY = ROOT / "data/checkpoints/tiny.pt"
SHIPPED = "neutral, closed-shell molecules of H, C, N, O, F, P, S, Cl and Br, up to 50 atoms; no liquids, no crystals"


def labelled(atoms, **told):
    found = Structure.from_ase(atoms)
    known = vars(found) | {"energy_eV": 0.0, "forces_eV_per_A": np.zeros((len(atoms), 3))} | told
    return Structure(**known)


@pytest.fixture(scope="module")
def taught():
    """Water, ethanol and a radical that is one of two hundred."""
    common = [labelled(molecule(name)) for name in ("H2O", "CH3CH2OH")] * 100
    return scope_of(from_structures([*common, labelled(molecule("CH3"))]))


@pytest.fixture(scope="module")
def calculator(tmp_path_factory):
    """The packaged calculator of a toy that says what ``tiny`` says of itself."""
    torch.manual_seed(0)
    model = build_model("painn", {"hidden": 8, "n_blocks": 1, "n_rbf": 4, "head": [4], "repulsion": True}).eval()
    path = tmp_path_factory.mktemp("calculator") / "model.edges.onnx"
    metadata = export_metadata(model, normalize(TINY).card("tiny"))
    onnx_graphs.save(onnx_graphs.assemble(lower(model), model.cutoff, metadata, search=False), path)
    return lambda: StudentCalculator(path)


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


# Where it warns


def test_packaged_calculator_warns_once_counts_and_flags(calculator):
    student = calculator()
    assert str(student.scope) == SHIPPED
    ion = molecule("CH3COOH")
    ion.calc = student
    ion.get_potential_energy()
    assert not student.outside and not student.n_outside
    for charge in (-1, 1):
        ion.info.update(charge=charge, spin=1)
        if charge < 0:
            with pytest.warns(UserWarning, match="its charge of -1 is ignored.*neutral, closed-shell"):
                ion.get_potential_energy()
        else:
            ion.get_potential_energy()
    assert student.n_outside == 2 and student.outside == [
        "its charge of +1 is ignored, because the student knows no charges"
    ]


def test_packaged_calculator_warns_where_the_stress_that_is_asked_for_is_refused(calculator):
    slab = molecule("CH3CH2OH", cell=[12.0] * 3, pbc=[True, True, False])
    slab.info["charge"] = -1
    slab.calc = calculator()
    with pytest.warns(UserWarning, match="its charge of -1 is ignored"), pytest.raises(PropertyNotImplementedError):
        slab.get_stress()
    assert len(slab.calc.outside) == 2 and slab.calc.n_outside == 1


def test_packaged_calculator_looks_at_distances_again_where_the_elements_are_others(calculator):
    student, said = calculator(), {}
    for name in ("H2", "Br2", "H2"):
        atoms = Atoms(name, [[0.0, 0.0, 0.0], [0.0, 0.0, 0.74]], calculator=student)
        with warnings.catch_warnings(record=True):
            atoms.get_potential_energy()
        said[name] = list(student.outside)
    assert said["H2"] == [] and "0.74 angstrom apart" in said["Br2"][0]


@pytest.mark.parametrize("charge", [-1e-9, np.float32(1e-7), -5.6e-17, "1e-6"])
def test_a_charge_that_is_zero_but_for_rounding_is_none(calculator, charge):
    water = molecule("H2O")
    water.info.update(charge=charge, multiplicity=1.0000002)
    water.calc = calculator()
    water.get_potential_energy()
    assert not water.calc.outside and packaged.charge_and_spin(water) == (0, 1)


@pytest.mark.parametrize("charge", [0.4, "0.4", -2e-3, np.float32(0.4)])
def test_packaged_calculator_warns_of_a_charge_that_is_not_whole(calculator, charge):
    water = molecule("H2O")
    water.calc = calculator()
    water.get_potential_energy()
    water.info["charge"] = charge
    with pytest.warns(UserWarning, match=r"its charge of [+-]0\.\d+ is ignored"):
        water.get_potential_energy()
    assert [*packaged.charge_and_spin(water)] == [float(charge), None]


@pytest.mark.parametrize("name", ["charge", "net_charge", "Total_Charge"])
@pytest.mark.parametrize("charge", [np.array([1]), [1], np.array(1.0), "+1"])
def test_packaged_calculator_reads_a_charge_in_an_array_of_its_own(calculator, name, charge):
    water = molecule("H2O")
    water.calc, water.info[name] = calculator(), charge
    with pytest.warns(UserWarning, match=r"its charge of \+1 is ignored"):
        water.get_potential_energy()
    assert any("charge of +1" in sentence for sentence in water.calc.outside)


@pytest.mark.parametrize(("charge", "read"), [(9e-4, 0), (-1.0009, -1), (2e-3, None)])
def test_a_charge_is_rounded_alike_in_files_and_packages(charge, read):
    water = molecule("H2O")
    water.info |= {"charge": charge}
    assert packaged.charge_and_spin(water)[0] == (charge if read is None else read)
    if read is None:
        with pytest.raises(AssayError, match="a total charge is a whole number"):
            told_charge_and_spin(water.info, {}, "water")
    else:
        assert told_charge_and_spin(water.info, {}, "water")[0] == read


def test_a_total_charge_goes_before_a_partial_one_in_files_and_packages():
    water = molecule("H2O")
    water.info |= {"charge": -0.4, "total_charge": 0}
    assert packaged.charge_and_spin(water)[0] == told_charge_and_spin(water.info, {}, "water")[0] == 0


def test_files_and_packages_know_a_charge_and_a_spin_by_the_same_names():
    for place, names in enumerate((packaged.CHARGES, (*packaged.MULTIPLICITIES, *packaged.SPINS))):
        for name in names:
            water = molecule("H2O")
            water.info[name] = 3
            assert packaged.charge_and_spin(water)[place] == told_charge_and_spin(water.info, {}, "water")[place] == 3
            water.info[name] = True
            assert packaged.charge_and_spin(water) == told_charge_and_spin(water.info, {}, "water") == (None, None)


@pytest.mark.parametrize(("name", "told"), [("charge", "1+"), ("charge", [1, 0, 0]), ("mult", "doublet"), ("spin", {})])
def test_packaged_calculator_warns_of_what_it_cannot_read_until_another_structure_comes(calculator, name, told):
    water = molecule("H2O")
    water.calc, water.info[name] = calculator(), told
    with pytest.warns(UserWarning, match=r"its (charge|spin) .+ is ignored, because it cannot be read as a number"):
        water.get_potential_energy()
    assert len(water.calc.outside) == 1 and packaged.charge_and_spin(water) == (None, None)
    with pytest.raises(ValueError, match="not trained on"):
        water.calc.get_potential_energy(molecule("LiH"))
    assert water.calc.outside == []


@pytest.mark.parametrize(("name", "told"), [("charge", "-"), ("spin", "triplet")])
def test_what_cannot_be_read_is_warned_of_after_an_energy_and_forgotten_when_it_goes(calculator, name, told):
    water = molecule("H2O")
    water.calc = calculator()
    water.get_potential_energy()
    water.info[name] = told
    with pytest.warns(UserWarning, match=f"its {name} '{told}' is ignored, because it cannot be read as a number"):
        water.get_forces()
    assert len(water.calc.outside) == 1
    del water.info[name]
    water.get_forces()
    assert water.calc.outside == []


def test_partial_charges_add_up_to_a_whole_number(calculator):
    water = molecule("H2O")
    water.set_initial_charges([-0.834, 0.417, 0.41701])
    water.calc = calculator()
    water.get_potential_energy()
    assert packaged.charge_and_spin(water) == (0, None) and not water.calc.outside


def test_packaged_calculator_warns_of_liquids(calculator):
    water = molecule("H2O", cell=[3.1] * 3, pbc=True).repeat(4)
    water.calc = calculator()
    with pytest.warns(UserWarning) as warned:
        water.get_potential_energy()
    said = " ".join(str(one.message) for one in warned)
    assert all(word in said for word in ("repeats along 3 axes", "192 atoms", "neighbors"))


def test_packaged_calculator_refuses_untaught_elements(calculator):
    salt = molecule("LiH")
    salt.calc = calculator()
    with pytest.raises(ValueError, match=r"not trained on atomic numbers \[3\], only on \[1, 6, 7"):
        salt.get_potential_energy()


def test_predict_flags_and_counts_charges(tmp_path):
    frames = [molecule("CH3COOH") for _ in range(3)]
    frames[0].info.update(charge=-1, spin=1)
    frames[1].set_initial_charges([1] + [0] * 7)
    ase.io.write(tmp_path / "ions.xyz", frames, format="extxyz")
    command = [sys.executable, "scripts/predict.py", str(TINY), str(tmp_path / "ions.xyz")]
    command += ["--json", str(tmp_path / "out.json"), "--output", str(tmp_path / "out.xyz")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"The scope of the model: {SHIPPED}; 2 of 3 structures lie outside of it." in done.stdout
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row.get("flagged", False) for row in rows] == [True, True, False]
    assert "charge of -1" in rows[0]["outside_scope"]
    assert "charge of +1" in ase.io.read(tmp_path / "out.xyz", 1).info["outside_scope"]


@pytest.mark.skipif(not INPUTS.is_dir(), reason="there are no files of others beside the repository")
def test_files_of_others_are_warned_of():
    scope = load_predictor(TINY).scope
    kinds = [set(scope.outside(Structure.from_ase(a))) for a in ase.io.read(INPUTS / "11-charge/acetate.xyz", ":")]
    assert kinds == [{"charge"}, {"spin"}, {"charge", "spin"}]
    [lithium] = ase.io.read(INPUTS / "01-untrained-element/li.xyz", ":")
    assert "elements" in scope.outside(Structure.from_ase(lithium))
