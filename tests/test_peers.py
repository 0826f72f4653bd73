"""Peers are as large as the student, timed in turns with it, and never dropped in silence."""

import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import ase.build
import numpy as np
import pandas as pd
import pytest
import torch

from assay.benchmark.points import Point
from assay.peers import network, student
from assay.peers.compare import beside_themselves, fastest, time_beside_peers
from assay.peers.network import PeerPredictor, Size, load_peers, nearest_width
from assay.peers.packages import install, use
from assay.peers.table import write_csv, write_markdown
from assay.predictors.interface import BatchPredictor
from assay.structures.structure import Structure
from assay.workflow.config import load_config
from assay.workflow.config_models.config_yaml import Benchmark

ROOT = Path(__file__).parents[1]
SIZE = Size(n_parameters=21_589, n_blocks=2, n_rbf=11, cutoff_A=5.0, elements=(1, 6, 8))


def molecules(*names):
    return [Structure.from_ase(ase.build.molecule(name), name) for name in names]


@pytest.fixture
def fake(monkeypatch, tmp_path):
    monkeypatch.setitem(network.PEERS, "fake", "shared.fake_peer")
    monkeypatch.setattr(sys, "path", [*sys.path])
    return {"fake": tmp_path}


def test_width_is_that_of_the_nearest_number_of_parameters():
    def count(width):
        return 7 * width**2 + 30 * width + 100

    assert [nearest_width(count, count(width)) for width in (1, 5, 28, 109)] == [1, 5, 28, 109]
    assert nearest_width(count, count(28) + 100) == 28
    assert nearest_width(count, count(29) - 100) == 29
    assert nearest_width(count, 12) == 1


def test_peer_is_as_large_as_the_student_and_its_forces_are_those_of_its_energy(fake):
    peers, about = load_peers(fake, SIZE)
    assert about["fake"]["n_parameters"] == sum(p.numel() for p in peers["fake"].network.parameters())
    assert about["fake"]["parameter_ratio"] == pytest.approx(1.0, abs=0.05)
    both = molecules("H2O", "CH3OH")
    energies, forces = peers["fake"].evaluate(both)
    assert energies.shape == (2,)
    assert forces.shape == (9, 3)
    step = np.zeros((3, 3))
    step[0, 0] = 1e-2
    moved = [Structure(both[0].name, both[0].atomic_numbers, both[0].positions + sign * step) for sign in (1, -1)]
    up, down = peers["fake"].evaluate(moved)[0]
    assert -(up - down) / 2e-2 == pytest.approx(forces[0, 0], rel=0.02, abs=1e-4)


def test_a_periodic_structure_is_no_structure_of_a_peer(fake):
    """Other packages are given pairs without images, and so would compute another structure."""
    peers, _ = load_peers(fake, SIZE)
    box = Structure.from_ase(ase.build.bulk("C", cubic=True), "box")
    own, _ = network.in_engine(peers)
    rows = time_beside_peers({"engine": own["fake"]}, peers, [Point(8, [box])], 0.02, 2)
    refused = (
        "AssayError: box is periodic, and Fake PaiNN is timed with open structures alone: name a split of molecules in "
        "dataset.splits of the config"
    )
    assert [row["error"] for row in rows if "error" in row] == [refused]


def test_peers_know_the_elements_of_the_student_and_are_timed_on_what_it_knows(fake, monkeypatch):
    card = {"checkpoint_sha256": "0" * 64, "n_parameters": SIZE.n_parameters, "elements": ["O", "H"]}
    card["hyperparameters"] = {"n_blocks": 2, "n_rbf": 11, "cutoff_A": 5.0}
    settings = {**load_config(ROOT / "config")["benchmark"], "seconds": 0.02, "min_rounds": 2}
    settings = Benchmark(**settings | {"system_sizes": [2], "single_sizes": [], "batch_sizes": [1]})
    sizes = []

    def load(folders, size, device):
        sizes.append(size)
        return load_peers(folders, size, device)

    monkeypatch.setattr(student, "load_peers", load)
    structures, own = molecules("NaCl", "H2O"), {"onnx": Scripted(0.01, 0.01)}
    found = student.beside_peers(card, own, fake, structures, settings)
    assert sizes == [replace(SIZE, elements=(1, 8))]
    assert {row["n_atoms"] for row in found["rows"]} == {3}, "NaCl is nearer to two atoms, and Na is not known"
    assert [row["error"] for row in found["rows"] if "error" in row] == []
    assert {row["peer"] for row in found["fastest"]} == {"fake"}
    student.beside_peers(card | {"elements": None}, own, fake, structures[:1], settings)
    student.beside_peers(card | {"elements": ["O", "H", "C"]}, own, fake, structures, settings)
    assert sizes.pop().elements == (1, 6, 8), "those of the student, whatever the structures have"
    assert sizes[1].elements == (11, 17), "those of the structures, where the student does not tell"
    nothing = student.beside_peers(card, own, fake, structures[:1], settings)
    assert "elements that it does not know" in nothing["not_applicable"] and nothing["rows"] == []


