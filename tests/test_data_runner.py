"""`input.data` of RuNNer and n2p2, as the examples of n2p2 have it."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from ase.units import Bohr, Hartree

from assay.data import read_dataset
from assay.data.formats import count_structures, open_any
from assay.workflow.errors import AssayError

ATOMIC_UNITS = {"energy": "hartree", "length": "bohr"}
IN_A_BOX = """ begin
comment written by RuNNerDecom
lattice      17.007526      0.000000      0.000000
lattice       0.500000     14.728517      0.000000
lattice       0.000000      0.000000     13.885701
atom    -0.004100   -0.049554   -0.016880   O   -0.217594850    0.000000000   -0.000019447    0.000481580    0.00036
atom     1.492583    0.873520    0.644659   H    0.109115980    0.000000000   -0.000202677   -0.000257027   -1.8E-04
atom    15.503581    0.881917    0.626419   h    0.109022510    0.000000000    0.000192110   -0.000262625   -0.15d-3
energy   -1225.22167939
charge         0.0000000000
 end
"""
OPEN = """
begin
atom   0.0 0.0 0.0 C  0.1 0.0  -0.03 0.01 0.02
atom   2.2 0.0 0.0 N  0.2 0.0  0.03 -0.01 -0.02
charge  1.0
energy -92.1
end
"""


@pytest.fixture
def labelled(tmp_path):
    path = tmp_path / "input.data"
    path.write_text(IN_A_BOX + OPEN)
    return {"path": str(path), "units": ATOMIC_UNITS}


def test_structures_have_the_units_that_the_caller_says(labelled):
    water, cyanide = read_dataset(labelled)
    assert water.atomic_numbers.tolist() == [8, 1, 1] and cyanide.atomic_numbers.tolist() == [6, 7]
    assert water.energy_eV == pytest.approx(-1225.22167939 * Hartree)
    np.testing.assert_allclose(water.cell[1], np.array([0.5, 14.728517, 0]) * Bohr)
    np.testing.assert_allclose(water.positions[2], np.array([15.503581, 0.881917, 0.626419]) * Bohr)
    np.testing.assert_allclose(
        water.forces_eV_per_A[2], np.array([0.00019211, -0.000262625, -0.00015]) * Hartree / Bohr, rtol=1e-6
    )
    assert water.pbc.all() and not cyanide.pbc.any() and cyanide.cell is None
    assert (water.charge, cyanide.charge) == (0, 1)


def test_any_name_compressed_or_not_and_a_part_of_the_structures(labelled, tmp_path):
    with gzip.open(tmp_path / "train.gz", "wt") as file:
        file.write((IN_A_BOX + OPEN) * 4)
    source = labelled | {"path": str(tmp_path / "train.gz")}
    assert count_structures(source) == 8
    drawn = list(read_dataset(source, at_most=5, seed=2))
    assert {len(structure) for structure in drawn} <= {2, 3} and len(drawn) == 5
    assert [s.energy_eV for s in read_dataset(source, part=(1, 4))] == [s.energy_eV for s in read_dataset(labelled)]


def test_units_are_asked_for(labelled):
    with pytest.raises(AssayError, match=r"does not say its units: .* units: .energy: ..., length: ..."):
        read_dataset(labelled["path"])
    with pytest.raises(AssayError, match="does not say its unit of length"):
        list(open_any(labelled["path"]).frames())


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (" end\n", "", "'begin' within structure 0, where 'end' should stand"),
        ("energy -92.1\nend", "energy -92.1", "structure 1 of .* has no 'end'"),
        ("\nbegin\n", "\n", "'atom .*' behind structure 0, where 'begin' should stand"),
        ("lattice       0.000000      0.000000     13.885701\n", "", "`lattice` with other lines or numbers"),
        ("energy -92.1", "energy none", "`energy` with other lines or numbers"),
        ("energy -92.1", "energy", "`energy` with other lines or numbers"),
        ("charge  1.0", "charge  1.0\ncharge 2.0", "`charge` with other lines or numbers"),
        ("0.03 -0.01 -0.02", "0.03 -0.01", "atom with less than a position"),
        ("0.03 -0.01 -0.02", "0.03 -0.01 x", "atoms with other lines or numbers"),
        (" N  0.2", " Nx  0.2", "no element"),
        ("charge  1.0", "stress  1.0", "'stress  1.0', which is not known there"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_number(labelled, right, wrong, said, tmp_path):
    text = IN_A_BOX + OPEN
    assert right in text
    (tmp_path / "input.data").write_text(text.replace(right, wrong, 1))
    with pytest.raises(AssayError, match=said):
        read_dataset(labelled)
