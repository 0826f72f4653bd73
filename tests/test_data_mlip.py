"""Configurations of MLIP, as its `mlp convert-cfg` writes them."""

from __future__ import annotations

import numpy as np
import pytest

from assay.data import read_dataset
from assay.data.formats import count_structures
from assay.workflow.errors import AssayError

CRYSTAL = """BEGIN_CFG
 Size
    2
 Supercell
         5.600000      0.000000      0.000000
         0.100000      5.600000      0.000000
         0.000000      0.000000      5.700000
 AtomData:  id type       cartes_x      cartes_y      cartes_z           fx          fy          fz
             1    0       0.000000      0.000000      0.000000     0.100000    0.200000   -0.300000
             2    1       2.800000      2.700000      2.900000    -0.100000   -0.200000    0.300000
 Energy
        -10.500000000000
 PlusStress:  xx          yy          zz          yz          xz          xy
     1.00000     2.00000     3.00000     0.40000     0.50000     0.60000
 Feature   EFS_by       VASP
 Feature   weight       1.0
END_CFG

"""
MOLECULE = """BEGIN_CFG
 Size
    2
 AtomData:  id type cartes_x cartes_y cartes_z site_en fx fy fz
  1 1 0.0 0.0 0.0 -1.0 0.5 0.0 0.0
  2 1 2.0 0.0 0.0 -1.0 -0.5 0.0 0.0
 Energy
 -3.25
END_CFG
"""
ELEMENTS = ["Na", "Cl"]


@pytest.fixture
def labelled(tmp_path):
    path = tmp_path / "train.cfg"
    path.write_text(CRYSTAL + MOLECULE)
    return {"path": str(path), "elements": ELEMENTS}


def test_types_are_the_elements_that_the_caller_names(labelled):
    assert count_structures(labelled) == 2
    crystal, molecule = read_dataset(labelled)
    assert crystal.atomic_numbers.tolist() == [11, 17] and molecule.atomic_numbers.tolist() == [17, 17]
    assert (crystal.energy_eV, molecule.energy_eV) == (-10.5, -3.25)
    np.testing.assert_array_equal(crystal.forces_eV_per_A[1], [-0.1, -0.2, 0.3])
    np.testing.assert_array_equal(molecule.forces_eV_per_A[0], [0.5, 0.0, 0.0])
    volume = abs(np.linalg.det(crystal.cell))
    virial = np.array([[1, 0.6, 0.5], [0.6, 2, 0.4], [0.5, 0.4, 3]])
    np.testing.assert_allclose(crystal.stress_eV_per_A3, -virial / volume)
    assert crystal.pbc.all() and molecule.cell is None and not molecule.pbc.any()
    assert [s.energy_eV for s in read_dataset(labelled, part=(1, 2))] == [-3.25]


def test_configurations_that_vasp_did_not_converge_are_left_out(labelled, tmp_path, capsys):
    (tmp_path / "train.cfg").write_text(
        CRYSTAL.replace("EFS_by       VASP", "EFS_by       VASP_not_converged") + MOLECULE
    )
    [molecule] = read_dataset(labelled)
    assert molecule.energy_eV == -3.25 and "the electrons of 1 structures of" in capsys.readouterr().out


def test_numbers_may_stand_behind_a_keyword_and_fractions_need_three_vectors(labelled, tmp_path):
    (tmp_path / "train.cfg").write_text(
        MOLECULE.replace("Size\n    2", "Size 2").replace("Energy\n -3.25", "Energy -3.25")
    )
    [molecule] = read_dataset(labelled)
    assert molecule.energy_eV == -3.25
    (tmp_path / "train.cfg").write_text(MOLECULE.replace("cartes", "direct"))
    with pytest.raises(AssayError, match="fractions of fewer than three vectors"):
        read_dataset(labelled)


def test_fractions_and_columns_in_another_order(labelled, tmp_path):
    text = CRYSTAL.replace("cartes", "direct").replace("2.800000      2.700000      2.900000", "0.5 0.5 0.5")
    text = text.replace("xx          yy          zz          yz          xz          xy", "xy xz yz zz yy xx")
    text = text.replace("1.00000     2.00000     3.00000     0.40000     0.50000     0.60000", "0.6 0.5 0.4 3 2 1")
    (tmp_path / "other.cfg").write_text(text)
    [other], (crystal, _) = read_dataset(labelled | {"path": str(tmp_path / "other.cfg")}), read_dataset(labelled)
    np.testing.assert_allclose(other.stress_eV_per_A3, crystal.stress_eV_per_A3)
    np.testing.assert_allclose(other.positions[1], [2.85, 2.8, 2.85])


def test_elements_are_asked_for_where_there_are_types_alone(labelled, tmp_path):
    with pytest.raises(AssayError, match=r"types are no elements: name these .* elements: \[Na, Cl\]"):
        read_dataset(labelled["path"])
    with pytest.raises(AssayError, match="an atom of type 1, but `elements` names 1"):
        read_dataset(labelled | {"elements": ["Na"]})
    (tmp_path / "mine.xyz").write_text("1\nenergy=0 Properties=species:S:1:pos:R:3:forces:R:3\nH 0 0 0 0 0 0\n")
    with pytest.raises(AssayError, match="tells elements by itself: leave out `elements`"):
        read_dataset({"path": tmp_path / "mine.xyz", "elements": ["H"]})


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("END_CFG\n", "", "'BEGIN_CFG' within structure 0, where 'END_CFG' should stand"),
        ("Size\n    2", "Size\n    3", "another Size than the 2 atoms"),
        ("             2    1 ", "             1    1 ", "another order than that of their `id`"),
        ("cartes_y", "y", "does not have one position for each atom"),
        ("0.100000    0.200000   -0.300000", "0.100000    0.200000", "other lines or numbers below AtomData:"),
        ("0.100000    0.200000   -0.300000", "0.100000    0.200000 x", "'1    0 .* x', which is not known"),
        ("         0.000000      0.000000      5.700000\n", "", "^$"),
        ("PlusStress", "Stress", "has Stress:, whose sign is the other one"),
        (" Feature   weight       1.0", " Virial: xx yy zz yz xz xy\n 1 2 3 4 5 6", "'Virial: .*', which is not known"),
        ("xx          yy          zz", "xx yy z", "PlusStress without xx, yy, zz, yz, xz, xy above its numbers"),
        (" Supercell\n         5.600000      0.000000      0.000000\n", " Cell\n", "'Cell', which is not known"),
        ("BEGIN_CFG\n", "# of VASP\nBEGIN_CFG\n", "'# of VASP' at its beginning, where 'BEGIN_CFG' should stand"),
        ("xz          xy", "xz          xz", "other lines or numbers below PlusStress:"),
        ("        -10.500000000000\n", "", "below Energy"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_number(labelled, right, wrong, said, tmp_path):
    assert right in CRYSTAL
    (tmp_path / "train.cfg").write_text(CRYSTAL.replace(right, wrong, 1) + MOLECULE)
    if said == "^$":  # a slab
        slab, _ = read_dataset(labelled)
        assert slab.pbc.tolist() == [True, True, False] and slab.stress_eV_per_A3 is None
        return
    with pytest.raises(AssayError, match=said):
        read_dataset(labelled)