def test_network_of_a_peer_is_read_into_the_engine_or_the_reason_is_said(fake):
    peers, _ = load_peers(fake, SIZE)
    peers["stranger"] = PeerPredictor(peers["fake"].adapter, torch.nn.Linear(2, 3), SIZE, "cpu")
    found, reasons = network.in_engine(peers)
    assert found["fake"].runtime == "engine" and list(found) == ["fake"]
    assert list(reasons) == ["stranger"] and "stranger.pt" in reasons["stranger"]
    points = [Point(6, molecules("CH3OH", "H2O"))]
    rows = time_beside_peers({}, {"fake": peers["fake"]}, points, 0.02, 2, in_engine=found)
    assert fastest(rows) == [], "the network of the peer is no student"
    searched, known = beside_themselves(rows)
    assert (searched["neighbors"], known["neighbors"]) == ("searched", "known")
    for row in (searched, known):
        assert row["runtime"] == "engine" and row["peer"] == "fake" and row["n_atoms"] == 9
        assert row["energy_difference_eV"] < 1e-5 and row["force_difference_eV_per_A"] < 1e-5
        assert row["times_faster"]["median"] > 1.0


@pytest.mark.parametrize("forces", [1.5, 0.5])
def test_another_network_in_the_engine_shows_in_the_differences(forces):
    other = Scripted(0.01, 0.01, forces=forces)
    rows = run({"onnx": Scripted(0.01, 0.02)}, {"peer": Scripted(0.01, 0.08)}, {"peer": other})
    assert {row["force_difference_eV_per_A"] for row in beside_themselves(rows)} == {0.5}
    assert [row["times_faster"]["median"] for row in beside_themselves(rows)] == pytest.approx([4.5, 8.0] * 2)
    assert {row["runtime"] for row in fastest(rows)} == {"onnx"}


def test_peer_that_does_not_load_is_named_with_the_reason(fake, monkeypatch, tmp_path):
    (tmp_path / "broken_peer.py").write_text("raise OSError('undefined symbol: torch')")
    monkeypatch.setitem(network.PEERS, "broken", "broken_peer")
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "not-installed.txt").write_text("No matching distribution found for missing==1")
    monkeypatch.setitem(network.PEERS, "missing", "missing_peer")
    peers, about = load_peers({"broken": tmp_path, "missing": missing, **fake}, SIZE)
    assert list(peers) == ["fake"]
    assert about["broken"] == {"error": "OSError: undefined symbol: torch"}
    assert about["missing"]["error"].endswith("not installed: No matching distribution found for missing==1")


