"""A reference of somebody's own molecules: what can be asked of them is read from their structures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds

from assay.physics import labelling, reference
from assay.physics.labelling import Entry, RELAXED_eV_per_A, TeacherPredictor
from assay.physics.lattice import crystal_frames
from assay.physics.lattice_dynamics import displaced_frames, vacancy_frames
from assay.physics.reference import Frame
from assay.physics.relax import relax
from assay.physics.vacuum import without_vacuum
from assay.predictors.interface import Predictor
from assay.predictors.structure_files import read_frames
from assay.sampling.mechanics import MechanicsError
from assay.sampling.teacher import Teacher
from assay.structures.geometry import bonds, fragments
from assay.structures.structure import Structure, atomic_numbers, evenly, told_charge_and_spin
from assay.workflow.errors import AssayError
from assay.workflow.progress import progress

LARGEST_CELL = 64  # atoms
LOOKED_AT = 16  # crystals of one composition, of which the teacher says the lowest
CENTRAL_A = 0.1  # an atom nearer to the middle of its molecule is in it
HELD_eV_per_A = 0.01  # a molecule with a larger force left is not relaxed
TURNABLE = Chem.MolFromSmarts("[!$(*#*)&!D1]-&!@[!$(*#*)&!D1]")  # RDKit's rotatable bond, of atoms with neighbors
MAX_PERCEPTION_STEPS = 10_000  # of RDKit's search for bond orders


@dataclass(frozen=True)
class OwnMolecule:
    """A molecule of the user's file.

    Attributes:
        name: its formula, and a number where several molecules have it.
        structure: its atoms, relaxed or not.
    """

    name: str
    structure: Structure

    @cached_property
    def chemistry(self) -> Chem.Mol | None:
        """The molecule with its bond orders, in the order of the atoms; None if RDKit finds no neutral closed shell."""
        molecule = Chem.RWMol(_without_orders(self.structure))
        try:
            rdDetermineBonds.DetermineBonds(molecule, charge=0, maxIterations=MAX_PERCEPTION_STEPS)
            Chem.SanitizeMol(molecule)
        except (ValueError, RuntimeError):
            return None
        whole = len(Chem.GetMolFrags(molecule)) == 1
        radical = any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
        return molecule.GetMol() if whole and not radical else None

    @property
    def entry(self) -> Entry | None:
        """The molecule as a line of a list of molecules; None without its chemistry."""
        if self.chemistry is None:
            return None
        return Entry(self.name, Chem.MolToSmiles(Chem.RemoveHs(self.chemistry)), "", "")

    @property
    def turnable(self) -> tuple[int, int, int, int] | None:
        """Four atoms whose dihedral angle turns the largest parts about a single bond; None without such a bond."""
        if self.chemistry is None:
            return None
        sizes = {pair: _smaller_part(self.chemistry, pair) for pair in self.chemistry.GetSubstructMatches(TURNABLE)}
        if not sizes:
            return None
        middle = max(sizes, key=lambda pair: sizes[pair])
        first, last = (_heaviest_neighbor(self.chemistry, *pair) for pair in (middle, middle[::-1]))
        return first, *middle, last


def own_molecules(path: str | Path) -> list[OwnMolecule]:
    """The distinct molecules of a structure file, smallest first.

    A molecule is what bonds hold together; equal ones have equal elements with equal bonds. Structures with a total
    charge or unpaired electrons are left out, since a teacher is asked for neutral closed shells, and so are periodic
    ones, unless vacuum surrounds what is in their cell.

    Raises:
        AssayError: the file cannot be read, or it holds no molecule.
    """
    found: dict[str, Structure] = {}
    frames = [load() for load in read_frames(path)]
    for atoms in frames:
        structure = None if _is_charged(atoms) else without_vacuum(Structure.from_ase(atoms))
        if structure is None or structure.pbc.any():
            continue
        owner = fragments(structure)
        for number in np.unique(owner):
            here = owner == number
            if here.sum() > 1:
                part = Structure("", structure.atomic_numbers[here], structure.positions[here])
                found.setdefault(Chem.MolToSmiles(_without_orders(part)), part)
    if not found:
        raise AssayError(
            f"{path} holds no molecule among {len(frames)} structures (periodic ones, ions, radicals and bare atoms do "
            "not count): give one with the molecules that the student is meant for"
        )
    molecules, seen = [], Counter[str]()
    for structure in sorted(found.values(), key=len):
        formula = Atoms(structure.atomic_numbers).get_chemical_formula()
        seen[formula] += 1
        name = formula if seen[formula] == 1 else f"{formula} {seen[formula]}"
        molecules.append(OwnMolecule(name, replace(structure, name=name)))
    return molecules


def own_crystals(path: str | Path, predictor: Predictor) -> list[Structure]:
    """The structures of a file that repeat along all axes, one of each composition, smallest cells first.

    It is the one of lowest energy by the teacher, for a file may begin with a squeezed cell; of many structures of one
    composition ``LOOKED_AT``, evenly over the file, are asked about. One that the teacher fails on gives way to others.

    Cells of more than ``LARGEST_CELL`` atoms and charged ones are left out, and molecules, wires and slabs in vacuum.

    Raises:
        AssayError: the file cannot be read.
    """
    found = defaultdict[str, list[Structure]](list)
    for load in read_frames(path):
        atoms = load()
        if atoms.pbc.all() and len(atoms) <= LARGEST_CELL and not _is_charged(atoms):
            name = f"{atoms.get_chemical_formula()} crystal"
            crystal = without_vacuum(Structure.from_ase(atoms, name))
            if crystal is not None and crystal.pbc.all():
                found[name].append(crystal)
    lowest = (_lowest(evenly(structures, LOOKED_AT), predictor) for structures in found.values())
    return sorted((crystal for crystal in lowest if crystal is not None), key=len)


def _lowest(structures: Sequence[Structure], predictor: Predictor) -> Structure | None:
    """The structure of lowest energy of one composition; None where the teacher fails on all of them."""
    if len(structures) == 1:
        return structures[0]
    energies = np.array([prediction.energy_eV for prediction in predictor.predict(structures)])
    return structures[int(np.nanargmin(energies))] if np.isfinite(energies).any() else None


def make_own_reference(path: str | Path, teacher: Teacher, settings: Mapping[str, Any], parts: Path) -> Iterator[Frame]:
    """All frames of a reference of a structure file: of its molecules minima with their vibrations, dynamics, scans of
    a bond that turns, conformers and contacts; of its crystals scaled, strained and rattled cells, displaced atoms and
    vacancies; and dimers of the elements of both.

    Args:
        path: the structure file.
        teacher: that labels them.
        settings: the config's ``physics.reference_recipe``.
        parts: folder of what is finished of this file; a run of the same teacher and settings goes on from there.

    Raises:
        AssayError: the file holds neither molecule nor crystal, or the teacher relaxes no molecule.
    """
    predictor = TeacherPredictor(teacher)
    crystals = own_crystals(path, predictor)
    part = partial(labelling.finished_part, labelling.parts_folder(parts, teacher, settings), predictor)
    for crystal in progress(evenly(crystals, settings["molecules"]), unit="crystals", desc="straining"):
        yield from part(crystal.name, partial(crystal_frames, crystal))
        yield from part(f"{crystal.name} in motion", partial(displaced_frames, crystal))
        yield from part(f"{crystal.name} with vacancies", partial(vacancy_frames, crystal))
    try:
        molecules = own_molecules(path)
    except AssayError:
        if not crystals:
            raise
        molecules = []
    if molecules:
        yield from _of_molecules(evenly(molecules, settings["molecules"]), predictor, settings, part, path)
    elements = sorted(atomic_numbers([*crystals, *(molecule.structure for molecule in molecules)]))
    for x, y in progress(list(combinations_with_replacement(elements, 2)), unit="pairs", desc="bare"):
        yield from part(f"dimer {x} {y}", partial(labelling.dimers, x, y, settings["dimer_distances"]))


def _of_molecules(
    molecules: Sequence[OwnMolecule],
    predictor: TeacherPredictor,
    settings: Mapping[str, Any],
    part: Callable[[str, Callable[[], Iterable[Frame]]], list[Frame]],
    path: str | Path,
) -> Iterator[Frame]:
    """The frames of the molecules of a file, each part finished by ``part``.

    Raises:
        AssayError: the teacher relaxes none of them.
    """
    chosen = []
    for molecule in progress(molecules, unit="molecules", desc="relaxing"):
        frames = part(f"relaxed {molecule.name}", partial(_relaxed, molecule, predictor))
        chosen += [OwnMolecule(molecule.name, frame.structure) for frame in frames]
    if not chosen:
        raise AssayError(f"{predictor.teacher.name} relaxes no molecule of {path}: check its calculator on one of them")
    for molecule in progress(chosen, unit="molecules", desc="asking"):
        for name, make in _questions(molecule, predictor, settings):
            yield from part(f"{name} {molecule.name}", make)
    yield from part("dynamics", partial(_in_motion, chosen, predictor, settings["dynamics"]))
    faces = _faces(chosen)
    for a, b in progress(list(combinations_with_replacement(sorted(faces), 2)), unit="pairs", desc="facing"):
        scan = partial(labelling.contacts, faces[a], faces[b], settings["contact_distances_A"])
        yield from part(f"contact {a} {b}", scan)


def _questions(
    molecule: OwnMolecule, predictor: TeacherPredictor, settings: Mapping[str, Any]
) -> Iterator[tuple[str, Callable[[], Iterable[Frame]]]]:
    """What is asked of a molecule alone: a name, and what makes the frames."""
    if len(molecule.structure) <= settings["max_atoms_of_vibrations"]:
        yield "minimum", partial(labelling.minimum, molecule.structure, predictor)
    if molecule.turnable is not None:
        yield "torsion", partial(_torsion, molecule)
    if molecule.turnable is not None and molecule.entry is not None:
        yield "conformers", partial(_conformers, molecule.entry, predictor, settings["conformers"])


def _relaxed(molecule: OwnMolecule, predictor: TeacherPredictor) -> list[Frame]:
    """A molecule at the teacher's minimum nearest to it; nothing if the teacher finds none."""
    relaxed, residual = relax(predictor, [molecule.structure], RELAXED_eV_per_A, 150)
    whole = residual[0] < HELD_eV_per_A and len(np.unique(fragments(relaxed[0]))) == 1
    return [Frame(relaxed[0], reference.MINIMUM, molecule.name)] if whole else []


