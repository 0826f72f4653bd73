"""Make the reference of the physics checks with the teacher: opt-in, half an hour."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from rdkit import Chem
from rdkit.Chem import rdForceFieldHelpers

from assay.data.scope import Scope
from assay.dynamics.run import run_dynamics
from assay.physics import reference
from assay.physics.reference import Frame, read_reference, write_reference
from assay.physics.relax import force_jacobians, frequencies, relax
from assay.predictors.interface import Prediction
from assay.sampling.mechanics import Mechanics, embed
from assay.sampling.teacher import LabelError, Labels, Teacher
from assay.structures.geometry import bond_lengths, contact, lasting_bonds, out_of_plane
from assay.structures.structure import Structure
from assay.workflow.files import short_digest
from assay.workflow.progress import progress

log = logging.getLogger(__name__)

TORSION_STEP_DEG = 15
RELAXED_eV_per_A = 2e-4
CONFORMERS = 3  # of which the lowest minimum is looked for
SAME_CONFORMER_eV = 2e-3


class TeacherPredictor:
    """The teacher behind the interface of a student, so that the same code asks both. Failed labels are NaN."""

    cutoff_A = 0.0
    name = runtime = "teacher"
    device, dtype, max_z = "cpu", "float64", 118
    elements: frozenset[int] | None = None
    scope: Scope | None = None

    def __init__(self, teacher: Teacher):
        self.teacher, self._labels = teacher, Labels(teacher)

    def predict(self, structures: Sequence[Structure]) -> list[Prediction]:
        """See ``Predictor.predict``."""
        return [self._one(structure) for structure in structures]

    def _one(self, structure: Structure) -> Prediction:
        try:
            return Prediction(
                *self._labels(structure.atomic_numbers, structure.positions, structure.cell, structure.pbc)
            )
        except LabelError:
            return Prediction(np.nan, np.full((len(structure), 3), np.nan))


@dataclass(frozen=True)
class Entry:
    """One line of the list of molecules: a name, SMILES, what it is for, and a SMARTS of the atoms that matter."""

    name: str
    smiles: str
    roles: str
    atoms: str

    def has(self, role: str) -> bool:
        """Whether the molecule is listed for ``role``."""
        return role in self.roles.split()


def make_reference(
    entries: Sequence[Entry], teacher: Teacher, settings: dict[str, Any], parts: Path
) -> Iterator[Frame]:
    """All frames.

    Args:
        entries: the list of molecules.
        teacher: that labels them.
        settings: the config's ``physics.reference_recipe``.
        parts: folder of what is finished; a run of the same list, teacher and settings goes on from there.
    """
    predictor = TeacherPredictor(teacher)
    decided_by = [[asdict(entry) for entry in entries], settings]
    part = partial(finished_part, parts_folder(parts, teacher, decided_by), predictor)
    minima: dict[str, Structure] = {}
    for entry in progress(entries, unit="molecules", desc="relaxing"):
        if entry.has(reference.TORSION):
            yield from part(f"torsion {entry.name}", partial(torsion, entry))
        elif entry.has("conformers"):
            yield from part(f"conformers {entry.name}", partial(conformers, entry, predictor, settings["conformers"]))
        else:
            (frame,) = part(f"relaxed {entry.name}", partial(lowest, entry, predictor))
            minima[entry.name] = frame.structure
            for role in entry.roles.split():
                kind, _, group = role.partition(":")
                if kind == reference.TAUTOMER:
                    yield Frame(frame.structure, kind, group)
    still = [entry for entry in entries if entry.has(reference.MINIMUM)]
    for entry in progress(still, unit="molecules", desc="vibrating"):
        yield from part(f"minimum {entry.name}", partial(minimum, minima[entry.name], predictor))
    moving = [entry for entry in entries if entry.has(reference.DYNAMICS)]
    yield from part("dynamics", partial(in_motion, moving, minima, predictor, settings["dynamics"]))
    partners = [entry for entry in entries if entry.has(reference.CONTACT)]
    for a, b in progress(list(combinations_with_replacement(partners, 2)), unit="pairs", desc="facing"):
        one, other = ((minima[entry.name], _exposed(entry)) for entry in (a, b))
        scan = partial(contacts, one, other, settings["contact_distances_A"])
        yield from part(f"contact {a.name} {b.name}", scan)
    for x, y in progress(list(combinations_with_replacement(settings["elements"], 2)), unit="pairs", desc="bare"):
        yield from part(f"dimer {x} {y}", partial(dimers, x, y, settings["dimer_distances"]))


def parts_folder(parts: Path, teacher: Teacher, decided_by: Any) -> Path:
    """The folder, in that of what is finished, of one teacher, all of its arguments, and of what else decides the
    frames, as JSON can hold it. Labels of one teacher are thus never read as those of another.
    """
    return parts / short_digest([teacher.identity, decided_by])[:8]


def finished_part(
    folder: Path, predictor: TeacherPredictor, name: str, make: Callable[[], Iterable[Frame]]
) -> list[Frame]:
    """The frames of one part of a reference: read if they were made before, else made, labelled and written.

    Args:
        folder: what ``parts_folder`` returned.
        predictor: the teacher that labels them.
        name: the name of the part.
        make: makes the frames.
    """
    path = folder / f"{name.replace(' ', '-')}.xyz"
    if not path.is_file():
        write_reference(path, _label(predictor, make()), predictor.teacher.name)
    return read_reference(path).frames if path.stat().st_size else []


def _label(predictor: TeacherPredictor, frames: Iterable[Frame]) -> Iterator[Frame]:
    """Frames with the teacher's energy and forces; those that it cannot compute are left out."""
    for frame in frames:
        (label,) = predictor.predict([frame.structure])
        if np.isfinite(label.energy_eV):
            structure = replace(frame.structure, energy_eV=label.energy_eV, forces_eV_per_A=label.forces_eV_per_A)
            yield replace(frame, structure=structure)


