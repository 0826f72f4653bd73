"""What a student cannot judge is refused or comes out as NaN, in every file and runtime: never as a calm number."""

import copy
import pickle
import zipfile

import ase
import ase.build
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ase.calculators.calculator import PropertyNotImplementedError
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from assay.engine.library import library_path
from assay.engine.model_file import to_bytes
from assay.export import onnx_graphs, torchscript
from assay.export.forms import SlotPotential
from assay.export.half import to_half
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.export.tables import find_pairs, slot_inputs
from assay.models import build_model
from assay.predictors.interface import load_predictor
from assay.quantize import schemes
from assay.runtime import OnnxStudent, StudentCalculator, VerletList, open_student
from assay.workflow.errors import AssayError

PAINN = {"hidden": 16, "n_blocks": 2, "n_rbf": 5, "head": [6], "repulsion": True, "rank": 2}
CARD = {"variant": "toy", "checkpoint_sha256": "0" * 64, "elements": ["H", "C", "N", "O"]}
NUMBERS = np.array([8, 1, 1, 6])
POSITIONS = np.array([[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.0, -0.7, -0.5], [1.4, 0.2, 0.3]])
BATCH = np.zeros(4, np.int64)
SEARCHING = ("model.onnx", "model.fp16.onnx", "model.int8.onnx", "model.ts.pt")
ERRORS = (RuntimeError, IndexError, runtime_errors.InvalidArgument, runtime_errors.RuntimeException)
GIVEN = ("model.edges.onnx", "from_edges", "slots")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return build_model("painn", PAINN)


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    metadata = export_metadata(network, CARD)
    lowered = lower(network, elements=metadata["elements"])
    searching = onnx_graphs.assemble(lowered, 5.0, metadata, search=True)
    onnx_graphs.save(searching, folder / "model.onnx")
    onnx_graphs.save(to_half(searching), folder / "model.fp16.onnx")
    onnx_graphs.save(onnx_graphs.assemble(lowered, 5.0, metadata, search=False), folder / "model.edges.onnx")
    schemes.weights(folder / "model.onnx", folder / "model.int8.onnx", [])
    torchscript.save(torchscript.to_torchscript(lowered, 5.0), folder / "model.ts.pt", metadata)
    (folder / "model.assay").write_bytes(to_bytes(network, metadata, metadata["elements"]))
    return folder


@pytest.fixture(scope="module")
def call(network, folder):
    """Calls a file as its users do without this project, and returns its energies and forces."""
    sessions = {
        path.name: onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for path in folder.glob("*.onnx")
    }
    scripted = torch.jit.load(folder / "model.ts.pt")
    slots = lower(network, SlotPotential, export_metadata(network, CARD)["elements"])

    def call(name, numbers=NUMBERS, positions=POSITIONS, batch=BATCH, edges=None, shift=None):
        single = torch.tensor(positions, dtype=torch.float32)
        atoms = torch.tensor(numbers), single, torch.tensor(batch)
        if name == "model.ts.pt":
            return [values.numpy() for values in scripted(*atoms)]
        if edges is None:  # the neighbors before anything went wrong, as a caller keeps them
            edges = torch.stack(find_pairs(torch.tensor(POSITIONS), torch.zeros(len(NUMBERS), dtype=torch.int64), 5.0))
        shift = torch.zeros(edges.shape[1], 3) if shift is None else shift
        if name == "from_edges":
            return [values.numpy() for values in scripted.from_edges(*atoms, edges, shift)[:2]]
        if name == "slots":  # what AOTInductor compiles
            return [values.numpy() for values in slots(*slot_inputs(*atoms, *edges, shift, 5.0))[:2]]
        feed = dict(zip(("atomic_numbers", "positions", "batch"), (x.numpy() for x in atoms), strict=True))
        if name == "model.edges.onnx":
            feed |= {"edge_index": edges.numpy(), "edge_shift": shift.numpy()}
        return sessions[name].run(["energy", "forces"], feed)

    return call


def is_nan(results):
    energy, forces = results
    return np.isnan(energy).all() and np.isnan(forces).all()