def _torsion(molecule: OwnMolecule) -> list[Frame]:
    """A scan about the bond that turns the largest parts; nothing if no force field knows the molecule."""
    assert molecule.chemistry is not None and molecule.turnable is not None
    try:
        return labelling.turned(molecule.name, molecule.chemistry, molecule.turnable)
    except MechanicsError:
        return []


def _conformers(entry: Entry, predictor: TeacherPredictor, count: int) -> list[Frame]:
    """Distinct shapes of a molecule; nothing if RDKit finds none."""
    try:
        return labelling.conformers(entry, predictor, count)
    except MechanicsError:
        return []


def _in_motion(
    molecules: Sequence[OwnMolecule], predictor: TeacherPredictor, options: Mapping[str, Any]
) -> Iterator[Frame]:
    rings = [[] if m.chemistry is None else labelling.aromatic_ring_of(m.chemistry) for m in molecules]
    return labelling.moved_by_teacher([m.structure for m in molecules], rings, predictor, options)


def _faces(molecules: Sequence[OwnMolecule]) -> dict[str, tuple[Structure, int]]:
    """For each element the smallest molecule with an atom of it at its surface, and that atom; nothing for one whose
    atoms are all in the middle of their molecules, such as carbon in CO2, and face nowhere.
    """
    faces: dict[str, tuple[Structure, int]] = {}
    for molecule in molecules:
        structure = molecule.structure
        for z in np.unique(structure.atomic_numbers):
            atoms = np.flatnonzero(structure.atomic_numbers == z)
            outward = np.linalg.norm(structure.positions[atoms] - structure.positions.mean(0), axis=1)
            if outward.max() > CENTRAL_A:
                faces.setdefault(chemical_symbols[z], (structure, int(atoms[np.argmax(outward)])))
    return faces