def _embedded(entry: Entry, count: int) -> tuple[Chem.Mol, list[Structure]]:
    """Conformers of a molecule by RDKit, relaxed in its force field where it has one."""
    molecule = embed(entry.smiles, count, seed=7)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], dtype=np.int64)
    positions = [conformer.GetPositions() for conformer in molecule.GetConformers()]
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        positions = [Mechanics(molecule).minimize(x, 500) for x in positions]
    return molecule, [Structure(entry.name, numbers, x) for x in positions]


def lowest(entry: Entry, predictor: TeacherPredictor) -> list[Frame]:
    """The teacher's lowest minimum among a few conformers."""
    _, structures = _embedded(entry, CONFORMERS)
    relaxed, residual = relax(predictor, structures, RELAXED_eV_per_A, 150)
    energies = [prediction.energy_eV for prediction in predictor.predict(relaxed)]
    best = int(np.nanargmin(np.where(residual < 0.01, energies, np.nan)))
    return [Frame(relaxed[best], reference.MINIMUM, entry.name)]


def conformers(entry: Entry, predictor: TeacherPredictor, count: int) -> list[Frame]:
    """Distinct shapes near the teacher's minima, lowest first."""
    _, structures = _embedded(entry, 2 * count)
    relaxed, _ = relax(predictor, structures, 0.05, 50)
    energies = np.array([prediction.energy_eV for prediction in predictor.predict(relaxed)])
    chosen: list[int] = []
    for k in np.argsort(energies):
        if all(energies[k] - energies[other] > SAME_CONFORMER_eV for other in chosen) and np.isfinite(energies[k]):
            chosen.append(int(k))
    return [Frame(relaxed[k], reference.CONFORMER, entry.name, rank) for rank, k in enumerate(chosen[:count])]


def torsion(entry: Entry) -> list[Frame]:
    """A scan of one dihedral angle, everything else relaxed by RDKit's force field."""
    molecule = embed(entry.smiles, 1, seed=7)
    return turned(entry.name, molecule, molecule.GetSubstructMatch(Chem.MolFromSmarts(entry.atoms)))


def turned(name: str, molecule: Chem.Mol, atoms: tuple[int, int, int, int]) -> list[Frame]:
    """A scan of the dihedral angle of four atoms, everything else relaxed by RDKit's force field.

    Raises:
        MechanicsError: no force field knows the molecule.
    """
    mechanics, positions = Mechanics(molecule), molecule.GetConformer().GetPositions()
    frames = []
    for angle in range(-180, 180, TORSION_STEP_DEG):
        positions = mechanics.turned(positions, atoms, float(angle), 2000)
        structure = Structure(name, mechanics.atomic_numbers, positions)
        frames.append(Frame(structure, reference.TORSION, name, angle))
    return frames