@pytest.mark.parametrize("name", SEARCHING + GIVEN)
def test_right_input_gives_numbers_and_one_structure_says_nothing_of_another(call, name):
    energy, forces = call(name)
    assert np.isfinite(energy).all() and np.isfinite(forces).all() and forces.dtype == np.float32
    if name in SEARCHING:
        together = np.concatenate([POSITIONS, POSITIONS * [[np.nan], [1], [1], [1]]])
        both, forces = call(name, np.tile(NUMBERS, 2), together, np.repeat([0, 1], 4))
        assert both[0] == pytest.approx(energy[0], abs=2e-3 if "16" in name else 1e-5)
        assert np.isnan(both[1]) and np.isfinite(forces[:4]).all() and np.isnan(forces[4:]).all()


@pytest.mark.parametrize("name", SEARCHING + GIVEN)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_position_that_is_no_number_makes_all_of_its_structure_nan(call, name, value):
    for axis in (0, 2):
        wrong = POSITIONS.copy()
        wrong[1, axis] = value
        with np.errstate(over="ignore"):
            assert is_nan(call(name, positions=wrong))


@pytest.mark.parametrize("name", SEARCHING)
def test_lone_atom_without_a_place_is_nan(call, name):
    assert is_nan(call(name, [6], [[np.nan, 0.0, 0.0]], [0]))


@pytest.mark.parametrize("name", SEARCHING + GIVEN)
@pytest.mark.parametrize("element", [3, 9, 36, 0, -1, -30, 37, 500])
def test_element_that_was_not_trained_on_is_nan_or_an_error(call, name, element):
    try:
        results = call(name, numbers=np.array([8, element, 1, 6]))
    except ERRORS:
        return
    assert is_nan(results)


@pytest.mark.parametrize("name", SEARCHING + GIVEN[:2])
def test_structure_without_atoms_or_below_zero_is_nan_or_an_error(call, name):
    energy, _ = call(name, batch=np.array([0, 0, 2, 2]), edges=torch.zeros(2, 0, dtype=torch.int64))
    assert np.isfinite(energy[[0, 2]]).all() and np.isnan(energy[1])
    for batch in ([-1, 0, 0, 0], [0, 0, 0, -1], [-1, -1, -1, -1]):
        try:
            results = call(name, batch=np.array(batch))
        except ERRORS:
            continue
        assert is_nan(results)


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_edge_that_is_no_number_is_nan(call, name, value):
    edges = torch.stack(find_pairs(torch.tensor(POSITIONS), torch.tensor(BATCH), 5.0))
    shift = torch.zeros(edges.shape[1], 3)
    shift[1, 2] = value
    energy, forces = call(name, edges=edges, shift=shift)
    assert np.isnan(energy).all() and np.isnan(forces[edges[:, 1]]).all()


@pytest.mark.parametrize("name", GIVEN[:2])
@pytest.mark.parametrize("atom", [-1, 4])
def test_edge_to_an_atom_that_is_not_there_is_nan_or_an_error(call, name, atom):
    edges = torch.stack(find_pairs(torch.tensor(POSITIONS), torch.tensor(BATCH), 5.0))
    edges[0, 1] = atom
    try:
        results = call(name, edges=edges)
    except ERRORS:
        return
    assert is_nan(results)


def test_torchscript_converts_what_others_would_read_as_something_else(folder):
    scripted = torch.jit.load(folder / "model.ts.pt")
    numbers, batch, positions = torch.tensor(NUMBERS), torch.tensor(BATCH), torch.tensor(POSITIONS).float()
    energy, forces = scripted(numbers, positions, batch)
    strided = torch.cat([positions, positions], 1).t().contiguous().t()[:, :3]
    assert not strided.is_contiguous()
    for inputs in ((numbers, positions.double(), batch), (numbers.int(), strided, batch.int())):
        found = scripted(*inputs)
        torch.testing.assert_close(found[0], energy, atol=0, rtol=1e-9)
        torch.testing.assert_close(found[1], forces, atol=1e-6, rtol=0)
    nobody = numbers[:0], positions[:0], batch[:0]
    for wrong in ((numbers, positions[:, :2], batch), (numbers[:3], positions, batch), nobody):
        with pytest.raises(torch.jit.Error, match=r"must have the shape|there must be atoms"):
            scripted(*wrong)