def _without_orders(structure: Structure) -> Chem.Mol:
    """A molecule of RDKit with a conformer, where every bond is a single one and no hydrogen is implied."""
    molecule = Chem.RWMol()
    for z in structure.atomic_numbers:
        atom = Chem.Atom(int(z))
        atom.SetNoImplicit(True)
        molecule.AddAtom(atom)
    for first, second in bonds(structure):
        molecule.AddBond(int(first), int(second), Chem.BondType.SINGLE)
    conformer = Chem.Conformer(len(structure))
    conformer.SetPositions(np.ascontiguousarray(structure.positions, dtype=np.float64))
    molecule.AddConformer(conformer)
    return molecule.GetMol()


def _is_charged(atoms: Atoms) -> bool:
    """Whether a frame says that it is no neutral closed shell."""
    charge, spin = told_charge_and_spin(atoms.info, atoms.arrays, str(atoms.symbols))
    return bool(charge) or spin not in (None, 1)


def _smaller_part(molecule: Chem.Mol, pair: tuple[int, int]) -> int:
    """The number of heavy atoms in the smaller of both parts that a bond joins."""
    bond = molecule.GetBondBetweenAtoms(*pair).GetIdx()
    parts = Chem.GetMolFrags(Chem.FragmentOnBonds(molecule, [bond], addDummies=False))
    return min(sum(molecule.GetAtomWithIdx(k).GetAtomicNum() > 1 for k in part) for part in parts)


def _heaviest_neighbor(molecule: Chem.Mol, atom: int, other: int) -> int:
    neighbors = [n for n in molecule.GetAtomWithIdx(atom).GetNeighbors() if n.GetIdx() != other]
    return max(neighbors, key=lambda n: (n.GetAtomicNum(), -n.GetIdx())).GetIdx()
