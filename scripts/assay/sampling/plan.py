"""The shards of each part of the dataset, from the recipe in the config."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from assay.sampling.molecules import Molecule
from assay.sampling.recipes import Named
from assay.sampling.recombination import other_tautomers
from assay.sampling.shards import Shard
from assay.sampling.teacher import Teacher
from assay.workflow.files import sha256_file

_VALIDATION_ROUND = 50
_RECOMBINED_ROUND = 20
_STUDENT_MD_ROUND = 30
_STUDENT_MD_AGAIN_ROUND = 31
_BETTER_STUDENT_MD_ROUND = 32
_CONTACT_ROUND = 40
_DENSE_ROUND = 60
_ODD_ROUNDS = {"train_bridged": 70, "train_caged": 71, "train_small_cages": 72, "train_altered": 73}
_SCAN_ROUND = 80
# What seeds other tautomers, by the settings that they follow.
_TAUTOMER_ROUNDS = {"tautomers": 99, "larger_tautomers": 100}
# Recipes whose geometries are kept whatever shell their electrons form: they have no bonds in mind.
_ANY_SHELL = ("diatomics", "clusters")
# The first seeds of facing pairs, by the settings that they follow.
_FACING_SEEDS = {"facing": 9_000_000, "facing_apart": 9_050_000}
# The first digits of the seeds of the teacher's own dynamics.
_SEEDS = {
    "validation": 3,
    "unseen_molecules": 4,
    "seen_molecules": 5,
    "larger_molecules": 6,
    "new_molecules": 7,
    "train": 8,
}


def plan(
    part: str,
    splits: dict[str, list[Molecule]],
    recipe: dict[str, Any],
    teacher: Teacher,
    checked: AbstractSet[str] = frozenset(),
) -> list[Shard]:
    """The shards of ``train``, ``validation``, or a test split.

    Args:
        part: the name of the part.
        splits: the molecules of each split. ``seen_molecules`` draws from ``train``, to which all splits named
            ``train_...`` add.
        recipe: the section ``dataset.recipe.labels`` of the config. The functions below say what they read of it.
        teacher: the teacher that labels.
        checked: the identities of the molecules that the physics checks turn and bring together. No scan, no facing
            pair and no other tautomer of training is made of them.
    """
    shards = (
        _training(splits, recipe, teacher, checked) if part == "train" else _held_out(part, splits, recipe, teacher)
    )
    most = recipe["max_partly_filled"]
    return [shard if shard.recipe in _ANY_SHELL else replace(shard, max_partly_filled=most) for shard in shards]


def _training(
    splits: dict[str, list[Molecule]], recipe: dict[str, Any], teacher: Teacher, checked: AbstractSet[str]
) -> list[Shard]:
    listed, recombined = splits["train"], splits["train_recombined"]
    odd = [molecule for name in _ODD_ROUNDS for molecule in splits[name]]
    n_dimers = recipe["dimers"]["train"]
    rounds = [_classical(number, listed, n_dimers, recipe, teacher) for number in range(recipe["rounds"])]
    more = _classical(_RECOMBINED_ROUND, recombined, n_dimers, recipe, teacher)[: recipe["recombined_shards"]]
    labelled = {identity for shard in more for identity, _ in shard.arguments["molecules"]}
    new = [molecule for molecule in recombined if molecule.identity not in labelled]
    unchecked, more_unchecked, unchecked_altered = (
        [molecule for molecule in group if molecule.identity not in checked]
        for group in (listed, recombined, splits["train_altered"])
    )
    return [
        *itertools.chain(*rounds),
        *more,
        *_contacts(listed, recipe, teacher),
        *_dense(listed, recipe, teacher),
        *_student_md(_STUDENT_MD_ROUND, [new, listed], recipe, teacher)[: recipe["student_md"]["shards"]],
        *_student_md(_STUDENT_MD_AGAIN_ROUND, [listed], recipe, teacher)[: recipe["student_md_again_shards"]],
        *_student_md(_BETTER_STUDENT_MD_ROUND, [listed], recipe, teacher, "better_student_md")[
            : recipe["better_student_md"]["shards"]
        ],
        *(
            shard
            for name, number in _ODD_ROUNDS.items()
            for shard in _student_md(number, [splits[name]], recipe, teacher)
        ),
        *_moving("train", odd, "odd_dynamics", recipe, teacher),
        *_scans(unchecked + more_unchecked, recipe, teacher),
        *(shard for settings in _FACING_SEEDS for shard in _facing(unchecked, settings, recipe, teacher)),
        *(
            shard
            for settings in _TAUTOMER_ROUNDS
            for shard in _tautomers(unchecked + more_unchecked + unchecked_altered, settings, recipe, teacher)
        ),
        _close_pairs(recipe, teacher),
    ]


def _held_out(part: str, splits: dict[str, list[Molecule]], recipe: dict[str, Any], teacher: Teacher) -> list[Shard]:
    source = splits["train" if part == "seen_molecules" else part]
    motion = "larger_dynamics" if part == "larger_molecules" else "dynamics"
    moving = _moving(part, source, motion, recipe, teacher)
    if part == "validation":
        return _classical(_VALIDATION_ROUND, splits[part], recipe["dimers"][part], recipe, teacher) + moving
    return moving


def _classical(
    number: int, molecules: Sequence[Molecule], n_dimers: int, recipe: dict[str, Any], teacher: Teacher
) -> list[Shard]:
    """One round: classical geometries of every molecule, dimers, and in the first round every pair of elements.

    ``recipe["classical"]`` holds ``per_molecule``, ``kinds``, ``temperatures_K``, ``molecules_per_shard``,
    ``dimer_max_atoms``, ``dimer_distances_A`` and ``pair_distances``. The number of the round seeds it.
    """
    classical, limit = recipe["classical"], recipe["max_force_eV_per_A"]
    seed = 100_000 * number
    common = {name: classical[name] for name in ("kinds", "per_molecule", "temperatures_K")}
    shards = [
        Shard("sampled", {"molecules": part, "seed": seed + index} | common, teacher, limit)
        for index, part in enumerate(_parts(molecules, classical["molecules_per_shard"]))
    ]
    shards.append(_dimers(molecules, seed + 99_999, n_dimers, classical["dimer_distances_A"], recipe, teacher))
    if number == 0:
        shards.append(Shard("diatomics", {"n_distances": classical["pair_distances"]}, teacher, limit))
    return shards


def _contacts(molecules: Sequence[Molecule], recipe: dict[str, Any], teacher: Teacher) -> list[Shard]:
    """Dimers nearer than any that thermal motion shows: ``count``, ``distances_A`` and ``per_shard`` of
    ``recipe["contacts"]``.
    """
    count, distances_A, per_shard = (recipe["contacts"][name] for name in ("count", "distances_A", "per_shard"))
    seeds = range(100_000 * _CONTACT_ROUND, 100_000 * _CONTACT_ROUND + count // per_shard)
    return [_dimers(molecules, seed, per_shard, distances_A, recipe, teacher) for seed in seeds]


def _close_pairs(recipe: dict[str, Any], teacher: Teacher) -> Shard:
    """Pairs of elements nearer than under the common limit of forces: ``recipe["close_pairs"]`` holds one of its own,
    ``max_force_eV_per_A``, and the arguments of ``recipes.diatomics``.
    """
    arguments = dict(recipe["close_pairs"])
    return Shard("diatomics", arguments, teacher, arguments.pop("max_force_eV_per_A"))


def _dimers(
    molecules: Sequence[Molecule],
    seed: int,
    count: int,
    distances_A: Sequence[float],
    recipe: dict[str, Any],
    teacher: Teacher,
) -> Shard:
    """A shard of ``count`` pairs of small molecules; the distance of their closest atoms lies in a range, angstrom."""
    arguments = {"molecules": _small(molecules, recipe), "seed": seed, "count": count, "distances_A": distances_A}
    return Shard("dimers", arguments, teacher, recipe["max_force_eV_per_A"])


def _dense(molecules: Sequence[Molecule], recipe: dict[str, Any], teacher: Teacher) -> list[Shard]:
    """Matter unlike a molecule, most of it with more neighbors: ``recipe["dense"]`` holds ``shards`` of each kind, and
    the arguments of ``recipes.droplets``, ``recipes.diamonds`` and ``recipes.clusters``.
    """
    dense, limit = recipe["dense"], recipe["max_force_eV_per_A"]
    small = _small(molecules, recipe)
    shards = []
    for seed in range(100_000 * _DENSE_ROUND, 100_000 * _DENSE_ROUND + dense["shards"]):
        shards += [
            Shard("droplets", {"molecules": small, "seed": seed} | dense["droplets"], teacher, limit),
            Shard("diamonds", {"seed": seed} | dense["diamonds"], teacher, limit),
            Shard("clusters", {"seed": seed} | dense["clusters"], teacher, limit),
        ]
    return shards


def _small(molecules: Sequence[Molecule], recipe: dict[str, Any]) -> list[Named]:
    """The molecules that dimers and droplets are made of."""
    return _named(molecule for molecule in molecules if molecule.n_atoms <= recipe["classical"]["dimer_max_atoms"])


def _student_md(
    number: int,
    groups: Sequence[Sequence[Molecule]],
    recipe: dict[str, Any],
    teacher: Teacher,
    section: str = "student_md",
) -> list[Shard]:
    """Frames of dynamics with a student's forces, one trajectory for each molecule, one group after the other.

    That ``section`` of the recipe holds ``molecules_per_shard``, ``checkpoint`` and the arguments of
    ``recipes.student_md``. The number of the round seeds it.
    """
    motion = {name: value for name, value in recipe[section].items() if name != "shards"}
    per_shard, checkpoint = motion.pop("molecules_per_shard"), motion.pop("checkpoint")
    student = {"checkpoint": checkpoint, "sha256": sha256_file(checkpoint)}
    return [
        Shard(
            "student_md",
            {"molecules": part, "seed": 100_000 * number + index, "student": student} | motion,
            teacher,
            recipe["max_force_eV_per_A"],
        )
        for index, part in enumerate(itertools.chain(*(_parts(molecules, per_shard) for molecules in groups)))
    ]


def _scans(molecules: Sequence[Molecule], recipe: dict[str, Any], teacher: Teacher) -> list[Shard]:
    """Turned bonds of the ``molecules`` of at most ``max_atoms``: ``recipe["scans"]``, with ``per_bond`` angles of each
    bond and ``molecules_per_shard``.
    """
    scans = recipe["scans"]
    fitting = [molecule for molecule in molecules if molecule.n_atoms <= scans["max_atoms"]]
    return [
        Shard(
            "scans",
            {"molecules": part, "seed": 100_000 * _SCAN_ROUND + index, "per_bond": scans["per_bond"]},
            teacher,
            recipe["max_force_eV_per_A"],
        )
        for index, part in enumerate(_parts(fitting, scans["molecules_per_shard"]))
    ]


def _facing(molecules: Sequence[Molecule], settings: str, recipe: dict[str, Any], teacher: Teacher) -> list[Shard]:
    """Pairs that face each other atom to atom: ``count``, ``distances_A``, ``per_shard`` and a limit of their own,
    ``max_force_eV_per_A``, of ``recipe[settings]``.
    """
    facing, small, first = recipe[settings], _small(molecules, recipe), _FACING_SEEDS[settings]
    arguments = {"molecules": small, "count": facing["per_shard"], "distances_A": facing["distances_A"]}
    seeds = range(first, first + facing["count"] // facing["per_shard"])
    return [Shard("facing", arguments | {"seed": seed}, teacher, facing["max_force_eV_per_A"]) for seed in seeds]


def _tautomers(molecules: Sequence[Molecule], section: str, recipe: dict[str, Any], teacher: Teacher) -> list[Shard]:
    """Classical geometries of other tautomers of those ``molecules`` whose size is in the range ``n_atoms``, under
    their identities.

    That ``section`` of the recipe holds also ``count``, at most ``per_molecule``, ``geometries`` of each, and
    ``kinds``, ``temperatures_K`` and ``molecules_per_shard``.
    """
    settings = dict(recipe[section])
    (fewest, largest), count, most, per_shard = (
        settings.pop(name) for name in ("n_atoms", "count", "per_molecule", "molecules_per_shard")
    )
    settings["per_molecule"] = settings.pop("geometries")
    fitting = [molecule for molecule in molecules if fewest <= molecule.n_atoms <= largest]
    random.Random(0).shuffle(fitting)
    named = list(itertools.islice(_other_tautomers(fitting, most), count))
    return [
        Shard(
            "sampled",
            {"molecules": named[start : start + per_shard], "seed": 100_000 * _TAUTOMER_ROUNDS[section] + start}
            | settings,
            teacher,
            recipe["max_force_eV_per_A"],
        )
        for start in range(0, len(named), per_shard)
    ]


def _other_tautomers(molecules: Iterable[Molecule], most: int) -> Iterator[Named]:
    for molecule in molecules:
        found = other_tautomers(molecule.smiles)
        for smiles in random.Random(1).sample(found, min(most, len(found))):
            yield molecule.identity, smiles


def _moving(
    part: str, molecules: Sequence[Molecule], motion: str, recipe: dict[str, Any], teacher: Teacher
) -> list[Shard]:
    """The teacher's own dynamics of about as many molecules as ``recipe["dynamics_molecules"]`` has of the part, evenly
    over sizes.

    ``recipe[motion]`` holds ``temperatures_K``, ``frames``, ``thermalization_fs``, ``interval_fs``, ``time_step_fs``
    and ``molecules_per_shard``.
    """
    arguments = dict(recipe[motion])
    per_shard, count = arguments.pop("molecules_per_shard"), recipe["dynamics_molecules"][part]
    by_size = sorted(molecules, key=lambda molecule: molecule.n_atoms)
    shards = _parts(by_size, per_shard)[: -(-count // per_shard)]
    return [
        Shard(
            "dynamics",
            {"molecules": named, "seed": 1_000_000 * _SEEDS[part] + index} | arguments,
            teacher,
            recipe["max_force_eV_per_A"],
        )
        for index, named in enumerate(shards)
    ]


def _parts(molecules: Sequence[Molecule], size: int) -> list[list[Named]]:
    """Deal molecules out in turn, so that shards cost about the same."""
    count = max(1, -(-len(molecules) // size))
    return [_named(molecules[start::count]) for start in range(count)]


def _named(molecules: Iterable[Molecule]) -> list[Named]:
    return [(molecule.identity, molecule.smiles) for molecule in molecules]
