"""Labels in vasprun.xml and OUTCAR of VASP: made-up runs, laid out as VASP writes them."""

import gzip
import tracemalloc
import warnings
from itertools import accumulate
from xml.etree import ElementTree

import ase.io
import numpy as np
import pytest
from ase.units import GPa

from assay.data import read_dataset
from assay.data.formats import count_structures, read_blocks
from assay.predictors.structure_files import read_frames
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

CELL = np.array([[4.0, 0.0, 0.0], [0.5, 4.5, 0.0], [0.0, 0.25, 5.0]])
STRESS_kB = [[-10.0, 1.0, 3.0], [1.0, -20.0, 2.0], [3.0, 2.0, -30.0]]
CYCLE = (-30.0, -32.0, -32.3, -32.30005)  # free energies of electronic steps, whose last change is below EDIFF
EXTRAPOLATED = 0.125  # above the free energy
KINDS = ("vasprun.xml", "OUTCAR")


def step(number=0, **said):
    """An ionic step; what it says is of a made-up molecule HF in a slanted cell, and differs from step to step."""
    place = 0.1 + 0.01 * number
    defaults = {
        "cycle": CYCLE,
        "energy": CYCLE[-1],
        "scaled": [[place, 0.2, 0.3], [place, 0.4, 0.5]],
        "forces": [[0.5 + number, -1.5, 2.5], [-0.5 - number, 1.5, -2.5]],
        "stress": STRESS_kB,
        "response": (),
        "loop": "because EDIFF is reached",
    }
    return {**defaults, **said}


RUN = {
    "ISIF": 2,
    "ICHARG": 2,
    "IALGO": 38,
    "EDIFF": 1e-4,
    "NELM": 60,
    "NELECT": 8.0,
    "PSTRESS": 0.0,
    "ISPIN": 1,
    "GGA": "PE",
    "valence": 1.0,
    "kinetic": False,
    "selective": False,
    "incar": "",
}


def rows(name, table, pad=" "):
    lines = "".join(f"{pad} <v>{''.join(f'{x:17.8f}' for x in row)} </v>\n" for row in table)
    return f'{pad}<varray name="{name}" >\n{lines}{pad}</varray>\n'


def entries(energies, pad):
    return "".join(f'{pad}<i name="{name}">{value:16.8f} </i>\n' for name, value in energies)


def electronic(free, is_full):
    parts = [("alphaZ", 0.9), ("ewald", 68.9), ("atom", 914.7)] if is_full else []
    energies = [("e_fr_energy", free), ("e_wo_entrp", free + 0.25), ("e_0_energy", free + EXTRAPOLATED)]
    text = entries([*parts, *energies], "    ")
    return f'  <scstep>\n   <time name="dav">    0.08    0.08</time>\n   <energy>\n{text}   </energy>\n  </scstep>\n'


def crystal(scaled, name=""):
    return (
        f" <structure{name}>\n  <crystal>\n{rows('basis', CELL)}"
        f'   <i name="volume">     90.00000000 </i>\n{rows("rec_basis", np.linalg.inv(CELL).T)}  </crystal>\n'
        f"{rows('positions', scaled)} </structure>\n"
    )


