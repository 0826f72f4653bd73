"""Faults that single molecules do not show: kept lists and results, crowds, images, stress, confused elements."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import units
from ase.data import atomic_masses

from assay.models.graph import EdgeGraph
from assay.neighbors.lists import build_graph
from assay.physics.checks import CHECKS, SCOPE, measure
from assay.physics.lattice import equation_of_state
from assay.physics.lattice_dynamics import STEP_A, displaced_frames, doubled, phonon_wavenumbers
from assay.physics.reference import DISPLACED_CELL, SCALED_CELL, STRAINED_CELL, VACANCY, Reference
from assay.physics.relax import force_jacobians, wavenumbers
from assay.physics.verdict import verdict_of
from assay.predictors.interface import Prediction
from assay.structures.structure import collate
from assay.workflow.errors import AssayError
from shared.physics_faulty import Crystalline, Faulty, Neglectful, PairsOver, assert_caught, outcomes
from shared.physics_toys import TEACHER, THRESHOLDS, Pairs, crystal, predictor, subject, toy_reference


def farthest(gone):
    """The usual measure of how far atoms have gone (N, 3): the longest way of one of them."""
    return np.linalg.norm(gone, axis=1).max()


class KeptList(Neglectful):
    """A shipped student over a neighbor list with a skin, searched again once atoms have gone ``search_A``."""

    def __init__(self, skin_A, search_A, way=farthest):
        super().__init__(None)
        self.skin, self.search, self.way, self.lists = skin_A, search_A, way, {}

    def predict(self, structures):
        found = []
        for structure in structures:
            key, x = structure.atomic_numbers.tobytes(), structure.positions
            if key not in self.lists or self.way(x - self.lists[key][0]) > self.search:
                gaps = np.linalg.norm(x[:, None] - x[None], axis=-1)
                self.lists[key] = x, torch.as_tensor(gaps < self.cutoff_A + self.skin)
            self.keep = lambda _, key=key: self.lists[key][1]
            found += super().predict([structure])
        return found


KEPT_FOR_TOO_LONG = {
    "for ever": (1.0, np.inf),
    "for the whole skin": (1.0, 1.0),
    "for 0.7 of the skin": (1.0, 0.7),
    "for more than the skin": (0.3, 0.5),
    "by the longest coordinate": (1.0, 0.5, lambda gone: np.abs(gone).max()),
    "by the mean way": (1.0, 0.5, lambda gone: np.linalg.norm(gone, axis=1).mean()),
    "by the root mean square": (1.0, 0.5, lambda gone: np.sqrt((gone**2).sum(1).mean())),
}


@pytest.mark.parametrize("kept", KEPT_FOR_TOO_LONG.values(), ids=KEPT_FOR_TOO_LONG.keys())
def test_a_neighbor_list_that_is_kept(kept):
    assert_caught(KeptList(*kept), ["history"], ["determinism", "cutoff"])


def test_a_neighbor_list_that_is_searched_again_in_time():
    assert_caught(KeptList(1.0, 0.499), [], ["history"])


class Kept(Faulty):
    """Answers that are kept by ``key``, as long as no coordinate has changed by ``tolerance_A``."""

    def __init__(self, key, tolerance_A):
        super().__init__()
        self.key, self.tolerance, self.answers = key, tolerance_A, {}

    def predict(self, structures):
        found = []
        for structure in structures:
            key, x = self.key(structure), structure.positions
            if key not in self.answers or np.abs(x - self.answers[key][0]).max() > self.tolerance:
                self.answers[key] = x, self.inner.predict([structure])[0]
            found.append(self.answers[key][1])
        return found


@pytest.mark.parametrize("tolerance_A", [1e-2, 1e-3, 1e-4])
def test_a_result_that_is_kept_while_atoms_hardly_move(tolerance_A):
    assert_caught(Kept(lambda s: s.atomic_numbers.tobytes(), tolerance_A), ["history"], ["determinism"])


def test_elements_that_are_kept_by_the_number_of_atoms():
    class Stale(Faulty):
        def predict(self, structures):
            kept = [replace(s, atomic_numbers=self.kept.setdefault(len(s), s.atomic_numbers)) for s in structures]
            return self.inner.predict(kept)

    student = Stale()
    student.kept = {}
    assert_caught(student, ["permutation", "history"], ["determinism", "force_consistency"])


def test_forces_of_the_call_before():
    class Late(Faulty):
        def predict(self, structures):
            found = []
            for structure, now in zip(structures, self.inner.predict(structures), strict=True):
                before = self.before.setdefault(structure.atomic_numbers.tobytes(), now)
                self.before[structure.atomic_numbers.tobytes()] = now
                found.append(Prediction(now.energy_eV, 0.5 * (now.forces_eV_per_A + before.forces_eV_per_A)))
            return found

    student = Late()
    student.before = {}
    assert_caught(student, ["history", "force_consistency", "continuity", "nve"])


def test_a_batch_of_more_structures_than_a_byte_can_number():
    class Overflow(Faulty):
        def predict(self, structures):
            found = self.inner.predict(structures)
            return [found[k % 256] for k in range(len(found))]

    assert_caught(Overflow(), ["batch"], ["rotation", "permutation", "history"])


def test_padding_atoms_that_have_energy():
    class Padded(Faulty):
        def predict(self, structures):
            most, found = max(map(len, structures)), self.inner.predict(structures)
            pairs = zip(structures, found, strict=True)
            return [Prediction(p.energy_eV + 1e-5 * (most - len(s)), p.forces_eV_per_A) for s, p in pairs]

    assert_caught(Padded(), ["batch"], ["permutation", "force_consistency"])


def test_sizes_that_are_rounded_up_to_eight():
    student = Faulty(lambda s, e, f, k: (e + 1e-4 * (-len(s) % 8), f))
    assert_caught(student, ["extensivity"], ["batch", "permutation", "force_consistency"])


def test_a_search_for_large_structures_that_is_wrong():
    student = Faulty(lambda s, e, f, k: (e, f * (1.05 if len(s) > 500 else 1.0)))
    assert_caught(student, ["extensivity"], ["batch", "locality", "work", "continuity"])


def test_bins_that_are_smaller_than_the_cutoff():
    class Binned(PairsOver):
        def __init__(self):
            super().__init__(None)

        def one(self, structure):
            bins = np.floor(structure.positions / 3.0)
            near = torch.as_tensor((np.abs(bins[:, None] - bins[None]) <= 1).all(-1))
            self.keep = lambda distance: near
            return super().one(structure)

    assert_caught(Binned(), ["continuity"], ["permutation", "determinism"])


def test_a_neighbor_list_of_one_direction_only():
    student = PairsOver(lambda distance: (distance < 3.0) | torch.ones_like(distance).tril().bool())
    assert_caught(student, ["continuity", "work"], ["rotation", "translation"])


@pytest.mark.parametrize(
    ("energy_eV", "by"),
    [
        (lambda gaps: 1e-3 * (gaps < 4.0), ["work", "continuity"]),
        (lambda gaps: 1e-3 * np.exp(-((gaps / 2.0) ** 4)), ["force_consistency", "continuity"]),
    ],
    ids=["for each neighbor", "a smooth one"],
)
def test_a_term_that_is_added_after_the_forces(energy_eV, by):
    def add(structure, energy, forces, k):
        gaps = np.linalg.norm(structure.positions[:, None] - structure.positions[None], axis=-1)
        return energy + float(energy_eV(gaps).sum()), forces

    assert_caught(Faulty(add), by, ["rotation", "permutation", "batch"])


def test_forces_that_are_clipped_where_they_are_large():
    student = Faulty(lambda s, e, f, k: (e, np.clip(f, -2.0, 2.0)))
    assert_caught(student, ["work"], ["force_consistency", "cutoff", "net_force"])


def test_positions_in_half_precision_about_the_center():
    def coarse(structure):
        center = structure.positions.mean(0)
        return replace(structure, positions=(structure.positions - center).astype(np.float16).astype(float) + center)

    assert_caught(Faulty(question=coarse), ["force_consistency", "continuity", "nve"], ["determinism", "batch"])


def test_elements_beyond_chlorine_that_are_one():
    student = Faulty(question=lambda s: replace(s, atomic_numbers=np.minimum(s.atomic_numbers, 17)))
    student.elements = frozenset(range(1, 21))
    assert_caught(student, ["elements"], ["rotation", "permutation", "force_consistency", "continuity"])


def images_where(keep):
    """A fault that keeps some edges: ``keep`` takes the structure, edges (2, E), images (E, 3) and distances (E,)."""

    def fault(inner, structure):
        numbers, x, batch = collate([structure], dtype=torch.float64)
        graph = build_graph(x, batch, 5.0, cells=structure.cell[None], pbc=structure.pbc[None])
        (neighbor, center), shift = graph.edge_index, graph.shift
        distance = (x[neighbor] - x[center] + shift).norm(dim=-1)
        kept = keep(
            structure, graph.edge_index, torch.round(shift @ torch.linalg.inv(torch.tensor(structure.cell))), distance
        )
        part = EdgeGraph(graph.edge_index[:, kept], shift[kept], len(x))
        result = inner.energy_and_forces(numbers, x, batch, 1, part)
        return Prediction(float(result.energy[0]), result.forces.numpy())

    return fault


def nearest_image(structure, edges, image, distance):
    pair = edges[0] * len(structure) + edges[1]
    least = torch.full((len(structure) ** 2,), torch.inf, dtype=torch.float64).scatter_reduce(0, pair, distance, "amin")
    return distance <= least[pair] + 1e-9


CRYSTAL_FAULTS = {
    "images of an atom itself": images_where(lambda s, edges, image, d: edges[0] != edges[1]),
    "all but the nearest image": images_where(nearest_image),
    "images beyond the next cell": images_where(lambda s, edges, image, d: image.abs().amax(1) <= 1),
    "the cell": lambda inner, s: inner.predict([replace(s, pbc=np.zeros(3, dtype=bool))])[0],
    "the open side of a slab": lambda inner, s: inner.predict([replace(s, pbc=np.ones(3, dtype=bool))])[0],
    "angles": lambda inner, s: inner.predict([replace(s, cell=np.diag(np.linalg.norm(s.cell, axis=1)))])[0],
    "rows from columns": lambda inner, s: inner.predict([replace(s, cell=s.cell.T.copy())])[0],
}


@pytest.mark.parametrize("fault", CRYSTAL_FAULTS.values(), ids=CRYSTAL_FAULTS.keys())
def test_periodic_structures_that_miss(fault):
    assert_caught(Crystalline(fault), ["images"], ["rotation", "permutation", "cutoff"])


def test_images_dropped_within_the_cutoff():
    student = Crystalline(images_where(lambda s, edges, image, distance: distance < 3.5))
    assert_caught(student, ["continuity"], ["images", "permutation"])


def test_a_cell_that_is_kept_from_the_first_call():
    cells = {}

    def kept(inner, structure):
        return inner.predict([replace(structure, cell=cells.setdefault(len(structure), structure.cell))])[0]

    assert_caught(Crystalline(kept), ["images", "stress"])


STRESSES = {
    "GPa": lambda stress, volume: 160.2 * stress,
    "the virial": lambda stress, volume: -volume * stress,
    "the other sign": lambda stress, volume: -stress,
    "half of each shear": lambda stress, volume: stress * (0.5 + 0.5 * np.eye(3)),
    "another order of Voigt": lambda stress, volume: stress[:, [0, 2, 1]][[0, 2, 1]],
    "half a percent more": lambda stress, volume: 1.005 * stress,
}


@pytest.mark.parametrize("changed", STRESSES.values(), ids=STRESSES.keys())
def test_a_stress_that_is(changed):
    def fault(inner, structure):
        (p,) = inner.predict([structure])
        if p.stress_eV_per_A3 is None:
            return p
        return replace(p, stress_eV_per_A3=changed(p.stress_eV_per_A3, abs(np.linalg.det(structure.cell))))

    assert_caught(Crystalline(fault), ["stress"], ["images"])


@pytest.mark.parametrize("check", ["rotation", "reflection"])
def test_an_energy_that_is_no_number_for_one_copy_alone(check):
    class Lapse(Faulty):
        def predict(self, structures):
            found = self.inner.predict(structures)
            return [*found[:2], replace(found[2], energy_eV=np.nan), *found[3:]]

    assert outcomes(Lapse(), [check]) == {check: "fail"}


def silent(inner, structure):
    """A prediction without its stress."""
    return replace(inner.predict([structure])[0], stress_eV_per_A3=None)


def test_no_dynamics_is_ready_that_was_never_run():
    crystals_alone = subject(Crystalline(silent))
    crystals_alone.reference = Reference([f for f in toy_reference().frames if f.structure.pbc.all()], TEACHER)
    judged = verdict_of(measure(crystals_alone, ["images", "nve", "stability", "npt"]), THRESHOLDS)
    assert judged["not_applicable"] == ["nve", "stability", "npt"]
    assert (judged["verdict"], judged["failed"]) == ("screening-only", [])
    assert judged["capped"].endswith("because 1 check could not be judged: the model gives no stress")


def test_a_model_without_crystals_or_stress_is_not_blamed():
    class Open(Faulty):
        def predict(self, structures):
            if any(structure.pbc.any() for structure in structures):
                raise AssayError("no periodic structures here")
            return self.inner.predict(structures)

    assert outcomes(Open(), ["images", "stress"]) == {"images": "not applicable", "stress": "not applicable"}
    assert outcomes(Crystalline(silent), ["images", "stress"]) == {"images": "pass", "stress": "not applicable"}


@pytest.mark.parametrize(
    ("change", "by"),
    [
        (
            lambda model: model.depth.mul_(2.0),
            ["equation_of_state", "elastic_constants", "rattled_cells", "phonons", "vacancies"],
        ),
        (lambda model: model.radius.mul_(1.03), ["equation_of_state", "rattled_cells", "phonons"]),
    ],
    ids=["stiffer", "larger"],
)
def test_crystals_that_are(change, by):
    model = Pairs()
    with torch.no_grad():
        change(model)
    assert_caught(predictor(model), by, ["images", "stress", "continuity"])


def test_crystals_whose_atoms_leave_too_easily():
    """Cells with an odd number of atoms, as those with a vacancy are, lie 0.3 eV too low."""

    def fault(inner, structure):
        (p,) = inner.predict([structure])
        return replace(p, energy_eV=p.energy_eV - 0.3 * (len(structure) % 2))

    assert_caught(Crystalline(fault), ["vacancies"], ["phonons", "rattled_cells", "elastic_constants", "stress"])


def test_phonons_are_the_vibrations_of_the_whole_supercell():
    """One cell's force constants say what those of all sixteen atoms say, with all atoms displaced one by one."""
    frames = list(displaced_frames(crystal()))
    forces = np.array([prediction.forces_eV_per_A for prediction in predictor().predict([f.structure for f in frames])])
    found = phonon_wavenumbers(crystal().atomic_numbers, 2, forces)
    whole, times = doubled(crystal())
    assert (times, len(frames), len(whole), len(found)) == (2, 12, 16, 3 * 16 - 3)
    (jacobian,) = force_jacobians(predictor(), [whole], STEP_A)
    root = np.sqrt(np.repeat(atomic_masses[whole.atomic_numbers], 3))
    every = wavenumbers(np.linalg.eigvalsh(-0.5 * (jacobian + jacobian.T) / np.outer(root, root)))
    kept = np.sort(every[np.argsort(np.abs(every))[3:]])
    np.testing.assert_allclose(np.sort(found), kept, atol=1e-3 * np.abs(kept).max())


