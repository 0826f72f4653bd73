"""Properties of a material by dynamics: known arrangements and walks come out as they are, and runs can be stopped."""

import json
from dataclasses import dataclass, replace

import ase.build
import numpy as np
import pytest
from ase import units
from matplotlib.axes import Axes

from assay.dynamics.parts import frames_in_parts
from assay.dynamics.run import run_dynamics
from assay.physics.material import (
    _mean_and_error,
    activation_energies,
    material_record,
    read_start,
    without_images,
)
from assay.physics.material_figure import draw_material
from assay.physics.transport import diffusion, radial_distributions
from assay.predictors.interface import Prediction
from assay.report.properties import read_properties
from assay.structures.geometry import wrapped
from assay.structures.structure import Structure
from assay.workflow import plots
from assay.workflow.compact_svg import names_shown
from assay.workflow.config_models.commands_yaml import MaterialDynamics
from assay.workflow.errors import AssayError
from assay.workflow.files import write_json
from shared.physics_toys import crystal, predictor

SETTINGS = MaterialDynamics(
    structure="crystal.xyz", repeats=[[2, 1, 1], [2, 2, 1]], temperatures_K=[100.0, 300.0], step_fs=2.0,
    friction_per_fs=0.01, equilibration_ps=0.02, duration_ps=0.2, frame_every_fs=4.0, radial_to_A=8.0, radial_bins=40,
    lags_ps=[0.02, 0.06], seed=0,
)  # fmt: skip


def salt(repeat=3):
    return Structure.from_ase(ase.build.bulk("NaCl", "rocksalt", a=5.6, cubic=True).repeat(repeat), "NaCl")


def test_neighbors_of_a_crystal_are_counted_at_their_distances():
    structure = salt()
    middles, functions = radial_distributions(structure, structure.positions[None], 20.0, 168)
    assert list(functions) == ["Na-Na", "Cl-Na", "Cl-Cl"]
    assert middles[-1] < 0.5 * 16.8  # half of the cell
    width, density = middles[1] - middles[0], len(structure) / 2 / 16.8**3
    for pair, shells in {"Cl-Na": {2.8: 6, 2.8 * 3**0.5: 8}, "Na-Na": {2.8 * 2**0.5: 12, 5.6: 6}}.items():
        others = 1 - (pair == "Na-Na") / (len(structure) / 2)  # an atom is no neighbor of its own
        around = 4 * np.pi * middles**2 * width * density * others * functions[pair]
        for distance, neighbors in shells.items():
            assert around[abs(middles - distance) < 0.2].sum() == pytest.approx(neighbors, rel=1e-3)


def test_atoms_without_forces_are_everywhere_alike():
    structure, draw = salt(2), np.random.default_rng(0)
    frames = draw.uniform(0.0, 11.2, (400, len(structure), 3))
    middles, functions = radial_distributions(structure, frames, 5.0, 10)
    for function in functions.values():
        assert np.allclose(function[middles > 1.0], 1.0, atol=0.05)


def test_a_random_walk_diffuses_by_its_steps_and_a_drift_of_all_atoms_by_nothing():
    structure, draw = salt(), np.random.default_rng(1)
    spread = np.where(structure.atomic_numbers == 11, 0.2, 0.1)[:, None]  # angstrom along each axis in each frame
    walk = np.cumsum(spread * draw.standard_normal((2000, len(structure), 3)), axis=0)
    drift = np.arange(2000)[:, None, None] * np.array([0.3, -0.2, 0.1])
    found = diffusion(structure, walk + drift, 0.05, (0.5, 2.0), np.ones(len(structure)))
    for symbol, step in (("Na", 0.2), ("Cl", 0.1)):
        known = step**2 / (2 * 0.05) * 1e-4  # D = step^2 / (2 dt), from angstrom^2/ps to cm^2/s
        own = found[symbol]
        assert own.coefficient_cm2_per_s == pytest.approx(known, rel=0.05)
        assert abs(own.coefficient_cm2_per_s - known) < 5 * own.standard_error_cm2_per_s + 0.02 * known
    still = diffusion(structure, structure.positions + drift, 0.05, (0.5, 2.0), np.ones(len(structure)))
    assert still["Na"].coefficient_cm2_per_s == pytest.approx(0.0, abs=1e-12)


