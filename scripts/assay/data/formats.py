"""One reader for every file of labelled structures."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import all_properties
from ase.data import chemical_symbols

from assay.data.aims_files import open_aims
from assay.data.ase_files import AseFile, DatabaseFile
from assay.data.checks import check, is_sound, lacks_hydrogens
from assay.data.cp2k_files import Cp2kFile, open_xyz
from assay.data.cp2k_outputs import open_cp2k_output
from assay.data.dataset import Dataset, from_structures
from assay.data.deepmd_files import DeepmdFile, has_systems
from assay.data.espresso_files import open_espresso
from assay.data.extxyz import XyzFile, is_trajectory_of_xtb
from assay.data.frames import Frame, FrameFile
from assay.data.gaussian_labels import open_gaussian
from assay.data.hdf5 import open_hdf5
from assay.data.label_names import KINDS, OF_CELLS, has_value, says_unconverged, weightless_kinds, without_fillers
from assay.data.labels import (
    LabelKeys,
    Labels,
    check_rivals,
    find_labels,
    lacks_forces,
    with_stress_of,
    with_zero_forces,
)
from assay.data.mlip_files import MlipFile
from assay.data.mol_files import MolFile
from assay.data.npz import NpzFile
from assay.data.orca_files import open_orca
from assay.data.programs import begin_of, of_program, program_of
from assay.data.runner_files import is_runner, open_runner
from assay.data.spellings import atomic_numbers
from assay.data.vasp_files import open_vasp
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from assay.workflow.runs import COMPRESSIONS

_READERS: Mapping[str, Callable[[Path], FrameFile]] = {
    ".xyz": open_xyz,
    ".extxyz": open_xyz,
    ".db": DatabaseFile,
    ".aselmdb": DatabaseFile,
    ".json": DatabaseFile,
    ".traj": AseFile,
    ".npz": NpzFile,
    ".h5": open_hdf5,
    ".hdf5": open_hdf5,
}
_OUTPUTS: Mapping[str | None, Callable[[Path, bool], FrameFile]] = {
    "CP2K": open_cp2k_output,
    "Quantum ESPRESSO": open_espresso,
}
_LABELLED: Mapping[str, Callable[[Path], FrameFile]] = {
    "FHI-aims": open_aims,
    "Gaussian": open_gaussian,
    "MLIP": MlipFile,
    "ORCA": open_orca,
}
_MOLFILES = (".mol", ".sdf")
KEYS = {field.name for field in fields(LabelKeys)}
_COUNTED = {
    "open": "the stress of {n} structures of {path} is left out, because they do not repeat along all axes",
    "lone": "{n} structures of {path} are one atom each without forces, which are zero",
    "gap": "{n} structures of {path} have no such label and are left out",
}
MANY = 50_000  # structures that stand for a file of any size where they only serve as examples


def read_dataset(
    source: str | Path | Mapping[str, Any],
    at_most: int | None = None,
    seed: int = 0,
    part: tuple[int, int] | None = None,
) -> Dataset:
    """Read and check labelled structures, and print what is read as what.

    Extended XYZ (.xyz, .extxyz, also .gz, .bz2 and .xz), ASE databases and trajectories (.db, .aselmdb, .json, .traj),
    arrays (.npz) and HDF5 (.h5, .hdf5) of several layouts, and outputs of VASP, CP2K, Quantum ESPRESSO, FHI-aims, ORCA
    and Gaussian, configurations of MLIP and `input.data` of n2p2 by any name, and folders of DeePMD-kit. Files are read
    piece by piece, and only what is kept stays in memory. Warns with the number of structures that look as if their
    hydrogens were dropped.

    Args:
        source: a path; or an entry of ``dataset.splits`` of the config, with ``path`` and the fields of ``LabelKeys``.
        at_most: the largest number of structures, drawn at random without repetition; None for all.
        seed: seed of the drawn structures.
        part: which of so many consecutive, nearly equal parts of these structures is read, counted from 0, and how many
            there are; None for all. A part may be empty.

    Raises:
        AssayError: the file is missing, of another format, or holds something no student can learn from.
    """
    file, keys = _opened(source)
    chosen = None
    if at_most is not None and (total := file.count()) > at_most:
        chosen = np.sort(np.random.default_rng(seed).choice(total, size=at_most, replace=False))
        print(f"{at_most} of the {total} structures of {file.path} are drawn at random")
    if part is not None:
        chosen = np.arange(file.count()) if chosen is None else chosen
        k, n_parts = part
        chosen = chosen[len(chosen) * k // n_parts : len(chosen) * (k + 1) // n_parts]
    found = list(_labelled(file, keys, chosen))
    if part is not None and not found:
        return from_structures([])
    if not found and (total := file.count()):
        how, to_do = ("", "label them") if chosen is None else (" that are drawn at random", "draw more, or label them")
        n_read = total if chosen is None else len(chosen)
        raise AssayError(f"none of the {n_read} structures of {file.path}{how} has an energy and forces: {to_do}")
    dataset = _columns(found)
    check(dataset, file.path)
    suspicious = sum(lacks_hydrogens(structure) for structure in dataset)
    if suspicious:
        warnings.warn(
            f"{suspicious} of {len(dataset)} structures of {file.path} look as if their hydrogens were dropped",
            stacklevel=2,
        )
    return dataset


def count_structures(source: str | Path | Mapping[str, Any]) -> int:
    """The number of structures of a file. The argument and errors are those of ``read_dataset``."""
    return _opened(source)[0].count()


def read_blocks(source: str | Path | Mapping[str, Any], n_structures: int) -> Iterator[Dataset]:
    """Read and check labelled structures, at most ``n_structures`` at once. Arguments and errors are those of
    ``read_dataset``; what is suspicious is not counted.
    """
    file, keys = _opened(source)
    structures = _labelled(file, keys, None)
    while found := list(islice(structures, n_structures)):
        block = _columns(found)
        check(block, file.path)
        yield block


def read_examples(sources: Iterable[str | Path | Mapping[str, Any]]) -> list[Structure]:
    """Structures of several files, at most ``MANY`` of each, without those that no student can judge.

    Left out are structures with an atom astray, or with atoms inside of each other, such as those in another unit of
    length. Arguments and errors are those of ``read_dataset``.
    """
    structures = [structure for source in sources for structure in read_dataset(source, MANY)]
    examples = [structure for structure in structures if is_sound(structure)]
    if len(examples) < len(structures):
        print(f"{len(structures) - len(examples)} structures have atoms astray or inside of each other: left out")
    return examples


def open_frames(path: str | Path) -> FrameFile:
    """A file of structures, to be read frame by frame.

    Raises:
        AssayError: the file is missing, damaged or of no format that is known.
    """
    path = Path(path)
    if path.is_dir():
        if has_systems(path):
            return DeepmdFile(path)
        raise AssayError(
            f"{path} is a folder without systems of DeePMD-kit (type.raw), and a set is none alone: name a file of "
            "structures, or make one of those of many calculations by scripts/gather.py"
        )
    if not path.is_file():
        raise AssayError(f"there is no file {path}: check the path")
    suffix, is_compressed = _suffix(path), path.suffix.lower() in COMPRESSIONS
    if suffix not in _READERS or (is_compressed and _READERS[suffix] is not open_xyz):
        output = _open_output(path, labelled=True)
        if output is not None:
            return output
        if is_trajectory_of_xtb(path):
            raise AssayError(
                f"{path} is a trajectory of xtb, which has energies and no forces: label its structures, and write "
                "them as extended XYZ"
            )
        raise AssayError(
            of_program(path, labelled=True)
            or f"{path} is of no format that is known: use one of {', '.join(_READERS)}, or .xyz with "
            f"{', '.join(COMPRESSIONS)} behind it"
        )
    return _READERS[suffix](path)


def open_any(path: str | Path) -> FrameFile:
    """A file of structures in a format of ``open_frames``, or in any other that ASE reads, whose labels are not wanted.

    Raises:
        AssayError: the file is missing, damaged or of no format that is known.
    """
    path = Path(path)
    if not path.is_file() or _suffix(path) in _READERS:
        file = open_frames(path)
        return file.without_labels() if isinstance(file, Cp2kFile) else file
    if _suffix(path) in _MOLFILES:
        return MolFile(path)
    if is_trajectory_of_xtb(path):
        return XyzFile(path)
    return _open_output(path, labelled=False) or AseFile(path)


def _open_output(path: Path, labelled: bool) -> FrameFile | None:
    """An output of a program that is read without ASE; None of any other file."""
    begin = begin_of(path)
    if labelled and is_runner(begin):
        return open_runner(path)
    program = program_of(begin)
    if program == "VASP":
        return open_vasp(path, begin, labelled)
    if program in _OUTPUTS:
        return _OUTPUTS[program](path, labelled)
    reader = _LABELLED.get(program or "") if labelled else None
    return None if reader is None else reader(path)


def _suffix(path: Path) -> str:
    """The suffix of a format in small letters, without that of compression."""
    return (path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path).suffix.lower()


def _opened(source: str | Path | Mapping[str, Any]) -> tuple[FrameFile, LabelKeys]:
    """A file of labelled structures, and what the caller says of its labels."""
    if not isinstance(source, Mapping):
        return open_frames(source), LabelKeys()
    keys = LabelKeys(**{key: value for key, value in source.items() if key in KEYS and value is not None})
    file = open_frames(source["path"])
    if not keys.elements:
        return file, keys
    if not isinstance(file, DeepmdFile | MlipFile):
        raise AssayError(f"{file.path} tells elements by itself: leave out `elements`, which are those of types")
    numbers = atomic_numbers(np.array(keys.elements, dtype=object), f"`elements` beside {file.path}")
    return file.with_elements([chemical_symbols[number] for number in numbers]), keys


def _columns(found: Sequence[tuple[int, Structure, Labels]]) -> Dataset:
    """What ``_labelled`` gave, as columns."""
    numbers = np.array([number for number, _, _ in found], dtype=np.int64)
    dataset = from_structures([structure for _, structure, _ in found])
    return replace(dataset, numbers=numbers, read_as=found[-1][2].read_as if found else {})


def _labelled(file: FrameFile, keys: LabelKeys, chosen: np.ndarray | None) -> Iterator[tuple[int, Structure, Labels]]:
    """The place of each labelled structure in the file, the structure, and what its labels are, which it prints."""
    frames = _frames(file, keys, chosen)
    begin = _until_forces(frames, keys)
    if not begin:
        return
    telling = begin[-1][1]
    if chosen is not None and lacks_forces(telling, keys.forces_key):
        telling = _until_forces(_frames(file, keys, None), keys)[-1][1]
    labels = find_labels(telling, keys, file.layout, file.path)
    counts, calculators, said = Counter[str](), Counter[tuple[str, str]](), set[str]()
    for number, frame in chain(begin, frames):
        if lacks_forces(frame, labels.names["forces"]):
            frame = with_zero_forces(frame, labels.names["forces"])
            counts["lone"] += 1
        labels = with_stress_of(frame, labels, keys, file.layout, file.path)
        if labels.sentence not in said:
            said.add(labels.sentence)
            print(f"labels of {file.path}: {labels.sentence}")
        check_rivals(frame, labels, keys, file.layout)
        structure = labels.structure(frame, f"structure-{number}")
        counts["open"] += labels.leaves_out_stress(frame, structure)
        calculators[frame.calculator] += labels.names["energy"] in all_properties
        assert structure.forces_eV_per_A is not None
        if file.layout.has_gaps and np.isnan(structure.forces_eV_per_A).any():
            counts["gap"] += 1
            continue
        for kind in weightless_kinds(frame) & labels.names.keys():
            is_there = kind not in OF_CELLS or structure.stress_eV_per_A3 is not None
            counts[kind] += is_there and has_value(frame.values.get(labels.names[kind]))
        counts["unconverged"] += says_unconverged(frame)
        yield number, structure, labels
    for kind, key in (("stress", keys.stress_key), ("virial", keys.virial_key)):
        if chosen is None and key is not None and kind not in labels.names:
            raise AssayError(f"no structure of {file.path} has a {kind} `{key}`: correct {kind}_key, or leave it out")
    _tell(file.path, counts, calculators)


def _tell(path: Path, counts: Mapping[str, int], calculators: Counter[tuple[str, str]]) -> None:
    """Print what was counted, and warn of what makes labels doubtful.

    Args:
        path: the file.
        counts: structures by the keys of ``_COUNTED``, those that are "unconverged", and those of which a kind of label
            has weight zero and a value.
        calculators: structures by the name of the calculator that labelled them, and its functional.
    """
    for what, sentence in _COUNTED.items():
        if counts[what]:
            print(sentence.format(n=counts[what], path=path))
    for kind in KINDS:
        if counts[kind]:
            how = "have weight zero and values, and are" if kind == "forces" else "has weight zero and a value, and is"
            print(f"the {kind} of {counts[kind]} structures of {path} {how} read")
    if counts["unconverged"]:
        warnings.warn(
            f"{counts['unconverged']} structures of {path} say that they are not converged: leave them out if this is "
            "said of their electrons",
            stacklevel=3,
        )
    named = _in_words(calculators)
    if len(named) > 1:
        warnings.warn(
            f"structures of {path} are labelled by several calculators, {' and '.join(named)}: their energies are of "
            "one level of theory only if these compute the same",
            stacklevel=3,
        )


def _in_words(calculators: Counter[tuple[str, str]]) -> list[str]:
    """How many structures each known calculator has; rows without a functional go with the only one that it has."""
    known = Counter({told: n for told, n in calculators.items() if told[0] and n})
    for name, _ in [told for told in known if not told[1]]:
        others = [told for told in known if told[0] == name and told[1]]
        if len(others) == 1:
            known[others[0]] += known.pop((name, ""))
    return [
        f"{n} by {name}" + (f" ({functional})" if functional else "") for (name, functional), n in known.most_common()
    ]


def _frames(file: FrameFile, keys: LabelKeys, chosen: np.ndarray | None) -> Iterator[tuple[int, Frame]]:
    """The frames of a file with their places in it, without labels of weight zero that have no value.

    Those whose energy or forces are such, or whose electrons are not converged, are left out, and counted in the log;
    atoms alone need no forces.

    Raises:
        AssayError: one of them has no atoms, or all are left out.
    """
    n_left_out, n_unconverged, is_any = 0, 0, False
    for number, load in zip(count() if chosen is None else chosen.tolist(), file.frames(chosen), strict=False):
        frame = load()
        if not len(frame.atomic_numbers):
            raise AssayError(f"{frame.where} has no atoms: leave it out")
        if file.layout.leaves_out_unconverged and says_unconverged(frame):
            n_unconverged += 1
            continue
        labelled = without_fillers(frame, keys.given)
        if labelled is None:
            n_left_out += 1
            continue
        is_any = True
        yield number, labelled
    if n_unconverged and not is_any and chosen is None:
        raise AssayError(
            f"no structure of {file.path} has converged electrons: run it again with more electronic steps, by NELM of "
            "VASP, MAX_SCF of CP2K, electron_maxstep of Quantum ESPRESSO, sc_iter_limit of FHI-aims, MaxIter of ORCA "
            "or SCF=XQC of Gaussian"
        )
    if n_unconverged:
        print(f"the electrons of {n_unconverged} structures of {file.path} are not converged, and these are left out")
    if n_left_out and not is_any and chosen is None:
        raise AssayError(
            f"no structure of {file.path} has an energy and forces: all have weight zero and no value, as MACE marks "
            "labels that are missing; label them, or remove the weights"
        )
    if n_left_out:
        print(f"{n_left_out} structures of {file.path} lack an energy or forces, of weight zero, and are left out")


def _until_forces(frames: Iterable[tuple[int, Frame]], keys: LabelKeys) -> list[tuple[int, Frame]]:
    """The next frames up to the first that tells the names of labels, for atoms alone may lack forces."""
    begin = []
    for number, frame in frames:
        begin.append((number, frame))
        if not lacks_forces(frame, keys.forces_key):
            break
    return begin