def test_the_equation_of_state_of_a_known_crystal():
    """E = B V0 / 2 (V / V0 - 1)^2 with B of 100 GPa and V0 of 40 angstrom^3, scanned from another volume."""
    scales = np.linspace(0.97, 1.03, 7)
    volumes = 41.0 * scales**3
    energies = 0.5 * 100.0 * units.GPa * 40.0 * (volumes / 40.0 - 1.0) ** 2
    volume, modulus = equation_of_state(scales, energies, 41.0)
    assert volume == pytest.approx(40.0, rel=1e-4)
    assert modulus == pytest.approx(100.0, rel=1e-2)
    assert np.isnan(equation_of_state(scales, scales, 41.0)).all()


def test_a_model_of_crystals_alone_is_judged_by_clusters_of_them():
    frames = [frame for frame in toy_reference().frames if frame.group == "KNa"]
    alone = replace(subject(predictor()), reference=Reference(frames, toy_reference().teacher))
    names = ["rotation", "permutation", "force_consistency", "continuity", "images", "stress", "equation_of_state"]
    judged = verdict_of(measure(alone, names), THRESHOLDS)
    assert {name: check["outcome"] for name, check in judged["checks"].items()} == dict.fromkeys(names, "pass")
    assert [len(cluster) for cluster in alone.molecules] == [6, 13]
    assert np.linalg.norm(alone.molecules[1].positions, axis=1).max() < 7.0