# The package


@pytest.fixture(params=["model.assay", "model.edges.onnx"])
def new_calculator(folder, request):
    """Makes a calculator of the student, which the engine or ONNX Runtime evaluates."""
    if request.param == "model.assay" and library_path() is None:
        pytest.skip("there is no C++ compiler for the engine")
    return lambda: StudentCalculator(folder / request.param, threads=1, library=library_path())


@pytest.fixture
def atoms(new_calculator):
    atoms = ase.Atoms(NUMBERS, POSITIONS)
    atoms.calc = new_calculator()
    atoms.get_potential_energy()
    return atoms


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_atom_without_a_place_is_an_error_after_a_good_call_too(atoms, value):
    good = atoms.get_potential_energy()
    atoms.positions[1, 2] = value
    for _ in range(2):
        with pytest.raises(ValueError, match="not finite"):
            atoms.get_potential_energy()
        with pytest.raises(ValueError, match="not finite"):
            atoms.get_forces()
    atoms.positions[1, 2] = POSITIONS[1, 2]
    assert atoms.get_potential_energy() == good


def test_atom_a_million_angstrom_away_is_an_error_and_ends_no_process(atoms):
    for pbc in (False, (True, False, False), True):
        atoms.set_cell(np.diag([9.0, 9.0, 9.0]))
        atoms.pbc = pbc
        atoms.positions[3] = [0.0, 0.0, 1e6]
        with pytest.raises(ValueError, match="is one astray"):
            atoms.get_forces()


def test_cell_that_is_no_number_is_an_error(atoms):
    atoms.set_cell(np.diag([9.0, 9.0, 9.0]))
    atoms.pbc = True
    atoms.get_potential_energy()
    for value in (np.nan, np.inf):
        atoms.cell[1, 1] = value
        with pytest.raises(ValueError, match="lattice vectors"):
            atoms.get_potential_energy()


def test_changes_in_place_are_seen(atoms, new_calculator):
    def anew():
        other = atoms.copy()
        other.calc = new_calculator()
        return other.get_potential_energy()

    seen = [atoms.get_potential_energy()]
    for change in (
        lambda: atoms.numbers.__setitem__(1, 7),
        lambda: atoms.set_cell(np.diag([4.0, 9.0, 9.0])),
        lambda: atoms.set_pbc(True),
        lambda: atoms.cell.array.__imul__(1.1),
        lambda: atoms.pbc.__setitem__(0, False),
        lambda: atoms.positions.__iadd__(np.eye(4, 3) * 0.01),
    ):
        change()
        seen.append(atoms.get_potential_energy())
        assert seen[-1] == pytest.approx(anew(), abs=1e-5)
    assert len(set(np.round(seen, 5))) == 5  # an open structure has no use for a cell
    assert atoms.calc.check_state(atoms) == []
    atoms.set_initial_charges([0, 0, 0, 1])
    assert atoms.calc.check_state(atoms) == ["initial_charges"]
    atoms.numbers[0] = 3
    with pytest.raises(ValueError, match=r"not trained on|never trained on"):
        atoms.get_potential_energy()
    with pytest.raises(ValueError, match="must be atoms"):
        atoms.calc.get_potential_energy(ase.Atoms())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_calculator_can_be_copied_and_sent_to_other_processes(atoms, duplicate):
    other = duplicate(atoms.calc)
    moved = atoms.copy()
    moved.positions[0, 0] += 0.1
    assert other.get_potential_energy(moved) != atoms.get_potential_energy()
    assert other.get_potential_energy(moved) == atoms.calc.get_potential_energy(moved)
    assert other.neighbors.skin == atoms.calc.neighbors.skin


