"""Atoms alone, which files of MACE and GAP have with an energy and without forces."""

import numpy as np
import pytest

from assay.data import read_dataset
from assay.workflow.errors import AssayError
from shared.label_files import FRAME

ATOM = '1\nLattice="9 0 0 0 9 0 0 0 9" config_type=IsolatedAtom REF_energy=-13.6 {more}\nH 0 0 0\n'
MOLECULE = FRAME.format(comment="REF_energy=-31.7", columns="REF_forces:R:3", more="")
FORCES = [[0.1, 0.0, 0.0], [-0.1, 0.0, 0.0]]


@pytest.mark.parametrize("keys", [{}, {"forces_key": "REF_forces"}, {"energy_key": "REF_energy"}])
def test_an_atom_alone_needs_no_forces_wherever_it_stands(tmp_path, keys, capsys):
    path, atom, none = tmp_path / "mixed.xyz", ATOM.format(more=""), [[0.0, 0.0, 0.0]]
    for frames, forces in (([atom, atom, MOLECULE], none + none + FORCES), ([MOLECULE, atom], FORCES + none)):
        path.write_text("".join(frames))
        read = read_dataset({"path": path, **keys})
        assert read.forces.tolist() == forces and set(read.energy) == {-13.6, -31.7}
        assert f"{len(frames) - 1} structures of {path} are one atom each without forces" in capsys.readouterr().out


def test_a_part_of_atoms_alone_is_read_by_the_labels_of_the_others(tmp_path):
    (tmp_path / "mixed.xyz").write_text(ATOM.format(more="") + MOLECULE)
    for place, energy in enumerate((-13.6, -31.7)):
        assert read_dataset(tmp_path / "mixed.xyz", part=(place, 2)).energy == [energy]


def test_an_atom_alone_may_have_a_stress(tmp_path):
    atom = ATOM.format(more='REF_stress="1 0 0 0 1 0 0 0 1"')
    (tmp_path / "mixed.xyz").write_text(atom + MOLECULE + atom)
    stress = read_dataset(tmp_path / "mixed.xyz").stress
    assert (stress[[0, 2]] == np.eye(3)).all() and np.isnan(stress[1]).all()


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([MOLECULE.replace("REF_", ""), ATOM.format(more="")], "structure 1 of .* has no energy `energy`"),
        ([MOLECULE, ATOM.format(more="energy=-12.0")], "structure 1 of .* has two sets of labels that differ"),
        ([ATOM.format(more=""), ATOM.format(more="")], "has no forces"),
        ([MOLECULE, MOLECULE.replace("REF_forces", "others")], "structure 1 of .* has no forces `REF_forces`"),
    ],
)
def test_what_is_not_clear_of_an_atom_alone_is_refused(tmp_path, frames, words):
    (tmp_path / "mixed.xyz").write_text("".join(frames))
    with pytest.raises(AssayError, match=words):
        read_dataset(tmp_path / "mixed.xyz")