def test_standard_errors_are_those_of_means():
    structure, draw = salt(2), np.random.default_rng(2)
    walks = np.cumsum(0.1 * draw.standard_normal((60, 80, len(structure), 3)), axis=1)
    found = [diffusion(structure, walk, 0.05, (0.1, 0.5), np.ones(len(structure)))["Na"] for walk in walks]
    spread = np.std([own.coefficient_cm2_per_s for own in found])
    assert np.mean([own.standard_error_cm2_per_s for own in found]) == pytest.approx(spread, rel=0.3)
    assert _mean_and_error(np.repeat([1.0, 3.0, 5.0, 7.0, 9.0], 2)) == pytest.approx((5.0, np.sqrt(2.0)))
    assert _mean_and_error(np.ones(1)) == (1.0, None)


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    model, structure = predictor(), crystal()
    common = {"step_fs": 2.0, "friction_per_fs": 0.01, "frame_every": 2, "seed": 3}
    whole = run_dynamics(model, [structure], temperature_K=300.0, n_steps=40, **common).frames
    heating = {"heating_per_fs": 0.01, "heating_frames": 5}
    run = {"temperatures_K": [300.0], "frames_per_part": 4, "state": tmp_path / "state.npz", "title": "test"}
    frames_in_parts(model, [structure], n_frames=3, **run, **heating, **common)
    resumed, heat_eV = frames_in_parts(model, [structure], n_frames=15, **run, **heating, **common)
    assert np.allclose(resumed, whole[5:], atol=1e-5) and heat_eV.shape == (15, 1)


def test_the_bath_that_heats_is_left_for_that_of_the_run_and_each_structure_has_its_temperature(tmp_path, monkeypatch):
    given, run = [], run_dynamics

    def noted(*arguments, **options):
        given.append((options["friction_per_fs"], options["temperature_K"], options["n_steps"]))
        return run(*arguments, **options)

    monkeypatch.setattr("assay.dynamics.parts.run_dynamics", noted)
    frames_in_parts(
        predictor(), [crystal(), crystal()], temperatures_K=[100.0, 300.0], step_fs=2.0, heating_per_fs=0.01,
        heating_frames=3, friction_per_fs=0.0, n_frames=4, frame_every=2, frames_per_part=2, seed=0,
        state=tmp_path / "state.npz", title="test",
    )  # fmt: skip
    parts = [(0.01, 4), (0.01, 2), (0.0, 4), (0.0, 4)]
    assert given == [(friction, [100.0, 300.0], steps) for friction, steps in parts]


@dataclass
class Lattice:
    """A predictor of copper atoms that are each held to their place by a spring, 4 eV/angstrom^2."""

    places: np.ndarray

    cutoff_A, max_z, dtype, device, name, runtime = 1.0, 29, "float64", "cpu", "lattice", "toy"
    elements = scope = None

    def predict(self, structures):
        away = [structure.positions - self.places for structure in structures]
        return [Prediction(2.0 * (x * x).sum(), -4.0 * x) for x in away]


@pytest.mark.parametrize("friction_per_fs", [5e-4, 0.0])
def test_a_crystal_at_rest_is_measured_at_the_temperature_that_was_asked_for(tmp_path, friction_per_fs):
    structure = Structure.from_ase(ase.build.bulk("Cu", cubic=True).repeat(4), "Cu")
    settings = MaterialDynamics(
        structure="copper.xyz", repeats=[[1, 1, 1]], temperatures_K=[400.0, 1000.0], step_fs=8.0,
        friction_per_fs=friction_per_fs, equilibration_ps=0.8, duration_ps=0.8, frame_every_fs=16.0, radial_to_A=3.0,
        radial_bins=40, lags_ps=[0.02, 0.1], seed=0,
    )  # fmt: skip
    found, _ = material_record(Lattice(structure.positions), structure, settings, tmp_path / "state")
    cold, row = found["rows"]
    assert cold["mean_temperature_K"] == pytest.approx(400.0, rel=0.08)
    assert row["mean_temperature_K"] == pytest.approx(1000.0, rel=0.08)
    assert row["density_g_per_cm3"] == pytest.approx(8.9, rel=0.02)  # that of copper
    assert 0.0 < row["mean_temperature_standard_error_K"] < 40.0


def test_the_heat_of_a_run_is_that_of_its_bath_whatever_the_step():
    structure = Structure.from_ase(ase.build.bulk("H", "fcc", a=4.0, cubic=True).repeat(4), "H")
    run = run_dynamics(
        Lattice(structure.positions), [structure], temperature_K=300.0, step_fs=4.0, n_steps=1500,
        friction_per_fs=0.05, frame_every=1,
    )  # fmt: skip
    bath = 1.5 * len(structure) * units.kB * 300.0
    assert run.heat_eV[100:].mean() == pytest.approx(bath, rel=0.02)
    assert run.kinetic_eV[100:].mean() < 0.9 * bath