def test_calculator_in_the_engine_agrees_with_onnx_and_knows_energies_of_atoms(atoms, folder):
    other = StudentCalculator(folder / "model.edges.onnx", threads=1)
    atoms.set_cell([[5.1, 0.2, 0.0], [0.0, 5.4, 0.3], [0.1, 0.0, 4.9]])
    atoms.pbc = True
    for name in ("energy", "free_energy", "forces", "stress"):
        np.testing.assert_allclose(atoms.calc.get_property(name, atoms), other.get_property(name, atoms), atol=2e-5)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    if atoms.calc.student.runtime == "engine":
        assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    else:
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_potential_energies()


@pytest.mark.skipif(library_path() is None, reason="there is no C++ compiler for the engine")
def test_arrays_in_the_engine_give_what_onnx_gives(folder):
    engine = open_student(folder / "model.assay", threads=1, library=library_path())
    both, mixed = np.tile(NUMBERS, 2), np.array([1, 0, 0, 1, 0, 1, 1, 0])
    expected = OnnxStudent(folder / "model.onnx", threads=1)(both, np.tile(POSITIONS, (2, 1)), mixed)
    found = engine(both, np.tile(POSITIONS, (2, 1)), mixed)
    np.testing.assert_allclose(found.energy, expected.energy, atol=1e-5)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-5)
    with pytest.raises(ValueError, match="precision"):
        open_student(folder / "model.assay", precision=16, library=library_path())
    with pytest.raises(ValueError, match="threads"):
        open_student(folder / "model.assay", threads=0, library=library_path())


def test_where_the_engine_does_not_run_onnx_runtime_says_that_it_takes_its_place(folder, tmp_path):
    with pytest.warns(RuntimeWarning, match=r"ONNX Runtime computes instead, several times slower"):
        calculator = StudentCalculator(folder / "model.assay", threads=1, library=tmp_path / "nothing.so")
    assert calculator.student.runtime == "onnxruntime"
    assert np.isfinite(calculator.get_potential_energy(ase.Atoms(NUMBERS, POSITIONS)))
    with pytest.raises(ValueError, match="not the engine's library"):
        StudentCalculator(folder / "model.assay", precision=64, library=tmp_path / "nothing.so")
    with pytest.raises(ValueError, match="check the path"):
        StudentCalculator(folder / "another.assay")


@pytest.mark.parametrize("device", ["cuda", "nonsense", "CPU", ""])
def test_device_that_is_not_there_is_refused(folder, device, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    for make in (OnnxStudent, StudentCalculator, open_student):
        for file in ("model.edges.onnx", "model.assay"):
            with pytest.raises(ValueError, match=r"choose"):
                make(folder / file, device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_runtime_for_gpus_without_a_gpu_is_refused(folder, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(ValueError, match="GPU"):
        OnnxStudent(folder / "model.onnx", device="cuda")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"batch": [0, 0, 2, 2]}, "count the structures from 0"),
        ({"batch": [-1, 0, 0, 0]}, "count the structures from 0"),
        ({"batch": [0, 0, 0, 10**13]}, "count the structures from 0"),
        ({"batch": [0, 0, 0]}, "shape"),
        ({"batch": [0.0, 0.0, 0.0, 0.0]}, "integers"),
        ({"positions": POSITIONS[:, :2]}, "shape"),
        ({"positions": POSITIONS * np.nan}, "not finite"),
        ({"atomic_numbers": [8, 1, 1, 3]}, "not trained on"),
        ({"atomic_numbers": [8.0, 1.0, 1.0, 6.0]}, "integers"),
        ({"atomic_numbers": [], "positions": np.zeros((0, 3))}, "must be atoms"),
        ({"edge_shift": np.full((2, 3), np.inf)}, "not finite"),
        ({"edge_index": [[0, 9], [1, 0]]}, "not among"),
        ({"edge_index": [[0, -1], [1, 0]]}, "not among"),
        ({"edge_index": [[0, 1]]}, "shape"),
        ({"batch": [0, 1, 1, 1]}, "edge 0 joins atoms of the structures 1 and 0"),
        ({"edge_index": [[0, 1], [2, 0]]}, "the edge of atom 2 to atom 0 has no reverse"),
        ({"edge_shift": np.eye(2, 3)}, "the edge of atom 1 to atom 0 has no reverse"),
        ({"edge_shift": 0.01 * np.eye(2, 3)}, "the edge of atom 1 to atom 0 has no reverse"),
        ({"edge_index": [[0, 0], [1, 1]]}, "the atoms 1 and 0 have one edge twice"),
    ],
)
def test_wrong_arrays_are_refused_in_words(folder, wrong, sentence):
    right = {"atomic_numbers": NUMBERS, "positions": POSITIONS, "batch": None}
    right |= {"edge_index": [[0, 1], [1, 0]], "edge_shift": np.zeros((2, 3))}
    student = OnnxStudent(folder / "model.edges.onnx", threads=1)
    assert np.isfinite(student(**right).energy).all()
    with pytest.raises(ValueError, match=sentence):
        student(**(right | wrong))


