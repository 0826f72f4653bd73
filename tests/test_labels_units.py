"""Labels in another unit, or with the sign turned, are named as such, whatever the config says of them."""

import re
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from assay.accuracy.label_checks import check_labels
from assay.data import read_dataset
from assay.data.dataset import from_structures
from assay.structures.structure import Structure
from assay.workflow.units import factor, of_structure
from shared.label_mistakes import ENERGY_UNITS, FORCE_UNITS, labelled, of_student, other_reference, part, relabelled


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", FORCE_UNITS)
def test_force_units_are_named(sound, name, sign):
    dataset, errors = sound
    found = check_labels(relabelled(errors, forces=sign * FORCE_UNITS[name] * errors.forces_teacher), dataset)
    turned = ", with the sign turned" if sign < 0 else ""
    assert found["force_unit"] == name + turned
    assert len(found["suspicions"]) == 1 and f"as {name}{turned} would be, in " in found["suspicions"][0]
    assert found["energy_unit"] == "eV" and not found["outliers"]


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("per_atom", [False, True])
@pytest.mark.parametrize("name", ["eV", *ENERGY_UNITS])
def test_energy_units_are_named_whatever_the_reference(sound, name, per_atom, sign, reference):
    dataset, errors = sound
    label = other_reference(errors) if reference else errors.energy_teacher
    label = sign * label * ENERGY_UNITS.get(name, 1.0) / (errors.n_atoms if per_atom else 1)
    found = check_labels(relabelled(errors, label), dataset)
    assert found["energy_unit"] == name + " per atom" * per_atom + ", with the sign turned" * (sign < 0)
    assert bool(found["suspicions"]) == (found["energy_unit"] != "eV")
    assert found["force_unit"] == "eV/angstrom" and not found["outliers"]


@pytest.mark.parametrize("named", ["eV/angstrom", *FORCE_UNITS, "-hartree/bohr", "au", "mHa/pm"])
@pytest.mark.parametrize("true", ["eV/angstrom", *FORCE_UNITS])
def test_forces_that_a_config_names_in_another_unit_are_seen_through(sound, true, named):
    dataset, errors = sound
    ratio = factor(named, "forces") / factor(true, "forces")
    wrong = relabelled(errors, forces=ratio * errors.forces_teacher)
    found = check_labels(wrong, replace(dataset, read_as={"forces": named}))
    if abs(np.log(abs(ratio))) < 0.1 and ratio > 0:  # hartree/angstrom and rydberg/bohr, eV/nm and kJ/mol/nm
        assert not found["suspicions"] and factor(found["force_unit"], "forces") == pytest.approx(
            factor(named, "forces")
        )
    else:
        turned = ", with the sign turned" if named.startswith("-") else ""
        assert found["force_unit"] == true
        [suspicion] = found["suspicions"]
        name = {"-hartree/bohr": "hartree/bohr" + turned, "au": "hartree/bohr"}.get(named, named)
        assert f"forces, read as {name}, are " in suspicion and f", as {true} would be" in suspicion


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("named", ["eV", *ENERGY_UNITS, "eV/atom", "hartree/atom"])
@pytest.mark.parametrize("true", ["eV", *ENERGY_UNITS, "eV/atom", "hartree/atom"])
def test_energies_that_a_config_names_in_another_unit_are_seen_through(sound, true, named, reference):
    dataset, errors = sound
    in_file, as_read = (
        factor(of_structure(unit), "energy") * (errors.n_atoms if unit.endswith("/atom") else 1)
        for unit in (true, named)
    )
    label = as_read / in_file * (other_reference(errors) if reference else errors.energy_teacher)
    found = check_labels(relabelled(errors, label), replace(dataset, read_as={"energy": named}))
    in_words, said = (unit.replace("/atom", " per atom") for unit in (true, named))
    assert found["energy_unit"] == in_words
    assert (
        found["suspicions"]
        == [f"labelled energies, read as {said}, agree with the predicted ones if they are in {in_words}"][
            : true != named
        ]
    )