def test_a_run_that_blows_up_says_when(tmp_path):
    with pytest.raises(AssayError, match=r"KNa blew up after 0\.0\d+ ps"):
        frames_in_parts(
            predictor(), [crystal()], temperatures_K=[1e7], step_fs=20.0, heating_per_fs=0.1, heating_frames=5,
            friction_per_fs=0.1, n_frames=5, frame_every=2, frames_per_part=5, seed=0,
            state=tmp_path / "state.npz", title="test",
        )  # fmt: skip


class Failing(Lattice):
    """One that has no forces from its fifteenth call on, which is the third step after a first part of ten."""

    def predict(self, structures):
        self.calls = getattr(self, "calls", 0) + 1
        [found] = super().predict(structures)
        return [found if self.calls < 15 else replace(found, forces_eV_per_A=found.forces_eV_per_A * np.nan)]


def test_the_time_of_a_blow_up_counts_from_the_first_part_on(tmp_path):
    structure = Structure.from_ase(ase.build.bulk("Cu", cubic=True), "Cu")
    with pytest.raises(AssayError, match=r"Cu blew up after 0\.13 ps"):  # (10 + 3) steps of 10 fs
        frames_in_parts(
            Failing(structure.positions), [structure], temperatures_K=[300.0], step_fs=10.0, heating_per_fs=0.1,
            heating_frames=5, friction_per_fs=0.1, n_frames=5, frame_every=2, frames_per_part=5, seed=0,
            state=tmp_path / "state.npz", title="test",
        )  # fmt: skip


def rows_of(temperature_K, coefficients):
    """Rows at sizes with cells of 10 and 20 angstrom, with these coefficients."""
    return [
        {
            "n_atoms": int(length**3), "temperature_K": temperature_K, "volume_A3": length**3,
            "diffusion": {"Na": {"coefficient_cm2_per_s": own}},
        }
        for length, own in zip((10.0, 20.0), coefficients, strict=True)
    ]  # fmt: skip


def test_sizes_end_at_the_infinite_one_and_temperatures_give_an_activation_energy():
    cold, hot = (2e-5 * np.exp(-0.25 / (units.kB * t)) for t in (500.0, 1000.0))
    rows = rows_of(500.0, (cold - 2e-9, cold)) + rows_of(1000.0, (hot - 4e-9, hot))
    assert without_images(rows)["500"]["Na"] == pytest.approx(cold + 2e-9)
    assert without_images(rows)["1000"]["Na"] == pytest.approx(hot + 4e-9)
    assert activation_energies(rows)["Na"] == pytest.approx(0.25)
    assert without_images(rows[:1]) == {} and activation_energies(rows[:2]) == {}


def test_what_hardly_moves_has_no_activation_energy():
    def row(temperature_K, coefficient, error):
        told = {"coefficient_cm2_per_s": coefficient, "standard_error_cm2_per_s": error}
        return {"n_atoms": 64, "temperature_K": temperature_K, "diffusion": {"Cu": told}}

    moving = [row(1400.0, 2e-5, 1e-6), row(1600.0, 4e-5, None)]
    assert activation_energies(moving)["Cu"] == pytest.approx(0.669, abs=1e-3)
    for cold in (row(300.0, -2e-7, 1e-7), row(300.0, 1e-8, 1e-7), row(300.0, 0.0, None)):
        assert activation_energies([cold, *moving]) == {"Cu": None}


def test_one_atom_of_an_element_has_no_error_and_is_kept_and_shown(tmp_path):
    settings = SETTINGS.model_copy(update={"repeats": [[1, 1, 1]]})
    found, _ = material_record(predictor(), crystal(), settings, tmp_path / "properties.key")
    told = [row["diffusion"][symbol] for row in found["rows"] for symbol in ("K", "Na")]
    assert {own["standard_error_cm2_per_s"] for own in told} == {None}
    assert all(np.isfinite(own["coefficient_cm2_per_s"]) for own in told)
    write_json(tmp_path / "properties.json", found)
    draw_material(tmp_path / "one.svg", {"tiny": found}, None)
    assert (tmp_path / "one.svg").stat().st_size > 0