def head_of_vasprun(run):
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <generator>
  <i name="program" type="string">vasp </i>
  <i name="version" type="string">5.4.4.18Apr17-6-g9f103f2a35  </i>
 </generator>
 <incar>
  <i type="string" name="SYSTEM"> hydrogen fluoride</i>
  {run["incar"]}
 </incar>
 <kpoints>
  <generation param="Gamma">
   <v type="int" name="divisions">       1        1        1 </v>
  </generation>
  <varray name="kpointlist" >
   <v>       0.00000000       0.00000000       0.00000000 </v>
  </varray>
  <varray name="weights" >
   <v>       1.00000000 </v>
  </varray>
 </kpoints>
 <parameters>
  <separator name="electronic" >
   <i name="EDIFF">{run["EDIFF"]:16.8f}</i>
   <i type="int" name="IALGO">{run["IALGO"]:6d}</i>
   <i name="NELECT">{run["NELECT"]:16.8f}</i>
   <separator name="electronic startup" >
    <i type="int" name="ICHARG">{run["ICHARG"]:6d}</i>
   </separator>
   <separator name="electronic spin" >
    <i type="int" name="ISPIN">{run["ISPIN"]:6d}</i>
    <v name="MAGMOM">      1.00000000      1.00000000</v>
   </separator>
   <separator name="electronic convergence" >
    <i type="int" name="NELM">{run["NELM"]:6d}</i>
   </separator>
  </separator>
  <separator name="ionic" >
   <i type="int" name="ISIF">{run["ISIF"]:6d}</i>
   <i name="PSTRESS">{run["PSTRESS"]:16.8f}</i>
  </separator>
  <separator name="electronic exchange-correlation" >
   <i type="string" name="GGA">{run["GGA"]}</i>
  </separator>
 </parameters>
 <atominfo>
  <atoms>       2 </atoms>
  <types>       2 </types>
  <array name="atoms" >
   <dimension dim="1">ion</dimension>
   <field type="string">element</field>
   <field type="int">atomtype</field>
   <set>
    <rc><c>H </c><c>   1</c></rc>
    <rc><c>F </c><c>   2</c></rc>
   </set>
  </array>
  <array name="atomtypes" >
   <dimension dim="1">type</dimension>
   <field type="int">atomspertype</field>
   <field type="string">element</field>
   <field>mass</field>
   <field>valence</field>
   <field type="string">pseudopotential</field>
   <set>
    <rc><c>   1</c><c>H </c><c>      1.00000000</c><c>{run["valence"]:16.8f}</c><c>  PAW_PBE H 15Jun2001  </c></rc>
    <rc><c>   1</c><c>F </c><c>     18.99800000</c><c>      7.00000000</c><c>  PAW_PBE F 08Apr2002  </c></rc>
   </set>
  </array>
 </atominfo>