@pytest.mark.parametrize("repeat", [1, 3])
def test_each_edge_needs_its_reverse_once(folder, repeat):
    salt = ase.build.bulk("MgO", "rocksalt", 4.2).repeat(repeat)
    salt.numbers[:] = [8, 6] * (len(salt) // 2)
    salt.rattle(0.02 * (repeat - 1))
    student = OnnxStudent(folder / "model.edges.onnx", threads=1)
    edges, vectors = VerletList(student.cutoff, 0.0).update(salt.positions, salt.cell.array, salt.pbc)
    shift = vectors - salt.positions[edges[0]] + salt.positions[edges[1]]
    right = student(salt.numbers, salt.positions, None, edges, shift)
    for order in (np.arange(len(shift))[::-1], np.random.default_rng(0).permutation(len(shift))):
        again = student(salt.numbers, salt.positions, None, edges[:, order], shift[order])
        np.testing.assert_allclose(again.energy, right.energy, atol=1e-4)
    rounded = student(salt.numbers, salt.positions, None, edges, shift.astype(np.float32))
    np.testing.assert_allclose(rounded.energy, right.energy, atol=1e-4)
    lengths = np.linalg.norm(vectors, axis=1)
    for missing in (lengths.argmin(), np.where(lengths < 0.999 * student.cutoff, lengths, 0.0).argmax()):
        with pytest.raises(ValueError, match="has no reverse"):
            student(salt.numbers, salt.positions, None, np.delete(edges, missing, 1), np.delete(shift, missing, 0))
    with pytest.raises(ValueError, match="have one edge twice"):
        both_ways = np.hstack([edges, edges[::-1]]), np.vstack([shift, -shift])
        student(salt.numbers, salt.positions, None, *both_ways)


@pytest.mark.parametrize("file", ["model.onnx", "model.edges.onnx"])
def test_distance_from_the_origin_costs_no_digits(folder, file):
    student = OnnxStudent(folder / file, threads=1)
    numbers, batch = np.tile(NUMBERS, 2), np.repeat([0, 1], 4)
    near, far = np.tile(POSITIONS, (2, 1)), np.concatenate([POSITIONS + 1e6, POSITIONS - 3e5])
    given = ()
    if student.needs_edges:
        pair = np.array([[0, 1, 4, 5], [1, 0, 5, 4]])
        given = pair, np.zeros((4, 3))
    expected, found = (student(numbers, positions, batch, *given) for positions in (near, far))
    np.testing.assert_allclose(found.energy, expected.energy, atol=1e-4)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-4)


def test_a_result_that_is_no_number_is_an_error(folder, atoms):
    atoms.calc = StudentCalculator(folder / "model.edges.onnx", threads=1)
    atoms.get_potential_energy()
    atoms.positions[3] = atoms.positions[2]
    with pytest.raises(ValueError, match=r"no finite energy and forces of .*: are atoms at one place"):
        atoms.get_forces()


@pytest.mark.parametrize("pbc", [False, (True, True, False)])
def test_stress_without_three_periodic_axes_is_refused_in_words(atoms, pbc):
    atoms.set_cell(np.diag([9.0, 9.0, 9.0]))
    atoms.pbc = pbc
    with pytest.raises(PropertyNotImplementedError, match=f"repeats along {np.sum(pbc)} axes has no stress"):
        atoms.get_stress()
    assert np.isfinite(atoms.get_potential_energy())


