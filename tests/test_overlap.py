"""How much of a split was in the training data: however it is moved, turned, ordered or rounded."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk, molecule

from assay.accuracy.domain import read_domain, without_training_data, write_domain
from assay.accuracy.fitting import fit
from assay.accuracy.overlap import fingerprints_of, overlap
from assay.accuracy.training_data import PART, unknown
from assay.data.dataset import from_structures
from assay.structures.geometry import moved, random_rotations, shaken
from assay.structures.structure import Structure
from shared.report_results import STUDENTS, change, make_benchmarks, make_results, read, write_report

RNG = np.random.default_rng(3)
TRAINING = ("CH3CH2OH", "C6H6", "CH3CONH2", "H2O", "CH3COOH")


def thermal(name, seed=0, amplitude_A=0.04):
    """A molecule without any symmetry, with labels of no meaning."""
    start = Structure.from_ase(molecule(name), name)
    structure = shaken(start, amplitude_A, np.random.default_rng([seed, *name.encode()]))
    return replace(structure, energy_eV=0.0, forces_eV_per_A=np.zeros((len(structure), 3)))


def known(structures=None):
    return fingerprints_of(structures or [thermal(name) for name in TRAINING])


def found(structures, training=None):
    result = overlap(training or known(), fingerprints_of(structures), all_described=True)
    return result["same_structure"], result["same_molecule"]


def turned(structure):
    turn, order = random_rotations(1, RNG)[0], RNG.permutation(len(structure))
    positions = (structure.positions @ turn.T + RNG.normal(0, 5, 3))[order]
    return replace(structure, atomic_numbers=structure.atomic_numbers[order], positions=positions, forces_eV_per_A=None)


def test_a_structure_is_known_again_turned_moved_reordered_and_rounded():
    seen = [thermal(name) for name in TRAINING]
    assert found([turned(structure) for structure in seen]) == (5, 5)
    assert found([moved(s, s.positions.round(4)) for s in seen]) == (5, 5)
    assert found([moved(s, s.positions.astype(np.float32).astype(float)) for s in seen]) == (5, 5)


def test_another_geometry_of_a_molecule_is_the_molecule_and_not_the_structure():
    assert found([thermal(name, seed) for name in TRAINING for seed in (1, 2, 3)]) == (0, 15)


def test_a_step_of_dynamics_is_another_structure():
    steps = [shaken(thermal(name), 0.005, RNG) for name in TRAINING]
    assert found(steps) == (0, 5)


@pytest.mark.parametrize("other", ["CH3OCH3", "CH3CH2NH2", "HCOOH", "C5H5N", "CH4"])
def test_an_isomer_or_a_neighbor_is_another_molecule(other):
    assert found([thermal(other)]) == (0, 0)


def test_a_pair_of_known_molecules_is_new():
    both = molecule("H2O")
    both.translate([4.0, 0, 0])
    assert found([Structure.from_ase(molecule("H2O") + both)]) == (0, 0)


def test_a_crystal_is_known_again_from_another_corner():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    shifted = atoms.copy()
    shifted.positions += 1.3
    shifted.wrap()
    other = atoms.copy()
    other.rattle(0.02, seed=2)
    training = known([Structure.from_ase(atoms)])
    assert found([Structure.from_ase(shifted)], training)[0] == 1
    assert found([Structure.from_ase(other)], training)[0] == 0


def test_nothing_is_like_a_structure_without_atoms():
    empty = Structure("empty", np.zeros(0, dtype=np.int64), np.zeros((0, 3)))
    assert found([empty, thermal("H2O")]) == (1, 1)
    assert found([]) == (0, 0)


@pytest.fixture(scope="module")
def domain():
    train = [thermal(name, seed) for name in TRAINING for seed in range(4)]
    others = [thermal(name, seed) for name in ("CH3CH2NH2", "HCOOH", "CH3OCH3") for seed in range(4)]
    return fit(from_structures(train), from_structures(others), points_per_element=50, seed=0)


def test_a_description_of_training_data_counts_and_survives_a_file(domain, tmp_path):
    split = [thermal("C6H6", 2), turned(thermal("H2O", 1)), thermal("H2O", 77), thermal("CH4")]
    write_domain(tmp_path / "domain.npz", domain)
    for described in (domain, read_domain(tmp_path / "domain.npz")):
        counted = described.overlap_with(split)
        assert (counted["same_structure"], counted["same_molecule"], counted["n_structures"]) == (2, 3, 4)
        assert counted["sentence"].startswith("of 4 structures 2 are training structures, and 3 are of molecules")


def test_a_part_of_the_training_data_gives_a_lower_bound(domain):
    part = replace(domain, training_data=replace(domain.training_data, extent=PART, n_training=999))
    counted = part.overlap_with([thermal("C6H6", 2)])
    assert counted["is_lower_bound"] and "at least 1 are training structures" in counted["sentence"]
    assert part.overlap_with([thermal("CH4"), thermal("C6H6", 77)])["sentence"] == (
        "of 2 structures none is known to be a training structure, and at least 1 are of molecules that the training "
        "data hold"
    )
    assert part.overlap_with([thermal("CH4")])["sentence"].endswith(
        ", and none is of a molecule that the training data are known to hold"
    )
    whole = domain.overlap_with([thermal("CH4")])["sentence"]
    assert whole.startswith("of 1 structures 0 are training structures, and 0 are of molecules")


def test_a_student_also_learned_from_what_the_one_did_that_it_went_on_from(domain, tmp_path):
    earlier = [thermal(name, 50) for name in ("CH4", "C2H6", "CH3OH")]
    others = [thermal(name, 51) for name in ("CH4", "C2H6", "CH3OH")]
    origin = fit(from_structures(earlier), from_structures(others), points_per_element=50, seed=0)
    split, known_of = [*earlier[:2], thermal("C6H6", 2)], []
    for described in (domain, domain.after(origin), domain.after(None), domain.after(origin.after(None))):
        write_domain(tmp_path / "domain.npz", described)
        counted = read_domain(tmp_path / "domain.npz").overlap_with(split)
        known_of.append((counted["same_structure"], counted["is_lower_bound"]))
    assert known_of == [(1, False), (3, False), (1, True), (3, True)]


def test_nothing_is_counted_where_the_training_data_are_unknown(domain, tmp_path):
    assert without_training_data(unknown("nobody tells")).overlap_with([thermal("C6H6")]) is None
    write_domain(tmp_path / "old.npz", replace(domain, fingerprints=None))
    assert read_domain(tmp_path / "old.npz").overlap_with([thermal("C6H6")]) is None


def test_the_report_says_what_of_a_split_was_trained_on(tmp_path):
    folder = make_results(tmp_path / "results")
    counted = overlap(known(), known(), all_described=False)

    def leak(content):
        content["splits"]["unseen_molecules"]["overlap"] = counted
        content["splits"]["larger_molecules"]["overlap"] = counted | {"same_structure": 0, "same_molecule": 0}

    change(folder, "accuracy", leak)
    summary = write_report(tmp_path / "report", folder, make_benchmarks(tmp_path, []))
    (target,) = (t for t in summary["targets"] if (t["name"], t["variant"]) == ("Force accuracy", "tiny"))
    assert target["reason"] == counted["sentence"] and "at least 5 are training structures" in counted["sentence"]
    page = (tmp_path / "report/report.html").read_text()
    assert page.count(">≥ 5<") == 2 * len(STUDENTS) == 2 * len(read(folder))
    assert page.count(">none known<") == page.count(">not known<") == 2 * len(STUDENTS)