def test_crystals_have_no_say_where_the_reference_has_none():
    names = ["equation_of_state", "elastic_constants", "rattled_cells", "phonons", "vacancies"]
    empty = replace(subject(predictor()), reference=Reference([], toy_reference().teacher))
    assert {row["lacks"] for row in measure(empty, names).values()} == {SCOPE}


def test_every_check_is_shown_to_fail():
    sources = [path.read_text() for path in Path(__file__).parent.glob("test_physics_*faults.py")]
    assert [name for name in CHECKS if not any(f'"{name}"' in source for source in sources)] == []


def test_a_constant_of_each_element_is_no_fault_of_a_vacancy():
    shifted = Faulty(lambda s, e, f, k: (e + float(0.5 * len(s) + 0.7 * (s.atomic_numbers == 19).sum()), f))
    assert_caught(shifted, [], ["vacancies", "equation_of_state", "elastic_constants", "phonons"])


def test_a_crystal_is_judged_on_what_its_teacher_could_compute():
    def without(*left_out):
        """The faultless student beside a teacher that failed at the first frame of some kinds."""
        found, frames = subject(predictor()), list(toy_reference().frames)
        for kind in left_out:
            del frames[[frame.kind for frame in frames].index(kind)]
        found.reference = Reference(frames, toy_reference().teacher)
        return found

    kinds = {STRAINED_CELL: "elastic_constants", DISPLACED_CELL: "phonons", VACANCY: "vacancies"}
    lacking = measure(without(*kinds), list(kinds.values()))
    for name, result in lacking.items():
        assert (result["status"], result["lacks"]) == ("not applicable", "reference"), name
        assert result["message"].startswith("the teacher could not compute all")
    assert np.allclose(without(SCALED_CELL).crystals[0].cell, without().crystals[0].cell)
    assert [crystal.name for crystal in without(SCALED_CELL).crystals] == ["KNa"]
    raw = measure(without(), ["equation_of_state"])["equation_of_state"]["raw"]
    assert (list(raw["crystals"]), raw["without_least_energy_of_teacher"]) == (["KNa"], [])
