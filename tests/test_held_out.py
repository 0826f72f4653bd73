"""What is held out of one's own structures where no file of its own is."""

from itertools import pairwise

import numpy as np
import pytest

from assay.data.dataset import from_structures
from assay.data.store import StoredDataset, StoreWriter
from assay.sampling.held_out import hold_out
from assay.structures.structure import Structure


def labelled(name, atomic_numbers):
    positions = np.arange(3.0 * len(atomic_numbers)).reshape(-1, 3)
    zeros = np.zeros_like(positions)
    return Structure(name, np.array(atomic_numbers), positions, energy_eV=0.0, forces_eV_per_A=zeros)


def held_out_of(folder, structures, share=0.1, seed=0, learned=()):
    """The structures that are held out, in their order, and how; none of those whose names were learned."""
    with StoreWriter(folder / "all.h5") as store:
        store.add(from_structures(structures))
    seen = np.isin([structure.name for structure in structures], list(learned))
    mask, how = hold_out(StoredDataset(folder / "all.h5"), share, seed, seen)
    return [structure for structure, held in zip(structures, mask, strict=True) if held], how


def test_one_rare_element_does_not_change_how_much_is_held_out(tmp_path):
    of_compositions = [labelled(f"structure-{k}", [6] * (1 + k % 20) + [1] * (1 + k // 20)) for k in range(200)]
    rare = [labelled(f"rare-{z}", [z, 6]) for z in (9, 15, 16, 17, 35)]
    for seed in range(20):
        held, how = held_out_of(tmp_path, [*rare, *of_compositions], seed=seed)
        assert how == "20 structures of 20 of 205 compositions are held out" and len(held) == 20
        assert not {9, 15, 16, 17, 35} & {z for structure in held for z in structure.atomic_numbers.tolist()}


def test_the_end_of_a_composition_spares_the_last_structure_with_an_element(tmp_path):
    found = [*(labelled(f"structure-{k}", [6, 1]) for k in range(59)), labelled("bromide", [35, 6])]
    held, how = held_out_of(tmp_path, found)
    assert [structure.name for structure in held] == [f"structure-{k}" for k in range(53, 59)]
    assert how.endswith("the last ones of 2 series in 2 compositions, since there are too few compositions that can be "
                        "spared whole")  # fmt: skip


def test_what_was_tried_whole_is_free_again_where_ends_are_held_out(tmp_path):
    """Of three bromides two can be spared, whichever composition was drawn first."""
    bromides = [labelled("bromide-0", [35, 6]), labelled("bromide-1", [35, 6]), labelled("carbide-0", [35, 6, 6])]
    for seed in range(4):
        held, _ = held_out_of(
            tmp_path, [*bromides, *(labelled(f"structure-{k}", [6, 1]) for k in range(60))], 0.5, seed
        )
        assert [structure.name for structure in held[:2]] == ["bromide-1", "carbide-0"] and len(held) == 32


@pytest.mark.parametrize("n_compositions", [1, 7, 40])
def test_ends_of_compositions_add_up_to_the_share(tmp_path, n_compositions):
    """Where each has one other element, none can be held out whole, and small ones take turns."""
    found = [labelled(f"structure-{k}", [1 + k % n_compositions] * 2) for k in range(120)]
    held, _ = held_out_of(tmp_path, found)
    assert len(held) == 12
    kinds = sorted(structure.atomic_numbers[0] for structure in held)
    assert n_compositions < 40 or all(3 <= b - a <= 4 for a, b in pairwise(kinds))


@pytest.mark.parametrize("before", ["", "runs/2026-10/" * 6])
def test_every_trajectory_has_its_end_held_out(tmp_path, before):
    """As text 1600K sorts before 800K, and the frame 10 before 2; and names may begin with a long path."""
    names = [f"{before}NaCl-student_md-{800 * (1 + k % 2)}K-round{n}.{k}" for n in (1, 2) for k in range(6)]
    frames = [labelled(f"{name}.{frame}", [11, 17]) for name in names for frame in range(12)]
    first = [labelled(f"{before}NaCl-{kind}.{k}", [11, 17]) for k in range(12) for kind in ("rattled", "strained")]
    held, _ = held_out_of(tmp_path, [*first, *frames], share=1 / 12)
    kept = [f"{name}.11" for name in names]
    assert [structure.name for structure in held] == [f"{before}NaCl-rattled.11", f"{before}NaCl-strained.11", *kept]


def test_names_of_their_own_are_no_series(tmp_path):
    """The last frames are held out, and not every tenth, where no number at the end of a name tells the order."""
    held, _ = held_out_of(tmp_path, [labelled(f"at {0.5 * k:.1f} fs", [11, 17]) for k in range(50)])
    assert [structure.name for structure in held] == [f"at {0.5 * k:.1f} fs" for k in range(45, 50)]


@pytest.mark.parametrize(("per_group", "n_groups", "words"), [(8, 66, "compositions"), (700, 1, "series")])
def test_nothing_that_was_learned_from_before_is_held_out_of_grown_data(tmp_path, per_group, n_groups, words):
    grown = [
        labelled(f"{group}.{k}", [6] * (1 + group % 12) + [1] * (2 + group // 12))
        for group in range(n_groups)
        for k in range(per_group)
    ]
    first = grown[: len(grown) * 10 // 11]
    held_before = {structure.name for structure in held_out_of(tmp_path, first)[0]}
    learned = {structure.name for structure in first} - held_before
    held, how = held_out_of(tmp_path, grown, learned=learned)
    assert 0.07 * len(grown) < len(held) < 0.13 * len(grown) and words in how
    assert not learned & {structure.name for structure in held}
    anew = {structure.name for structure in held_out_of(tmp_path, grown)[0]}
    assert bool(learned & anew) == (n_groups > 1), "which a draw by itself does not see to"