def wheel(folder):
    """A wheel of a package that wants another one, which is nowhere."""
    about = "Metadata-Version: 2.1\nName: sparrow\nVersion: 1.0\nRequires-Dist: nowhere-to-be-found\n"
    with zipfile.ZipFile(folder / "sparrow-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("sparrow.py", "WEIGHT_g = 30\n")
        archive.writestr("sparrow-1.0.dist-info/METADATA", about)
        archive.writestr(
            "sparrow-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("sparrow-1.0.dist-info/RECORD", "")


def test_what_is_pinned_is_installed_and_nothing_else(fake, tmp_path):
    wheel(tmp_path)
    pins, folder = tmp_path / "pins.txt", tmp_path / "sparrow"
    pins.write_text(f"--no-index\n--find-links {tmp_path}\nsparrow==1.0\n")
    install(pins, folder)
    use(folder)
    import sparrow

    assert sparrow.WEIGHT_g == 30
    assert sparrow.__file__.startswith(str(folder))
    assert sys.path[-1] == str(folder)  # packages of the environment go first


def test_what_cannot_be_installed_leaves_the_reason(tmp_path):
    pins = tmp_path / "pins.txt"
    pins.write_text(f"--no-index\n--find-links {tmp_path}\nsparrow==2.0\n")
    install(pins, tmp_path / "sparrow")
    with pytest.raises(ImportError, match=r"not installed: ERROR: No matching distribution found for sparrow==2\.0"):
        use(tmp_path / "sparrow")


class Scripted(BatchPredictor):
    """Takes as long as it is told, on a clock of its own."""

    now = 0.0

    def __init__(self, search_s, network_s, forces=1.0, largest=np.inf):
        super().__init__("scripted", "eager", "cpu", "float32", 5.0, 36, None)
        self.search_s, self.network_s, self.forces, self.largest = search_s, network_s, forces, largest

    def evaluate(self, structures):
        Scripted.now += self.search_s
        return self.prepare(structures)()

    def prepare(self, structures):
        if len(structures) > self.largest:
            raise MemoryError("too many\nof them")

        def call():
            Scripted.now += self.network_s
            return np.ones(len(structures)), np.full((sum(map(len, structures)), 3), self.forces)

        return call


def scripted_clock(call):
    before = Scripted.now
    call()
    return Scripted.now - before


POINTS = [Point(6, molecules("CH3OH")), Point(6, molecules("CH3OH", "H2O"))]


def run(students, peers, in_engine=None):
    return time_beside_peers(students, peers, POINTS, 0.5, 3, scripted_clock, in_engine)


def test_ratio_is_the_time_of_the_peer_over_that_of_the_student():
    students = {"onnx": Scripted(0.01, 0.02), "eager": Scripted(0.01, 0.2)}
    rows = run(students, {"peer": Scripted(0.01, 0.08)})
    assert len(rows) == 2 * 2 * 3
    first = {(row["network"], row["neighbors"]): row for row in rows if row["batch_size"] == 1}
    assert first["onnx", "known"]["latency_ratio"]["peer"]["median"] == pytest.approx(4.0)
    assert first["onnx", "searched"]["latency_ratio"]["peer"]["median"] == pytest.approx(3.0)
    assert first["peer", "known"]["atoms_per_s"] == pytest.approx(6 / 0.08)
    assert first["peer", "known"]["structures_per_s"] == pytest.approx(1 / 0.08)
    best = fastest(rows)
    assert {(row["batch_size"], row["neighbors"]) for row in best} == {
        (batch, neighbors) for batch in (1, 2) for neighbors in ("known", "searched")
    }
    assert {row["runtime"] for row in best} == {"onnx"}
    assert [row["times_faster"]["median"] for row in best] == pytest.approx([3.0, 4.0, 3.0, 4.0])


def test_failing_peer_is_a_row_with_the_reason_and_a_peer_without_forces_is_none():
    peers = {"large": Scripted(0.1, 0.1, largest=1), "lazy": Scripted(0.1, 0.1, forces=0.0)}
    rows = run({"onnx": Scripted(0.1, 0.1)}, peers)
    errors = {(row["network"], row["batch_size"]): row["error"] for row in rows if "error" in row}
    assert errors["large", 2] == "MemoryError: too many"
    assert "no forces" in errors["lazy", 1]
    assert {row["peer"] for row in fastest(rows) if row["batch_size"] == 1} == {"large"}
    assert [row for row in fastest(rows) if row["batch_size"] == 2] == []


@pytest.fixture
def result():
    known = {"name": "Fake PaiNN", "package": "fake", "version": "1", "about": "wide", "width": 9}
    rows = run({"onnx": Scripted(0.01, 0.02)}, {"fake": Scripted(0.01, 0.07)}, {"fake": Scripted(0.01, 0.015)})
    peer = {**known, "n_parameters": 990, "parameter_ratio": 0.99}
    student = {
        "n_parameters": 1000,
        "peers": {"fake": peer, "odd": {**peer, "not_in_engine": "it is odd"}, "gone": {"error": "not installed"}},
        "rows": rows,
        "fastest": fastest(rows),
        "in_engine": beside_themselves(rows),
    }
    machine = {
        "device_name": "machine",
        "threads": {"torch": 2},
        "targets": {"fake": 3.0, "fake in the engine": 4.0},
        "load_of_other_processes": 0.4,
    }
    return machine | {"students": {"tiny": student}}


def test_table_judges_ratios_and_names_what_was_not_timed(result, tmp_path):
    unknown = {"not_applicable": "it knows none of them", "peers": {}, "rows": [], "fastest": [], "in_engine": []}
    result["students"]["salty"] = unknown
    write_markdown(tmp_path / "peers.md", result)
    text = (tmp_path / "peers.md").read_text()
    assert "- tiny: gone was not timed: not installed" in text
    assert "- salty was not timed: it knows none of them" in text
    assert "Other processes used 40 % of the processor" in text
    assert "990 parameters (0.99 of the student's)" in text
    assert "- tiny: odd's network was not timed in the engine: it is odd" in text
    assert "Energies differ by at most 0.0e+00 eV, forces by 0.0e+00 eV/angstrom." in text
    table = [line for line in text.splitlines() if line.startswith("| tiny")]
    assert [line.split(" | ")[-1].rstrip(" |") for line in table] == ["3: unmet", "3: met"] * 2 + [
        "4: unmet",
        "4: met",
    ] * 2
    for part in text.split("## "):
        assert len({line.count(" | ") for line in part.splitlines() if line.startswith("|")}) == 1


def test_other_programs_read_every_row(result, tmp_path):
    write_csv(tmp_path / "peers.csv", result)
    table = pd.read_csv(tmp_path / "peers.csv")
    assert len(table) == len(result["students"]["tiny"]["rows"])
    own = table[(table.network == "onnx") & (table.neighbors == "known")]
    assert own.fake_latency_ratio_median.tolist() == pytest.approx([3.5, 3.5])
