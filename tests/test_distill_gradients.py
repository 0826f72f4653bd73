"""Forces and stresses of one's own data, and of a teacher, are held against the energies beside them."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from assay.data.dataset import from_structures
from assay.predictors.interface import Prediction
from assay.sampling import label_gradients
from assay.sampling.label_gradients import Slopes, measure_slopes, require_gradient, require_gradients, require_stresses
from assay.sampling.label_origin import require_own_labels
from assay.sampling.teacher import Teacher
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from shared.molecules import molecules, trajectory


@pytest.mark.parametrize("factor", [1.0, -1.0, 23.06, 0.5])
def test_forces_are_held_against_energies_along_neighbors(factor):
    frames = [replace(s, forces_eV_per_A=factor * s.forces_eV_per_A) for s in trajectory()]
    if factor == 1.0:
        assert "forces explain the changes of energies" in require_gradients(from_structures(frames), "my.xyz")
        far = from_structures(molecules(40, rattle=0.4))
        assert "too few structures near each other" in require_gradients(far, "my.xyz")
    else:
        with pytest.raises(AssayError, match=r"the forces of my.xyz are no gradient of its energies"):
            require_gradients(from_structures(frames), "my.xyz")


def test_energies_that_scatter_about_what_their_forces_say_are_none_of_theirs():
    frames = trajectory()
    scatter_eV = 0.25 * float(np.std(np.diff([s.energy_eV for s in frames])))
    scattered = [replace(s, energy_eV=s.energy_eV + (-1) ** k * scatter_eV) for k, s in enumerate(frames)]
    with pytest.raises(AssayError, match=r"change by (0\.[89]|1\.[012])\d* times what .* \(correlation 0\.[678]"):
        require_gradients(from_structures(scattered), "my.xyz")


@pytest.mark.parametrize("state", [{"charge": -1}, {"spin": 3}])
def test_structures_of_another_charge_or_multiplicity_are_no_neighbors(state):
    """Their energies are other ones, of which their own forces are the gradient."""
    frames = [replace(s, charge=0, spin=1) for s in trajectory()]
    others = [replace(s, energy_eV=s.energy_eV + 2.0, **state) for s in frames]
    assert "several charges" not in require_gradients(from_structures(frames), "my.xyz")
    both = [s for pair in zip(frames, others, strict=True) for s in pair]
    told = require_gradients(from_structures(both), "my.xyz")
    assert told.startswith("forces explain the changes of energies")
    assert f"{len(both)} of {len(both)} structures are of molecules or cells in several charges or mult" in told


def test_isomers_in_several_charges_are_no_states_of_one_molecule():
    """A student tells them apart by their bonds; crystals it does not, nor one molecule in both charges."""
    alcohol, ether = (Structure.from_ase(molecule(name), name) for name in ("CH3CH2OH", "CH3OCH3"))
    frames = [replace(s, energy_eV=0.0, forces_eV_per_A=0.0 * s.positions) for s in (alcohol, ether)]
    apart = [replace(s, charge=charge) for s, charge in zip(frames, (0, 1), strict=True)]
    assert "several charges" not in require_gradients(from_structures(apart), "my.xyz")
    told = require_gradients(from_structures([*apart, replace(frames[0], charge=1)]), "my.xyz")
    assert "2 of 3 structures are of molecules or cells in several charges" in told
    opened = replace(frames[0], positions=1.6 * frames[0].positions, charge=1)
    both = [replace(s, molecule="ethanol") for s in (frames[0], opened)]
    assert "2 of 2 structures" in require_gradients(from_structures(both), "my.xyz"), "a charge may open bonds"
    pair = [Structure.from_ase(Atoms("F2", [[0, 0, 0], [0, 0, x]]), f"{x}") for x in (1.41, 1.95)]
    pair = [replace(s, energy_eV=0.0, forces_eV_per_A=0 * s.positions, charge=-k) for k, s in enumerate(pair)]
    assert "2 of 2 structures" in require_gradients(from_structures(pair), "my.xyz")
    cells = [replace(s, cell=9.0 * np.eye(3), pbc=np.ones(3, bool)) for s in apart]
    assert "2 of 2 structures" in require_gradients(from_structures(cells), "my.xyz")


def test_moments_of_a_periodic_cell_fluctuate_and_are_no_states():
    cell = {"cell": 9.0 * np.eye(3), "pbc": np.ones(3, bool)}
    frames = [replace(s, spin=60 + k % 7, **cell) for k, s in enumerate(trajectory())]
    told = require_gradients(from_structures(frames), "my.xyz")
    assert told.startswith("forces explain the changes of energies") and "several charges" not in told
    wrong = [replace(s, forces_eV_per_A=-s.forces_eV_per_A) for s in frames]
    with pytest.raises(AssayError, match="no gradient of its energies"):
        require_gradients(from_structures(wrong), "my.xyz")


def test_labels_of_another_teacher_than_the_one_that_is_asked_are_refused():
    """Rounds would add its labels to those of the file, and the student would learn two levels of theory."""
    frames = trajectory(6)

    def asked(change):
        return [(s, change(Prediction(s.energy_eV, s.forces_eV_per_A))) for s in frames]

    told = require_own_labels(asked(lambda p: replace(p, energy_eV=p.energy_eV + 0.001)), "EMT", "my.xyz")
    assert told.startswith("the labels of 6 structures are those of EMT, to 0 eV/angstrom and ")
    per_atom = asked(lambda p: replace(p, energy_eV=p.energy_eV + 0.004 * len(p.forces_eV_per_A)))
    assert "0.004 eV/atom" in require_own_labels(per_atom, "EMT", "my.xyz")
    for change, kind in (
        (lambda p: replace(p, forces_eV_per_A=1.2 * p.forces_eV_per_A), "forces"),
        (lambda p: replace(p, energy_eV=p.energy_eV + 3.0), "energies"),
    ):
        with pytest.raises(
            AssayError, match=rf"the labels of my\.xyz are not those of PBE: in 6 structures its {kind} "
        ):
            require_own_labels(asked(change), "PBE", "my.xyz")


def test_one_pair_of_neighbors_does_not_speak_for_the_others():
    def steep(k, factor):
        """Two atoms inside of each other that part a little, with sound labels or forces that are too large."""
        r = 0.5 + 0.001 * k
        forces = factor * 1000.0 * np.array([[-1.0, 0, 0], [1.0, 0, 0]])
        labels = {"energy_eV": -1000.0 * r, "forces_eV_per_A": forces}
        return Structure(f"steep-{k}", np.array([7, 7]), np.array([[0.0, 0, 0], [r, 0, 0]]), **labels)

    rng, frames = np.random.default_rng(0), trajectory()
    shuffled = [replace(s, forces_eV_per_A=rng.permutation(s.forces_eV_per_A)) for s in frames]
    for wrong in (shuffled, [replace(s, forces_eV_per_A=1.5 * s.forces_eV_per_A) for s in frames]):
        with pytest.raises(AssayError, match="no gradient of its energies"):
            require_gradients(from_structures([*wrong, steep(0, 1.0), steep(9, 1.0)]), "my.xyz")
    astray = replace(frames[20], energy_eV=frames[20].energy_eV + 100.0)
    for right in ([*frames, steep(0, 2.0), steep(9, 2.0)], [*frames[:20], astray, *frames[21:]]):
        assert "forces explain the changes of energies" in require_gradients(from_structures(right), "my.xyz")


def breathing(count=60, step=0.004, rattle_A=0.01):
    """A crystal whose cell and atoms wander, as in dynamics at a pressure, with labels of EMT."""
    rng, atoms, structures = np.random.default_rng(0), bulk("Cu", cubic=True), []
    atoms.numbers[0] = 79
    for k in range(count):
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0.0, step, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0.0, rattle_A, atoms.positions.shape)
        atoms.calc = EMT()
        atoms.get_forces(), atoms.get_stress()
        structures.append(Structure.from_ase(atoms, f"frame-{k}"))
    return structures


@pytest.mark.parametrize("factor", [1.0, -1.0, 160.2, 1602.0, 1 / 1602.0, 47.0])
def test_stresses_are_held_against_energies_along_strained_neighbors(factor):
    frames = [replace(s, stress_eV_per_A3=factor * s.stress_eV_per_A3) for s in breathing()]
    frames[5] = replace(frames[5], stress_eV_per_A3=1e3 * frames[5].stress_eV_per_A3)
    frames[9] = replace(frames[9], stress_eV_per_A3=None)
    if factor == 1.0:
        assert "stresses explain the changes of energies along 57 pairs" in require_stresses(
            from_structures(frames), "my.xyz"
        )
        assert not require_stresses(from_structures(breathing(step=0.1)), "my.xyz")
        assert not require_stresses(from_structures(trajectory()), "my.xyz")
    else:
        with pytest.raises(AssayError, match=r"the stresses of my.xyz are not those of its energies: along 57 pairs"):
            require_stresses(from_structures(frames), "my.xyz")


@pytest.mark.parametrize(
    ("calculator", "right"), [("ase.calculators.emt.EMT", True), ("shared.toy_calculators.Swirl", False)]
)
def test_a_teacher_whose_forces_are_no_gradient_is_refused_before_it_labels(calculator, right, monkeypatch):
    monkeypatch.chdir(Path(__file__).parent)  # where the process of a calculator finds modules of one's own
    slopes = measure_slopes(Teacher("mine", calculator).process(threads=1), molecules(12))
    assert len(slopes.of_forces) == len(slopes.asked) == label_gradients.ASKED
    if right:
        assert "are the gradient of its energy in 10 structures" in require_gradient(slopes, "mine")
    else:
        with pytest.raises(AssayError, match="the forces of mine are no gradient of its energy: in"):
            require_gradient(slopes, "mine")


@pytest.mark.parametrize("factor", [1.0, -1.0, 1.5])
@pytest.mark.parametrize("eV_per_atom", [-2.5e3, -1e7])
def test_a_teacher_of_total_energies_in_single_precision_is_judged_as_far_as_they_tell(eV_per_atom, factor):
    def rounded(structures):
        found = []
        for s in structures:
            atoms = Atoms(s.atomic_numbers, s.positions, calculator=EMT())
            energy = float(np.float32(atoms.get_potential_energy() + eV_per_atom * len(s)))
            found.append(Prediction(energy, factor * atoms.get_forces()))
        return found

    slopes = measure_slopes(SimpleNamespace(predict=rounded), molecules(12))
    if eV_per_atom < -1e6:
        assert "single precision, which rounds them too coarsely" in require_gradient(slopes, "mine")
    elif factor == 1.0:
        assert "in 10 structures, to 0.0" in require_gradient(slopes, "mine")
        assert "in single precision, tell slopes to 0.0" in require_gradient(slopes, "mine")
    else:
        with pytest.raises(AssayError, match="the forces of mine are no gradient of its energy: in"):
            require_gradient(slopes, "mine")


def test_one_steep_structure_hides_no_forces_that_are_no_gradient():
    slopes = np.array([264.0, -3.4, -0.3, 0.6, -0.7, -3.9, -5.2, -4.1, 5.6, 1.4])  # of two atoms at 0.6 A, and thermal
    for factor in (1.3, 0.0, -1.0):
        with pytest.raises(AssayError, match="the forces of mine are no gradient of its energy: in"):
            require_gradient(Slopes(slopes, factor * slopes), "mine")
    gentle = np.where(np.abs(slopes) > 5.4, 4.0, 0.5 * np.sign(slopes))
    with pytest.raises(AssayError, match=r"in most of 10 structures they are 1.06 times that, at worst 4.24 where"):
        require_gradient(Slopes(gentle, 1.06 * gentle), "mine")
    jump = np.where(slopes == 5.6, 90.0, slopes)
    told = require_gradient(Slopes(slopes, jump), "mine")
    assert told.endswith("in 9 structures, to 0 eV/angstrom, but for 1 in which they differ by up to 84")


@pytest.mark.parametrize("what", ["energy_eV", "forces_eV_per_A"])
def test_a_teacher_is_tried_on_what_it_gives_finite_numbers_for(what):
    def springs(structures):
        """Springs to the origin, whose numbers are finite for structures of at least so many atoms."""
        found = [Prediction(0.5 * float((s.positions**2).sum()), -s.positions) for s in structures]
        if len(structures[0]) >= least:
            return found
        return [replace(f, **{what: np.nan * getattr(f, what)}) for f in found]

    teacher, least = SimpleNamespace(predict=springs), 7
    slopes = measure_slopes(teacher, molecules(12))
    assert 0 < len(slopes.of_forces) < label_gradients.ASKED
    assert "are the gradient of its energy in" in require_gradient(slopes, "mine")
    least = 1000
    with pytest.raises(AssayError, match=r"labels none of the first structures .*: energy or forces of .* not finite"):
        measure_slopes(teacher, molecules(12))