@pytest.mark.parametrize("damage", ["empty", "truncated", "foreign"])
def test_a_file_that_is_no_student_is_refused_in_words(folder, tmp_path, damage):
    file, whole = tmp_path / "model.edges.onnx", (folder / "model.edges.onnx").read_bytes()
    file.write_bytes({"empty": b"", "truncated": whole[: len(whole) // 2], "foreign": whole}[damage])
    if damage == "foreign":
        graph = onnx.load(file)
        del graph.metadata_props[:]
        onnx.save(graph, file)
    with pytest.raises(ValueError, match=r"model\.edges\.onnx .*take the file as the package has it|is not a student"):
        OnnxStudent(file)


def test_what_a_file_of_others_says_cannot_confuse_a_terminal(folder, tmp_path):
    graph = onnx.load(folder / "model.onnx")
    graph.graph.node[0].op_type = "\x1b[31mEvil\x07"
    assert graph.metadata_props.pop().key == "sha256"
    onnx.save(graph, tmp_path / "model.onnx")
    with pytest.raises(AssayError, match=r"is not an ONNX file of a student .*Evil.*: export it again") as refused:
        load_predictor(tmp_path / "model.onnx")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", ["model.onnx", "model.edges.onnx", "model.fp16.onnx", "model.int8.onnx"])
def test_one_damaged_bit_of_a_file_is_seen(folder, tmp_path, name):
    whole, random = (folder / name).read_bytes(), np.random.default_rng(0)
    for place in random.integers(len(whole) - 76, size=30):
        content = bytearray(whole)
        content[place] ^= 1 << random.integers(8)
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} is damaged, or was changed since it was made"):
            OnnxStudent(tmp_path / name, threads=1)
    onnx.save(onnx.load(folder / name), tmp_path / name)  # by another program, without a change
    assert OnnxStudent(tmp_path / name, threads=1).identity.keys() >= {"cutoff_A", "elements"}


def test_one_damaged_bit_of_a_weight_in_torchscript_is_seen(folder, tmp_path):
    content, file = bytearray((folder / "model.ts.pt").read_bytes()), tmp_path / "model.ts.pt"
    with zipfile.ZipFile(folder / "model.ts.pt") as archive:
        constants = [entry for entry in archive.infolist() if "/constants/" in entry.filename]
        weights = max(constants, key=lambda entry: entry.file_size)
    content[weights.header_offset + weights.file_size // 2] ^= 1
    file.write_bytes(content)
    torch.jit.load(file)  # which compares no checksums
    with pytest.raises(
        AssayError, match=r"model\.ts\.pt is damaged, .* checksum of .* does not hold.*: export it again"
    ):
        load_predictor(file)


def test_arrays_of_any_type_and_layout_are_read_as_what_they_are(folder):
    student = OnnxStudent(folder / "model.onnx", threads=1)
    expected = student(NUMBERS, POSITIONS)
    strided = np.asfortranarray(np.hstack([POSITIONS, POSITIONS]))[:, :3]
    for found in (
        student(NUMBERS.astype(np.int32), POSITIONS.astype(np.float32), BATCH.astype(np.uint8)),
        student(NUMBERS.tolist(), strided, BATCH.tolist()),
    ):
        np.testing.assert_allclose(found.energy, expected.energy, atol=1e-6)
        np.testing.assert_allclose(found.forces, expected.forces, atol=1e-5)


def test_neighbor_list_forgets_nothing_and_is_made_again_when_numbers_go(folder):
    kept = VerletList(5.0)
    box = np.zeros((3, 3)), np.zeros(3, bool)
    kept.update(POSITIONS, *box)
    with pytest.raises(ValueError, match="not finite"):
        kept.update(POSITIONS * np.nan, *box)
    other = copy.deepcopy(kept)
    assert other.update(POSITIONS, *box)[0].shape == kept.update(POSITIONS, *box)[0].shape == (2, 12)
    with pytest.raises(ValueError, match="skin"):
        VerletList(5.0, skin=np.nan)