def test_a_material_is_measured_at_every_size_and_temperature_and_shown(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    found, frames = material_record(predictor(), crystal(), SETTINGS, folder / "properties.key")
    assert [(row["n_atoms"], row["temperature_K"]) for row in found["rows"]] == [(4, 100), (4, 300), (8, 100), (8, 300)]
    assert set(found["diffusion_without_images_cm2_per_s"]) == {"100", "300"}
    assert set(found["activation_energy_eV"]) == {"K", "Na"}
    assert all(np.isfinite(row["pressure_GPa"]) for row in found["rows"])
    ideal = 4 * units.kB * 100.0 / found["rows"][0]["volume_A3"] / units.GPa
    [still] = predictor().predict([replace(crystal(), name="still")])
    assert found["rows"][0]["pressure_GPa"] == pytest.approx(
        ideal - np.trace(still.stress_eV_per_A3) / 3 / units.GPa, abs=1
    )
    assert len(frames) == 4 * 40 and all(frame.stress_eV_per_A3 is not None for frame in frames)
    [own] = predictor().predict([frames[70]])
    assert own.energy_eV == pytest.approx(frames[70].energy_eV) and (wrapped(frames[70]) >= -1e-3).all()
    draw_material(tmp_path / "one.svg", {"tiny": found}, {"rows": found["rows"][:1]})
    assert "teacher" in (tmp_path / "one.svg").read_text()
    assert names_shown(tmp_path / "one.svg") == {"tiny"}


def test_a_figure_of_nothing_is_one_sentence_and_one_line_has_one_shape(tmp_path, monkeypatch):
    unknown = {"not_applicable": "no"}
    for teacher in (None, unknown):
        with pytest.raises(AssayError, match="no variant knows all elements of the structure"):
            draw_material(tmp_path / "none.svg", {"tiny": unknown}, teacher)

    def row(repeats, temperature_K, coefficient):
        told = {"coefficient_cm2_per_s": coefficient, "standard_error_cm2_per_s": 1e-7, "lags_ps": [0, 1]}
        return {
            "n_atoms": 64, "repeats": repeats, "temperature_K": temperature_K,
            "radial_distribution": {"distance_A": [1.0, 2.0], "Cu-Cu": [0.0, 1.0]},
            "diffusion": {"Cu": told | {"squared_A2": [0, 1]}},
        }  # fmt: skip

    lines = []
    monkeypatch.setattr(Axes, "errorbar", lambda self, x, y, *rest, **style: lines.append(list(y)))
    both = [row([2, 1, 1], 1e3, 1e-5), row([2, 1, 1], 2e3, 2e-5), row([1, 2, 1], 1e3, 8e-5), row([1, 2, 1], 2e3, 9e-5)]
    draw_material(tmp_path / "two.svg", {"tiny": {"rows": both}}, unknown)
    assert lines == [[1e-5, 2e-5]]


def test_sizes_of_as_many_atoms_are_measured_each_in_its_own_cell(tmp_path):
    def rows(repeats, name):
        settings = SETTINGS.model_copy(update={"repeats": repeats, "temperatures_K": [300.0]})
        return material_record(predictor(), crystal(), settings, tmp_path / name)[0]["rows"]

    both, alone = rows([[2, 1, 1], [1, 2, 1]], "both"), rows([[1, 2, 1]], "alone")
    assert [row["repeats"] for row in both] == [[2, 1, 1], [1, 2, 1]]
    for row, own in zip(both, rows([[2, 1, 1]], "first") + alone, strict=True):
        assert row["pressure_GPa"] == own["pressure_GPa"]
        assert row["diffusion"]["Na"]["coefficient_cm2_per_s"] == own["diffusion"]["Na"]["coefficient_cm2_per_s"]


def test_a_model_that_does_not_know_the_elements_says_so(tmp_path):
    model = predictor()
    model.elements = frozenset({1, 6})
    found, frames = material_record(model, crystal(), SETTINGS, tmp_path / "state")
    assert frames == [] and found == {
        "not_applicable": "KNa holds Na, K, which model was not trained on: choose a model that knows it"
    }


def test_a_run_shorter_than_its_lags_and_an_open_structure_are_refused(tmp_path):
    with pytest.raises(AssayError, match="tell no displacement after"):
        material_record(predictor(), crystal(), SETTINGS.model_copy(update={"duration_ps": 0.05}), tmp_path / "state")
    ase.build.molecule("H2O").write(tmp_path / "water.xyz")
    with pytest.raises(AssayError, match=r"water\.xyz does not begin with a structure that repeats"):
        read_start(tmp_path / "water.xyz")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"lags_ps": [0.06, 0.06]}, "hold fewer than 3 frames, which are 0.004 ps apart"),
        ({"lags_ps": [0.0605, 0.0635]}, "hold fewer than 3 frames"),
        ({"frame_every_fs": 40.0}, "hold fewer than 3 frames, which are 0.04 ps apart"),
        ({"duration_ps": 0.0615}, "tell no displacement after"),
        ({"temperatures_K": [300.0, 300.0]}, "names a temperature twice"),
    ],
)
def test_what_tells_no_line_is_one_sentence_before_any_run(tmp_path, changed, said):
    with pytest.raises(AssayError, match=said):
        material_record(predictor(), crystal(), SETTINGS.model_copy(update=changed), tmp_path / "state")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_steps", [1, 2])