"""


def vasprun(*steps, **settings):
    """As VASP 5 writes it: the outer e_0_energy of dynamics is zero."""
    run = {**RUN, **settings}
    calculations = ""
    for own in steps:
        cycle = own["cycle"]
        scsteps = "".join(electronic(e, k in (0, len(cycle) - 1)) for k, e in enumerate(cycle))
        scsteps += "".join(electronic(e, False) for e in own["response"])
        outer = [("e_fr_energy", own["energy"]), ("e_wo_entrp", own["energy"]), ("e_0_energy", 0.0)]
        outer += [("kinetic", 0.5), ("total", own["energy"] + 0.5)] if run["kinetic"] else []
        forces = "" if own["forces"] is None else rows("forces", own["forces"])
        stress = "" if own["stress"] is None else rows("stress", own["stress"])
        calculations += (
            f" <calculation>\n{scsteps} {crystal(own['scaled'])}{forces}{stress}"
            f"  <energy>\n{entries(outer, '   ')}  </energy>\n"
            '  <time name="totalsc">   65.02   65.10</time>\n'
            '  <eigenvalues>\n   <array><set><set comment="spin 1"><r>  ****** 1.0 </r></set></set></array>\n'
            "  </eigenvalues>\n </calculation>\n"
        )
    selective = '  <varray name="selective" >\n   <v type="logical" > F F F </v>\n   <v type="logical" > T F T </v>\n'
    first = crystal([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]], ' name="initialpos" ')
    if run["selective"]:
        first = first.replace(" </structure>\n", f"{selective}  </varray>\n </structure>\n")
    ends = crystal(steps[-1]["scaled"], ' name="finalpos" ')
    return f"{head_of_vasprun(run)}{first}{calculations}{ends}</modeling>\n"


def outcar(*steps, **settings):
    run = {**RUN, **settings}
    digit = f"{run['EDIFF'] * 10:.0E}".split("E")
    text = f""" vasp.5.4.4.18Apr17-6-g9f103f2a35 (build Mar 30 2021 17:29:28) complex
 executed on             LinuxGNU date 2021.03.31  17:11:03
 POTCAR:    PAW_PBE H 15Jun2001
   POMASS =    1.000; ZVAL   =    {run["valence"]:.3f}    mass and valenz
 POTCAR:    PAW_PBE F 08Apr2002
   POMASS =   18.998; ZVAL   =    7.000    mass and valenz
 POTCAR:    PAW_PBE H 15Jun2001
 POTCAR:    PAW_PBE F 08Apr2002
   ions per type =               1   1
   ISPIN  =      {run["ISPIN"]}    spin polarized calculation?
   ICHARG = {run["ICHARG"]:6d}    charge: 1-file 2-atom 10-const
   NELM   = {run["NELM"]:6d};   NELMIN=  2; NELMDL= -5     # of ELM steps
   EDIFF  = 0.{digit[0]}E{int(digit[1]):+03d}   stopping-criterion for ELM
   ISIF   = {run["ISIF"]:6d}    stress and relaxation
   PSTRESS=    {run["PSTRESS"]:.1f} pullay stress

  Ionic Valenz
   ZVAL   = {run["valence"]:6.2f}  7.00
  Atomic Wigner-Seitz radii
   RWIGS  =  -1.00 -1.00
  virtual crystal weights
   VCA    =   1.00  1.00
   NELECT = {run["NELECT"]:12.4f}    total number of electrons
   IALGO  = {run["IALGO"]:6d}    algorithm
   GGA     =    {run["GGA"]}    GGA type
{run["incar"]}
"""
    line = f"\n {'-' * 83}\n"
    before = 0.0
    for number, own in enumerate(steps, 1):
        changes = np.diff([before, *own["cycle"]])
        before = own["cycle"][-1]
        for k, (free, change) in enumerate(zip(own["cycle"], changes, strict=True), 1):
            text += (
                f"--------------------------------------- Iteration {number:6d}({k:4d})  ---------------------\n\n"
                f" total energy-change (2. order) :{change:14.7E}  ( 0.7113381-191)\n\n"
                " Free energy of the ion-electron system (eV)\n"
                f"  free energy    TOTEN  = {free:18.8f} eV\n\n"
                f"  energy without entropy = {free + 0.25:16.8f}  energy(sigma->0) = {free + EXTRAPOLATED:16.8f}\n\n"
            )
        text += f"------------------------ aborting loop {own['loop']} ------------------------------\n\n"
        if own["stress"] is not None:
            (xx, xy, xz), (_, yy, yz), (_, _, zz) = own["stress"]
            text += (
                "  Direction    XX          YY          ZZ          XY          YZ          ZX\n"
                f"  in kB {''.join(f'{x:12.5f}' for x in (xx, yy, zz, xy, yz, xz))}\n"
                f"  external pressure = {(xx + yy + zz) / 3:12.2f} kB  Pullay stress = {run['PSTRESS']:12.2f} kB\n\n"
            )
        text += "      direct lattice vectors                 reciprocal lattice vectors\n" + "".join(
            "   " + "".join(f"{x:13.9f}" for x in (*a, *b)) + "\n"
            for a, b in zip(CELL, np.linalg.inv(CELL).T, strict=True)
        )
        if own["forces"] is not None:
            text += " POSITION                                       TOTAL-FORCE (eV/Angst)" + line[:-1] + "\n"
            for place, force in zip(np.array(own["scaled"]) @ CELL, own["forces"], strict=True):
                text += "".join(f"{x:13.5f}" for x in place) + "   " + "".join(f"{x:14.6f}" for x in force) + "\n"
            text += line[1:] + "    total drift:          0.000000      0.000293      0.000199\n\n"
        extrapolated = own["energy"] + EXTRAPOLATED
        text += (
            "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  ---------------------------------------------------\n"
            f"  free  energy   TOTEN  = {own['energy']:18.8f} eV\n\n"
            f"  energy  without entropy= {own['energy'] + 0.25:16.8f}  energy(sigma->0) = {extrapolated:16.8f}\n\n"
        )
        if run["kinetic"]:
            text += "  kinetic energy EKIN   =         0.500000\n  Total+kin.    -9.000     -19.000     -29.000\n\n"
    return text + "\n\n General timing and accounting informations for this job:\n"


WRITE = {"vasprun.xml": vasprun, "OUTCAR": outcar}


@pytest.fixture(params=KINDS)
def write(tmp_path, request):
    """Writes a run in one of the two layouts, and gives its path."""

    def written(*steps, name=request.param, **settings):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(WRITE[request.param](*steps, **settings))
        return path

    written.kind = request.param
    return written


def test_labels_are_what_an_independent_parse_and_ase_find(write):
    """The stress is that of VASP with the other sign, in the order of ASE; dispersion is in the outer energy alone."""
    steps = [step(k, energy=CYCLE[-1] - 0.5 * k) for k in range(3)]
    path = write(*steps, kinetic=True)
    dataset = read_dataset(path)
    ase_s = ase.io.read(path, index=":")
    for structure, own, other in zip(dataset, steps, ase_s, strict=True):
        assert structure.atomic_numbers.tolist() == [1, 9] and structure.pbc.all()
        np.testing.assert_allclose(structure.cell, CELL)
        np.testing.assert_allclose(structure.positions, own["scaled"] @ CELL, atol=1e-5)
        assert structure.energy_eV == pytest.approx(own["energy"], abs=1e-8)
        np.testing.assert_allclose(structure.forces_eV_per_A, own["forces"])
        np.testing.assert_allclose(structure.stress_eV_per_A3, -0.1 * GPa * np.array(STRESS_kB), rtol=1e-6)
        np.testing.assert_allclose(structure.energy_eV, other.get_potential_energy(force_consistent=True))
        np.testing.assert_allclose(structure.positions, other.positions)
        np.testing.assert_allclose(structure.forces_eV_per_A, other.get_forces())
        np.testing.assert_allclose(structure.stress_eV_per_A3, other.get_stress(voigt=False))
    if write.kind == "vasprun.xml":
        found = ElementTree.parse(path).findall("calculation/energy/i[@name='e_fr_energy']")
        np.testing.assert_allclose([s.energy_eV for s in dataset], [float(own.text) for own in found])


def test_the_log_names_the_energy_that_forces_belong_to(write, capsys):
    path = write(step(energy=-33.0))
    read_dataset(path)
    out = capsys.readouterr().out
    assert f"labels of {path}: energy from `free_energy` (eV), forces from `forces` (eV/angstrom), stress from" in out
    assert "not read: `e_0_energy`" in out


def test_the_energy_without_smearing_is_read_where_a_key_says_so(write):
    [structure] = read_dataset({"path": write(step(energy=-33.0)), "energy_key": "e_0_energy"})
    assert structure.energy_eV == pytest.approx(-33.0 + EXTRAPOLATED)
    assert structure.forces_eV_per_A is not None


@pytest.mark.parametrize(
    ("kind", "unit"), [("stress", "kbar"), ("stress", "-eV/angstrom^3"), ("energy", "eV/atom"), ("length", "bohr")]
)
def test_units_that_the_labels_of_vasp_are_not_in_are_refused(write, kind, unit):
    """VASP writes stresses in kilobar, but they are read in other units, and with the other sign."""
    path = write(step())
    with pytest.raises(AssayError, match=rf"{kind} of {path} is read in .*, and not in .*: leave `units` out"):
        read_dataset({"path": path, "units": {kind: unit}})
    [structure] = read_dataset({"path": path, "units": {"energy": "eV", "length": "angstrom"}})
    assert structure.energy_eV == pytest.approx(CYCLE[-1])


def test_a_pressure_that_is_set_does_not_count_as_energy(write):
    """In vasprun.xml the outer energy is an enthalpy."""
    times_volume = 1e-22 * 20.0 / 1.602176634e-19 * np.linalg.det(CELL)
    enthalpy = CYCLE[-1] + times_volume if write.kind == "vasprun.xml" else CYCLE[-1]
    [structure] = read_dataset(write(step(energy=enthalpy), PSTRESS=20.0))
    assert times_volume > 1.0 and structure.energy_eV == pytest.approx(CYCLE[-1], abs=1e-6)
    np.testing.assert_allclose(structure.stress_eV_per_A3, -0.1 * GPa * np.array(STRESS_kB), rtol=1e-6)


def test_an_outer_energy_without_the_work_of_a_pressure_stays_as_it_is(write):
    """Where it is that of the electrons, there is no work in it."""
    [structure] = read_dataset(write(step(energy=CYCLE[-1]), PSTRESS=20.0))
    assert structure.energy_eV == pytest.approx(CYCLE[-1], abs=1e-6)


UNCONVERGED = {
    "NELM is reached": {"cycle": (-30.0, -32.0, -32.3, -32.4)},
    "the run was told to stop": {"cycle": (-30.0, -32.0), "loop": "because hard stop was set"},
    "there is no second electronic step": {"cycle": CYCLE[-1:]},
}


@pytest.mark.parametrize("why", UNCONVERGED)
def test_a_step_whose_electrons_are_not_converged_is_left_out_and_counted(write, capsys, why):
    """VASP 5 writes `because EDIFF is reached` all the same."""
    path = write(step(0), step(1, **UNCONVERGED[why]), step(2), NELM=4)
    dataset = read_dataset(path)
    assert dataset.numbers.tolist() == [0, 2] and count_structures(path) == 3
    np.testing.assert_allclose(dataset[1].forces_eV_per_A[0, 0], 2.5)
    words = f"the electrons of 1 structures of {path} are not converged, and these are left out"
    assert words in capsys.readouterr().out
    assert len(list(read_frames(path))) == 3


def test_electrons_that_converge_in_the_last_step_allowed_are_converged(write, capsys):
    assert len(read_dataset(write(step(0), step(1), NELM=len(CYCLE)))) == 2
    assert "not converged" not in capsys.readouterr().out


@pytest.mark.parametrize("loop", ["EDIFF was not reached (unconverged)", "because hard stop was set"])
def test_what_vasp_6_says_of_its_loop_counts(tmp_path, loop):
    (tmp_path / "OUTCAR").write_text(outcar(step(0), step(1, loop=loop)))
    assert read_dataset(tmp_path / "OUTCAR").numbers.tolist() == [0]


def test_a_change_that_had_no_place_is_none_of_a_converged_step(tmp_path):
    text = outcar(step(0), step(1, cycle=(*CYCLE, CYCLE[-1])))
    head, change, tail = text.rpartition("total energy-change (2. order) :")
    (tmp_path / "OUTCAR").write_text(f"{head}{change}{14 * '*'}{tail[14:]}")
    assert read_dataset(tmp_path / "OUTCAR").numbers.tolist() == [0]


def test_a_run_without_a_converged_step_is_refused(write):
    path = write(step(cycle=(-30.0, -32.0)))
    with pytest.raises(AssayError, match=rf"no structure of {path} has converged electrons: .*NELM"):
        read_dataset(path)
    assert len(list(read_frames(path))) == 1


def test_energies_of_a_response_are_not_those_of_the_electrons(tmp_path):
    """As of LEPSILON, whose steps follow in the same calculation, and do not converge as energies do."""
    path = tmp_path / "vasprun.xml"
    path.write_text(vasprun(step(response=(-20.0, -25.0))))
    assert read_dataset(path)[0].energy_eV == pytest.approx(CYCLE[-1])
    [structure] = read_dataset({"path": path, "energy_key": "e_0_energy"})
    assert structure.energy_eV == pytest.approx(CYCLE[-1] + EXTRAPOLATED)


@pytest.mark.parametrize(("tag", "value"), [("ICHARG", 11), ("ICHARG", 12), ("IALGO", 2), ("IALGO", 3), ("IALGO", 4)])
def test_a_run_that_is_not_self_consistent_has_no_labels(write, tag, value):
    path = write(step(), **{tag: value})
    with pytest.raises(AssayError, match=rf"{path} is of a run of VASP that keeps .*\({tag} = {value}\), .*: give the"):
        read_dataset(path)
    assert len(list(read_frames(path))) == 1


@pytest.mark.parametrize(("tag", "value"), [("EFIELD", "0.2"), ("EFIELD_PEAD", "0.0 0.0 0.01")])
def test_labels_in_an_electric_field_are_refused(write, tag, value):
    none = {"vasprun.xml": f'<v name="{tag}"> 0.0 0.0 0.0</v>', "OUTCAR": f"   {tag} = 0.0 0.0 0.0"}[write.kind]
    assert len(read_dataset(write(step(), incar=none))) == 1
    path = write(step(), incar=none.replace("0.0 0.0 0.0", value))
    with pytest.raises(AssayError, match=rf"{path} is of a run of VASP in an electric field \({tag} = {value}\)"):
        read_dataset(path)
    assert len(list(read_frames(path))) == 1


@pytest.mark.parametrize("level", [1, 2])
def test_holes_in_cores_have_no_labels_and_no_charge(write, level):
    """Their electrons are added to the valence."""
    entry = {"vasprun.xml": f'<i type="int" name="ICORELEVEL"> {level} </i>', "OUTCAR": f"   ICORELEVEL = {level}"}
    path = write(step(), incar=entry[write.kind], NELECT=9.0)
    [load] = read_frames(path)
    if level == 1:
        assert read_dataset(path)[0].charge == load().info["charge"] == -1
        return
    with pytest.raises(AssayError, match=rf"{path} is of a run of VASP with holes in cores \(ICORELEVEL = 2\)"):
        read_dataset(path)
    assert "charge" not in load().info


@pytest.mark.parametrize("which", [0, 1])
def test_a_stress_that_is_not_computed_and_a_pressure_alone_are_none(write, which):
    """Whatever is written in place of the stress."""
    [structure] = read_dataset(write(step(), ISIF=which))
    assert structure.stress_eV_per_A3 is None


@pytest.mark.parametrize("missing", ["forces", "stress"])
def test_a_step_without_a_label(write, missing):
    if missing == "stress":
        assert read_dataset(write(step(stress=None)))[0].stress_eV_per_A3 is None
        return
    with pytest.raises(AssayError, match=r"structure 1 of .* (has no forces|cannot be read)"):
        read_dataset(write(step(0), step(1, forces=None)))


@pytest.mark.parametrize("name", ["basis", "positions", "forces", "stress"])
@pytest.mark.parametrize("missing", [1, 3])
def test_vectors_that_are_missing_are_no_zeros(tmp_path, name, missing):
    path, text = tmp_path / "vasprun.xml", vasprun(step(0), step(1))
    begin = text.index(f'<varray name="{name}" >', text.rindex("<calculation>"))
    head, table, tail = text[:begin], *text[begin:].split("</varray>", 1)
    lines = table.splitlines(keepends=True)
    path.write_text(f"{head}{''.join(lines[:1] + lines[1 + missing :])}</varray>{tail}")
    with pytest.raises(AssayError, match=r"structure 1 of .* cannot be read \(vectors are missing\)"):
        read_dataset(path)


def test_lattice_vectors_that_touch_are_read(tmp_path):
    touching = "0.000000000  0.250000000108.000000000"
    (tmp_path / "OUTCAR").write_text(outcar(step()).replace("0.000000000  0.250000000  5.000000000", touching))
    np.testing.assert_allclose(read_dataset(tmp_path / "OUTCAR")[0].cell[2], [0.0, 0.25, 108.0])


def test_an_outcar_that_leaves_out_how_many_atoms_there_are_is_refused(tmp_path):
    (tmp_path / "OUTCAR").write_text(outcar(step()).replace("ions per type =               1   1", "ions per type = 1"))
    with pytest.raises(AssayError, match=r"OUTCAR does not tell which atoms it has .*: give its vasprun\.xml"):
        read_dataset(tmp_path / "OUTCAR")


def test_forces_on_atoms_that_are_held_are_those_of_vasp(write):
    """Beside an OUTCAR ASE looks for a POSCAR, which says what is held, and may be of other atoms."""
    path = write(step(), selective=True)
    atoms = "F F F\n 0.0 0.0 0.0 F F F\n 0.5 0.5 0.5 F F F\n 0.7 0.7 0.7"
    path.with_name("POSCAR").write_text(
        f"HF\n1.0\n5 0 0\n0 5 0\n0 0 5\nH F\n3 1\nSelective dynamics\nDirect\n 0 0 0 {atoms} F F F\n"
    )
    np.testing.assert_allclose(read_dataset(path)[0].forces_eV_per_A, step()["forces"])


@pytest.mark.parametrize(("electrons", "charge"), [(8.0, 0), (7.0, 1), (10.0, -2)])
def test_electrons_tell_the_charge_and_moments_no_state(write, electrons, charge):
    path = write(step(), NELECT=electrons, ISPIN=2)
    [structure] = read_dataset(path)
    assert (structure.charge, structure.spin) == (charge, None)
    [load] = read_frames(path)
    assert Structure.from_ase(load()).charge == charge


def test_a_fraction_of_an_electron_is_refused(write):
    with pytest.raises(AssayError, match=r"structure 0 of .* has `charge` 0\.5, but a total charge is a whole number"):
        read_dataset(write(step(), NELECT=7.5))


def test_hydrogens_of_a_fraction_of_an_electron_are_none(write):
    path = write(step(), valence=1.25, NELECT=8.25)
    for read in (read_dataset, lambda path: list(read_frames(path))):
        with pytest.raises(AssayError, match=rf"{path} has atoms that are there in part"):
            read(path)


def test_a_mixture_of_elements_is_refused(tmp_path):
    for name, text in (
        ("vasprun.xml", vasprun(step(), incar='<v name="VCA">      0.50000000      0.50000000</v>')),
        ("OUTCAR", outcar(step()).replace("VCA    =   1.00  1.00", "VCA    =   0.50  0.50")),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(AssayError, match=rf"{name} has atoms that are there in part, .*VCA"):
            read_dataset(tmp_path / name)


def test_steps_of_a_learned_force_field_are_no_labels_of_vasp(tmp_path):
    learned = outcar(step(0), step(1)).rpartition("FREE ENERGIE OF")
    learned = f"{learned[0]}ML {learned[1]}{learned[2].replace('energy   TOTEN', 'energy ML TOTEN')}"
    xml = vasprun(step(), incar='<i type="logical" name="ML_LMLFF"> T  </i>')
    for name, text in (
        ("OUTCAR", learned),
        ("first.OUTCAR", " vasp.6.4\n  free  energy ML TOTEN  =  -10.5 eV\n"),
        ("vasprun.xml", xml),
    ):
        (tmp_path / name).write_text(text)
        words = rf"{name} has steps of a learned force field, which are no labels of its teacher: .*ML_LMLFF"
        with pytest.raises(AssayError, match=words):
            read_dataset(tmp_path / name)
        with pytest.raises(AssayError, match=rf"{name} has steps of a learned force field, .*: give its XDATCAR"):
            list(read_frames(tmp_path / name))


@pytest.mark.parametrize("end", ["</calculation>", "energy(sigma->0)"])
def test_a_file_that_ends_anywhere_has_its_whole_steps_and_never_a_part_of_one(tmp_path, end):
    name, text = ("vasprun.xml", vasprun) if end.startswith("<") else ("OUTCAR", outcar)
    steps = [step(k, energy=-32.0 - k) for k in range(3)]
    path, text = tmp_path / name, text(*steps)
    begin = text.index("<calculation>" if end.startswith("<") else "Iteration")
    for stop in range(begin + 30, len(text), 97):
        path.write_text(text[:stop])
        whole = text[:stop].count(end)
        if not end.startswith("<"):  # of each ionic step, its electronic ones, and the line's end
            whole = sum(stop > at for at in line_ends(text))
        is_within = text[:stop].count("<calculation>" if end.startswith("<") else "Iteration") > (
            whole if end.startswith("<") else whole * len(CYCLE)
        )
        if not whole:
            with pytest.raises(AssayError, match=f"{name} ends within a structure: read it again"):
                read_dataset(path)
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dataset = read_dataset(path)
        assert [s.energy_eV for s in dataset] == pytest.approx([-32.0, -33.0, -34.0][:whole])
        np.testing.assert_allclose([s.forces_eV_per_A for s in dataset], [own["forces"] for own in steps[:whole]])
        told = [
            str(own.message) for own in caught if "ends within an ionic step, which is left out" in str(own.message)
        ]
        assert len(told) == is_within
        assert count_structures(path) == whole


def test_steps_of_a_response_behind_the_last_ionic_step_are_none(tmp_path):
    response = "--------------------------------------- Iteration      1(   5)  ---------------------\n"
    text = outcar(step(0)).replace(" General timing", f"{response}\n General timing")
    (tmp_path / "OUTCAR").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_dataset(tmp_path / "OUTCAR")) == 1


@pytest.mark.parametrize(("n_steps", "n_kpoints"), [(400, 1), (1, 1000)])
def test_a_large_vasprun_is_read_step_by_step(tmp_path, n_steps, n_kpoints):
    bands = "<set>" + 30 * "<r>  -1.0 1.0 </r>\n" + "</set>\n"
    text = vasprun(*(step(k % 3) for k in range(n_steps))).replace("<r>  ****** 1.0 </r>", n_kpoints * bands)
    (tmp_path / "vasprun.xml").write_text(text)
    tracemalloc.start()
    assert count_structures(tmp_path / "vasprun.xml") == n_steps
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_500_000


def line_ends(text):
    """Where the last line of the energies of each ionic step of an OUTCAR ends."""
    ends = list(accumulate(len(line) for line in text.splitlines(keepends=True)))
    return [end - 1 for end, line in zip(ends, text.splitlines(), strict=True) if "energy  without entropy" in line]


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("</scstep>\n  <scstep>", "</scstep>\n </i>\n  <scstep>", "mismatched tag.*images of a run write it at once"),
        (
            "<incar>",
            '<incar>\n  <i type="string" name="SYSTEM">Mo & S</i>',
            "not well-formed.*SYSTEM of the INCAR has an &",
        ),
    ],
    ids=["images at once", "a name with &"],
)
def test_what_is_no_xml_is_refused(tmp_path, before, after, reason):
    text = vasprun(step(0), step(1))
    assert before in text
    (tmp_path / "vasprun.xml").write_text(text.replace(before, after, 1))
    with pytest.raises(AssayError, match=rf"vasprun\.xml is no XML from a place on \({reason}.*: give its OUTCAR"):
        read_dataset(tmp_path / "vasprun.xml")


def test_several_runs_in_one_outcar_are_refused(tmp_path):
    (tmp_path / "OUTCAR").write_text(outcar(step(0)) + outcar(step(1)))
    with pytest.raises(AssayError, match=r"OUTCAR has the outputs of several runs: divide it where they begin"):
        read_dataset(tmp_path / "OUTCAR")


def test_numbers_that_had_no_place_cost_their_step(write):
    text = write(step(0), step(1)).read_text()
    path = write(step(0), step(1))
    path.write_text(
        "*****************".join(text.rsplit("1.50000000" if write.kind == "vasprun.xml" else "1.500000", 1))
    )
    with pytest.raises(AssayError, match=r"structure 1 of .* cannot be read \(could not convert .*: check what VASP"):
        read_dataset(path)
    first, second = read_frames(path)
    assert len(first()) == 2
    with pytest.raises(AssayError, match=r"structure 1 of .* cannot be read"):
        second()


@pytest.mark.parametrize("name", ["my.xml", "vasprun_3.xml", "01/OUTCAR", "OUTCAR.run2", "finished.out", "a.txt"])
def test_a_file_is_known_by_what_it_begins_with(write, name):
    assert len(read_dataset(write(step(0), step(1), name=name))) == 2


def test_a_compressed_file_is_read(write):
    path = write(step(0), step(1))
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert len(read_dataset(packed)) == 2
    packed.write_bytes(gzip.compress(path.read_bytes())[:-40])
    with pytest.raises(AssayError, match=r"\.gz cannot be read as an output of VASP"):
        read_dataset(packed)


@pytest.mark.parametrize(("written", "number"), [("X ", 54), ("r ", 40), ("Zr", 40)])
def test_elements_that_vasprun_cuts_are_known(tmp_path, written, number):
    (tmp_path / "vasprun.xml").write_text(vasprun(step()).replace("<c>F </c>", f"<c>{written}</c>"))
    assert read_dataset(tmp_path / "vasprun.xml")[0].atomic_numbers.tolist() == [1, number]


def test_blocks_leave_out_what_is_not_converged(write):
    path = write(step(0), step(1, cycle=(-30.0, -32.0)), step(2), step(3))
    assert [block.numbers.tolist() for block in read_blocks(path, 2)] == [[0, 2], [3]]


def test_structures_are_drawn_by_their_places(write):
    path = write(*(step(k) for k in range(6)))
    drawn = read_dataset(path, at_most=2, seed=1)
    assert len(drawn) == 2
    np.testing.assert_allclose([s.forces_eV_per_A[0, 0] for s in drawn], 0.5 + drawn.numbers)


def test_what_vasp_prints_to_the_terminal_is_no_outcar(tmp_path):
    (tmp_path / "vasp.log").write_text(" vasp.6.4.2 20Jul23 (build Dec  6 2024)\n POSCAR found :  1 types\n")
    words = r"vasp\.log is of VASP, whose outputs are not read as labels: give vasprun\.xml or OUTCAR of its run"
    with pytest.raises(AssayError, match=words):
        read_dataset(tmp_path / "vasp.log")


def test_structures_alone_have_no_labels(write):
    """Beside predicted energies they would be taken for these."""
    [load] = read_frames(write(step()))
    assert load().info == {"charge": 0.0} and set(load().arrays) == {"numbers", "positions"}