def test_arrays_in_eV_with_the_names_of_kcal_are_seen_through(tmp_path, sound):
    dataset, errors = part(*sound, np.arange(2, 60, 6))
    rows = np.stack([dataset.positions.reshape(10, -1, 3), dataset.forces.reshape(10, -1, 3)])
    arrays = {"R": rows[0], "F": rows[1], "E": dataset.energy, "z": dataset[0].atomic_numbers}
    np.savez(tmp_path / "a.npz", **arrays)
    read = read_dataset(tmp_path / "a.npz")
    found = check_labels(relabelled(errors, read.energy, read.forces), read)
    assert (found["energy_unit"], found["force_unit"]) == ("eV", "eV/angstrom")
    assert ["read as kcal/mol" in suspicion for suspicion in found["suspicions"]] == [True, True]
    right = {"path": tmp_path / "a.npz", "units": {"energy": "eV"}}
    assert not check_labels(errors, read_dataset(right))["suspicions"]


@pytest.mark.parametrize("unit", ["eV", *ENERGY_UNITS])
@pytest.mark.parametrize("eV_per_atom", [-100.0, -150_000.0])
def test_total_energies_in_single_precision_are_named_where_it_shows(sound, unit, eV_per_atom):
    dataset, errors = sound
    exact, scale = errors.energy_teacher + eV_per_atom * errors.n_atoms, ENERGY_UNITS.get(unit, 1.0)
    assert not check_labels(relabelled(errors, exact), dataset)["suspicions"]
    single = (scale * exact).astype(np.float32).astype(np.float64) / scale
    found = check_labels(relabelled(errors, single), dataset)["suspicions"]
    if eV_per_atom > -1000.0:
        assert not found
        return
    [said] = re.findall(r"^labelled energies are in single precision, .* by up to (\S+) meV/atom, so", "".join(found))
    off = 1e3 * np.abs(single - exact) / errors.n_atoms
    assert off.max() <= 1.03 * float(said) < 4.0 * off.max()


@pytest.mark.parametrize(("n_structures", "seed"), [(5, seed) for seed in range(8)] + [(8, seed) for seed in range(8)])
def test_few_structures_of_one_element_tell_no_unit_by_chance(n_structures, seed):
    generator, structures = np.random.default_rng(seed), []
    for k in range(n_structures):
        atoms = bulk("Cu", cubic=True).repeat((1, 1, 1 + k))
        atoms.rattle(0.02, seed=1000 * seed + k)
        atoms.calc = EMT()
        atoms.get_forces()
        structures.append(Structure.from_ase(atoms, f"crystal-{k}"))
    dataset = from_structures(structures)
    energy = dataset.energy + dataset.sizes * (3.0 + 0.003 * generator.normal(size=n_structures))
    errors = of_student(dataset)
    errors.energy[:] = energy
    found = check_labels(errors, dataset)
    assert found["energy_unit"] in ("eV", None) and not found["suspicions"], found["sentence"]


@pytest.mark.parametrize("names", [("CH3CH2OH",), ("CH3CH2OH", "CH4")])
@pytest.mark.parametrize("n_structures", [5, 6, 8])
def test_a_unit_that_is_plain_is_named_of_few_structures_too(names, n_structures):
    dataset = labelled(names, frames=n_structures // len(names) + 1, spread_A=0.05)
    dataset = dataset.subset(np.arange(n_structures))
    errors = of_student(dataset, error=0.02)
    differences = np.std(dataset.energy) if len(names) == 1 else 1.0
    noise = 0.02 * differences * np.random.default_rng(0).normal(size=n_structures)
    errors.energy[:] = dataset.energy - 1000.0 * dataset.sizes + noise
    for unit in ("kcal/mol", "kJ/mol"):
        wrong = relabelled(errors, energy=dataset.energy * ENERGY_UNITS[unit])
        assert check_labels(wrong, dataset)["energy_unit"] == unit