def test_a_part_of_one_or_two_steps_of_several_structures_is_a_run(n_steps):
    run = run_dynamics(predictor(), [crystal()] * 2, temperature_K=[100.0, 300.0], step_fs=2.0, n_steps=n_steps)
    assert run.shadow_eV.shape == run.kinetic_eV.shape == (0, 2)


def test_atoms_are_put_back_into_their_cell():
    structure, draw = salt(1), np.random.default_rng(2)
    skewed = replace(structure, cell=structure.cell + np.triu(np.ones((3, 3)), 1))
    away = replace(skewed, positions=skewed.positions + draw.integers(-3, 4, (len(skewed), 3)) @ skewed.cell + 0.1)
    fractional = wrapped(away) @ np.linalg.inv(skewed.cell)
    assert (fractional >= 0).all() and (fractional < 1).all()
    turns = (away.positions - wrapped(away)) @ np.linalg.inv(skewed.cell)
    assert np.allclose(turns, np.rint(turns))
    wire = replace(away, pbc=np.array([True, False, False]))
    turns = (wire.positions - wrapped(wire)) @ np.linalg.inv(skewed.cell)
    assert np.allclose(turns, np.rint(turns)) and np.allclose(turns[:, 1:], 0.0) and turns[:, 0].any()


def test_the_report_shows_only_what_the_weights_structure_and_teacher_of_today_did(tmp_path):
    from assay.report.evidence import Student

    row = {
        "n_atoms": 64, "temperature_K": 1200.0, "density_g_per_cm3": 1.5, "pressure_GPa": 0.4,
        "pressure_standard_error_GPa": 0.03, "mean_temperature_K": 1190.0,
        "diffusion": {"Na": {"coefficient_cm2_per_s": 1e-4, "standard_error_cm2_per_s": 6e-6}},
    }  # fmt: skip
    folder = tmp_path / "tiny"
    (tmp_path / "properties").mkdir()
    folder.mkdir()
    found = {"checkpoint_sha256": "now", "settings": {"structure": "melt.xyz"}, "rows": [row]}
    (folder / "properties.json").write_text(json.dumps(found))
    asked = {"teacher": "DFT", "settings": {"structure": "melt.xyz"}, "rows": [row]}
    (tmp_path / "properties/teacher.json").write_text(json.dumps(asked))
    drawing = tmp_path / "properties/properties.svg"
    with plots.figure(drawing, shows=["tiny"]):
        pass
    now, later = (Student("tiny", folder, {"model": {"checkpoint_sha256": sha}}) for sha in ("now", "later"))
    assert read_properties(tmp_path, [later], "melt.xyz", "DFT") is None
    shown = read_properties(tmp_path, [now], "melt.xyz", "DFT")
    assert [own["student"] for own in shown["rows"]] == ["tiny", None] and shown["teacher"] == "DFT"
    assert [own["mean_temperature_K"] for own in shown["rows"]] == [1190.0, 1190.0]
    assert shown["figure"] == str(drawing)
    for others in (["tiny", "left out since"], []):
        with plots.figure(drawing, shows=others):
            pass
        assert read_properties(tmp_path, [now], "melt.xyz", "DFT")["figure"] is None
    with plots.figure(drawing, shows=["tiny"]):
        pass
    for structure in ("other.xyz", None):
        assert read_properties(tmp_path, [now], structure, "DFT") is None
    other = read_properties(tmp_path, [now], "melt.xyz", "GFN2-xTB")
    assert [own["student"] for own in other["rows"]] == ["tiny"]
    assert other["teacher"] is None and other["figure"] is None
    moved = json.dumps(asked | {"settings": {"structure": "other.xyz"}})
    (tmp_path / "properties/teacher.json").write_text(moved)
    assert read_properties(tmp_path, [now], "melt.xyz", "DFT")["teacher"] is None