def minimum(structure: Structure, predictor: TeacherPredictor) -> list[Frame]:
    """A minimum with its harmonic frequencies; nothing if the teacher fails on a displaced structure."""
    (jacobian,) = force_jacobians(predictor, [structure], 0.005)
    if not np.isfinite(jacobian).all():
        log.warning("%s: the teacher fails near its minimum, so its vibrations are not asked for", structure.name)
        return []
    known = {"frequencies_per_cm": np.round(frequencies(structure, -jacobian), 3)}
    return [Frame(structure, reference.MINIMUM, structure.name, known=known)]


def in_motion(
    entries: Sequence[Entry], minima: dict[str, Structure], predictor: TeacherPredictor, options: dict[str, Any]
) -> Iterator[Frame]:
    """Molecules with the mean lengths of their bonds and the mean shape of their rings in the teacher's dynamics."""
    structures = [minima[entry.name] for entry in entries]
    return moved_by_teacher(structures, [aromatic_ring(entry.smiles) for entry in entries], predictor, options)


def moved_by_teacher(
    structures: Sequence[Structure],
    rings: Sequence[Sequence[int]],
    predictor: TeacherPredictor,
    options: Mapping[str, Any],
) -> Iterator[Frame]:
    """Structures with the mean lengths of their bonds and the mean shape of a ring of each in the teacher's dynamics.

    One that flies apart, or on which the teacher fails once, is left out, with a warning.

    Args:
        structures: relaxed molecules.
        rings: the indices of the atoms of a ring of each; none where it has no ring.
        predictor: the teacher.
        options: the arguments of ``run_dynamics``.
    """
    trajectory = run_dynamics(predictor, structures, **options)
    for k, (structure, ring) in enumerate(zip(structures, rings, strict=True)):
        failed_fs = trajectory.blown_up_fs[k]
        if np.isfinite(failed_fs):
            log.warning("%s: the teacher fails after %g fs of dynamics: they are left out", structure.name, failed_fs)
            continue
        frames = trajectory.frames[len(trajectory.frames) // 4 :, trajectory.owner == k]
        pairs = lasting_bonds(structure)
        known: dict[str, Any] = {
            "bonds": pairs.ravel(),
            "mean_bond_lengths_A": np.round(bond_lengths(frames, pairs).mean(0), 5),
            "temperature_K": options["temperature_K"],
        }
        if ring:
            known |= {"ring": ring, "mean_out_of_plane_A": round(float(out_of_plane(frames[:, ring]).mean()), 5)}
        yield Frame(structure, reference.DYNAMICS, structure.name, known=known)


def aromatic_ring(smiles: str) -> list[int]:
    """Indices of the atoms of the first aromatic ring; empty if there is none."""
    return aromatic_ring_of(Chem.AddHs(Chem.MolFromSmiles(smiles)))


def aromatic_ring_of(molecule: Chem.Mol) -> list[int]:
    """Indices of the atoms of the first aromatic ring of a molecule with its hydrogens; empty if there is none."""
    for ring in molecule.GetRingInfo().AtomRings():
        if all(molecule.GetAtomWithIdx(k).GetIsAromatic() for k in ring):
            return list(ring)
    return []


def contacts(a: tuple[Structure, int], b: tuple[Structure, int], distances: Mapping[str, float]) -> Iterator[Frame]:
    """Two molecules that face each other with one atom each, whose index stands beside it, at distances in angstrom."""
    symbols = [chemical_symbols[structure.atomic_numbers[atom]] for structure, atom in (a, b)]
    for distance in np.linspace(distances["from"], distances["to"], int(distances["count"])):
        yield Frame(contact(*a, *b, float(distance)), reference.CONTACT, "-".join(sorted(symbols)), float(distance))


def _exposed(entry: Entry) -> int:
    """The first atom that the SMARTS of an entry matches."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(entry.smiles))
    return molecule.GetSubstructMatch(Chem.MolFromSmarts(entry.atoms))[0]


def dimers(a: int, b: int, distances: dict[str, float]) -> Iterator[Frame]:
    """Two bare atoms at distances in units of the sum of their covalent radii."""
    symbols = "-".join(sorted((chemical_symbols[a], chemical_symbols[b])))
    numbers = np.array([a, b], dtype=np.int64)
    touching_A = float(covalent_radii[a] + covalent_radii[b])
    for x in np.linspace(distances["from"], distances["to"], int(distances["count"])):
        positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, x * touching_A]])
        yield Frame(Structure(symbols, numbers, positions), reference.DIMER, symbols, x * touching_A)
