"""The figures of the documentation are those of one run, with the students and the data that are shipped."""

import re
import runpy
from pathlib import Path

import ase.build
import ase.io
import pytest

from assay.report.digest import digest
from assay.report.document import (
    EXAMPLE,
    FIGURES,
    FROM_FILES,
    GALLERY,
    PICTURE,
    TABLES,
    filled,
    make_gallery,
    pages,
    rooms,
    write_pages,
)
from assay.report.earlier import keep
from assay.report.example import example_digest
from assay.report.gpu import KINDS, NOTHING, RECORDS, shares_of
from assay.report.gpu import TABLES as OF_A_GPU
from assay.report.readme import write_figure
from assay.workflow.config import load_config
from assay.workflow.errors import AssayError
from assay.workflow.files import read_json, sha256_file, write_json
from shared.gpu_records import speed_pieces, timed, write_record
from shared.report_results import JOBS, make_benchmarks, make_results, read, write_report
from shared.workflow_copy import ROOT

RENEW = "write them again: `snakemake document` from a run, or `snakemake pages` if only the tables have changed"


@pytest.fixture(scope="module")
def shown():
    """The figures that the pages show."""
    return read_json(ROOT / FIGURES)


@pytest.fixture
def made_up(tmp_path):
    """Results of three made-up students, and their figures."""
    folder = make_results(tmp_path / "results")
    summary = write_report(tmp_path / "report", folder, make_benchmarks(tmp_path / "benchmarks", JOBS))

    def figures():
        return digest(summary, read(folder), folder / "peers/peers.json") | {
            "gallery": {"student": "original", "files": {}},
            "example": example_digest(read(folder), None, None),
        }

    return folder, figures


@pytest.mark.parametrize("page", pages(ROOT), ids=lambda page: page.stem)
def test_tables_are_what_the_figures_say(page, shown):
    text = page.read_text()
    assert text == filled(text, shown, page, ROOT), RENEW


def test_picture_is_what_the_figures_say(shown, tmp_path):
    write_figure(tmp_path / "results.svg", shown)
    assert (ROOT / PICTURE).read_bytes() == (tmp_path / "results.svg").read_bytes(), RENEW


def test_baseline_of_speed_is_of_the_students_that_are_shipped(shown):
    baseline = read_json(ROOT / load_config(ROOT / "config")["regress"]["baseline"])
    stored = {name: student["checkpoint_sha256"] for name, student in baseline["students"].items()}
    assert stored == {name: student["checkpoint_sha256"] for name, student in shown["students"].items()}


def test_figures_are_of_the_students_that_are_shipped(shown):
    shipped = {path.stem: sha256_file(path) for path in ROOT.glob("data/checkpoints/*.pt")}
    assert {name: student["file_sha256"] for name, student in shown["students"].items()} == shipped, RENEW


def test_figures_are_of_the_data_that_are_shipped(shown):
    measured = {data["path"]: data["sha256"] for data in shown["data"].values()}
    assert {path: sha256_file(ROOT / path) for path in measured} == measured, RENEW


def test_gallery_is_that_of_the_figures_and_small(shown):
    files = shown["gallery"]["files"]
    assert {path.name: sha256_file(path) for path in (ROOT / GALLERY).glob("*")} == {
        name: about["sha256"] for name, about in files.items()
    }
    assert files
    assert sum(path.stat().st_size for path in (ROOT / GALLERY).glob("*")) < 600_000


def test_example_is_of_the_students_that_are_shipped(shown):
    config = load_config(ROOT / "config", ROOT / "config/examples/molten_salt.yaml")
    own = {
        name: sha256_file(ROOT / variant["checkpoint"])
        for name, variant in config["variants"].items()
        if variant is not None
    }
    assert {name: student["file_sha256"] for name, student in shown["example"]["students"].items()} == own
    measured, picture = shown["example"]["properties"], ROOT / EXAMPLE
    assert picture.exists() == (measured is not None)
    assert measured is None or sha256_file(picture) == measured["picture_sha256"]
    assert sum(path.stat().st_size for path in (ROOT / "data/molten_salt").glob("*")) < 4_000_000


def test_every_table_is_shown_somewhere():
    text = "".join(page.read_text() for page in pages(ROOT))
    assert set(re.findall(r"<!-- figures: ([\w-]+) -->", text)) == {*TABLES, *FROM_FILES}


def test_output_of_the_walkthrough_is_that_of_the_student(tmp_path, monkeypatch, capsys):
    [shown] = re.findall(r"^```text\n( +#  structure .*?)^```", (ROOT / "docs/walkthrough.md").read_text(), re.M | re.S)
    ase.io.write(tmp_path / "molecules.xyz", ase.build.molecule("CH3CH2OH"))
    script = ROOT / "scripts/predict.py"
    given = [script, ROOT / "data/checkpoints/tiny.pt", tmp_path / "molecules.xyz"]
    monkeypatch.setattr("sys.argv", list(map(str, given)))
    runpy.run_path(str(script))
    number = re.compile(r"-?\d+\.\d{6}")
    expected, found = shown, capsys.readouterr().out
    assert number.split(expected) == number.split(found)
    numbers = (list(map(float, number.findall(text))) for text in (expected, found))
    assert next(numbers) == pytest.approx(next(numbers), abs=1e-4)


def test_pages_are_written_from_a_run(made_up, tmp_path):
    _, figures = made_up
    for part in ("pyproject.toml", "scripts"):
        (tmp_path / part).symlink_to(ROOT / part)
    (tmp_path / "docs").mkdir()
    names = [*TABLES, "rooms"]
    blocks = [f"<!-- figures: {name} -->\nan old table\n<!-- end of figures -->\n" for name in names]
    (tmp_path / "README.md").write_text("".join(blocks))
    write_pages(tmp_path, figures())
    text = (tmp_path / "README.md").read_text()
    assert "an old table" not in text
    assert "427,292" in text
    assert "| `ultra_tiny` | nve drift | dynamics | energy spread (eV): 0.00320 | ≤ 10⁻⁵ |" in text
    assert (tmp_path / PICTURE).read_text().startswith("<svg")
    assert filled(text, figures(), "README.md", tmp_path) == text


def test_example_shows_errors_times_and_what_both_say_of_the_material(made_up):
    folder, figures = made_up
    found = figures()
    row = {"n_atoms": 64, "temperature_K": 1200.0, "pressure_GPa": 0.43, "pressure_standard_error_GPa": 0.021}
    row["diffusion"] = {"Na": {"coefficient_cm2_per_s": 1.07e-4, "standard_error_cm2_per_s": 6e-6}}
    rows = [row | {"student": "tiny"}, row | {"student": None, "temperature_K": 1100.0}]
    example = example_digest(read(folder), {"rows": rows, "teacher": "SevenNet-0", "structure": "melt.xyz"}, None)
    text = TABLES["example-properties"](found | {"example": example})
    assert text.splitlines()[4:] == [
        "| SevenNet-0 | 64 | 1,100 | 0.43 ± 0.02 | 11 ± 0.6 |",
        "| `tiny` | 64 | 1,200 | 0.43 ± 0.02 | 11 ± 0.6 |",
    ]
    assert "`ultra_tiny`" in TABLES["example"](found) and "times faster than GFN2-xTB" in TABLES["example"](found)
    assert example_digest(read(folder), None, example)["properties"] == example["properties"], "a run without dynamics"
    other = example | {"students": {"another": example["students"]["tiny"]}}
    assert example_digest(read(folder), None, other)["properties"] is None
    assert "not run yet" in TABLES["example"]({"example": None})
    for name in ("original", "tiny", "ultra_tiny"):
        (folder / f"{name}/benchmark.json").unlink()
    untimed = TABLES["example"]({"example": example_digest(read(folder), None, None)})
    assert "| not measured | – |" in untimed and "; on 20" in untimed


def test_a_missing_result_is_not_measured(made_up):
    folder, figures = made_up
    for branch in ("quantization", "physics"):
        (folder / f"tiny/{branch}.json").unlink()
    for name in ("original", "tiny", "ultra_tiny"):
        (folder / f"{name}.training.json").unlink()
    found = figures()
    assert found["students"]["tiny"]["eight_bits"] is None
    assert all(table(found) is not None for table in TABLES.values())
    assert "was not measured" in TABLES["walk-verdict"](found | {"variants": _without_verdicts(found)})


def _without_verdicts(figures):
    return {name: variant | {"verdict": None} for name, variant in figures["variants"].items()}


def test_peers_of_other_weights_are_left_out(made_up):
    folder, figures = made_up
    students = {student.name: student.get("model", "checkpoint_sha256") for student in read(folder)}
    ratio = {"median": 3.2, "p5": 3.0, "p95": 3.5}
    row = {"neighbors": "searched", "n_atoms": 40, "batch_size": 2, "latency_ms_median": 1.0,
           "peer_latency_ms_median": 3.2, "peer": "other", "times_faster": ratio}  # fmt: skip
    peer = {"name": "Net", "package": "other", "version": "1.0", "n_parameters": 77_000, "width": 29}
    same = row | {"latency_ms_median": 0.4, "times_faster": {"median": 8.0, "p5": 7.0, "p95": 9.0}}
    same |= {"energy_difference_eV": 1e-6, "force_difference_eV_per_A": 2e-6}
    own = {
        name: {"checkpoint_sha256": sha, "peers": {"other": peer}, "fastest": [row], "in_engine": [same]}
        for name, sha in students.items()
    }
    own["original"]["checkpoint_sha256"] = "0" * 64
    about = {"device_name": "a processor", "created_utc": "2026-11-26T00:00:00", "versions": {"torch": "2.13"}}
    (folder / "peers").mkdir()
    write_json(
        folder / "peers/peers.json", about | {"load_of_other_processes": 0.0, "threads": {"torch": 2}, "students": own}
    )
    text = TABLES["peers"](figures())
    assert "| `tiny` | Net (77,000 parameters) | searched | 20 | 2 | 1.00 | 3.20 | 3.20 (3.0–3.5) |" in text
    assert "| Net, width 29 | searched | 20 | 2 | 0.400 | 3.20 | 8.00 (7.0–9.0) |" in text
    assert "forces differ by at most 2.0e-06 eV/angstrom" in text
    assert "`original`" not in text


def test_what_a_run_did_not_measure_stays_for_the_same_weights(made_up):
    _, figures = made_up
    found, earlier = figures(), figures()
    assert found["peers"] is None
    peers = {"created_utc": "2026-11-26T00:00:00", "students": {"original": "a", "tiny": "b"}}
    earlier |= {"peers": peers, "fine_tuning": "c", "ablation": "d"}
    earlier["students"]["original"]["endurance"] = earlier["students"]["tiny"]["endurance"] = {"n_survived": 20}
    earlier["students"]["tiny"]["file_sha256"] = "0" * 64
    kept = keep(found | {"fine_tuning": "new"}, earlier)
    assert kept["peers"] == peers | {"students": {"original": "a"}}
    assert (kept["fine_tuning"], kept["ablation"], kept["example"]) == ("new", "d", found["example"])
    assert [kept["students"][name]["endurance"] for name in ("original", "tiny")] == [{"n_survived": 20}, None]
    earlier["students"]["original"]["file_sha256"] = "0" * 64
    assert keep(found, earlier)["peers"] is None


def test_the_documentation_compares_every_student_with_its_peers(shown):
    assert shown["peers"]["students"].keys() == shown["students"].keys(), "`snakemake peers`, then `snakemake document`"


def test_gallery_holds_the_figures_of_a_student_and_no_older_ones(made_up, tmp_path):
    folder, _ = made_up
    (folder / "original/figures/nve.svg").write_text("<svg/>")
    (folder / "original/benchmark.svg").write_text("<svg />")
    (tmp_path / GALLERY).mkdir(parents=True)
    (tmp_path / GALLERY / "old.svg").write_text("<svg/>")
    found = make_gallery(tmp_path, read(folder)[0])
    drawn = sorted(path.name for path in (tmp_path / GALLERY).glob("*"))
    assert sorted(found["files"]) == drawn
    assert {"nve.svg", "benchmark.svg"} <= set(drawn)
    assert "old.svg" not in drawn
    assert (tmp_path / GALLERY / "nve.svg").read_text() == "<svg/>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- figures: nonsense -->\n<!-- end of figures -->", "does not exist"),
        ("<!-- figures: students -->\n", "begins 1 tables and ends 0"),
        ("<!-- figures: students --> <!-- end of figures -->", "lines of their own"),
    ],
)
def test_a_marker_that_makes_no_sense_is_one_sentence(text, message):
    with pytest.raises(AssayError, match=message):
        filled(text, {}, Path("page.md"), ROOT)


def test_every_room_says_what_lives_there():
    rows = rooms(ROOT).splitlines()[2:]
    assert len(rows) == len(list(ROOT.glob("scripts/assay/*/__init__.py")))
    assert all(row.count("|") == 3 and row.rstrip(" |").endswith(".") for row in rows)


def rows_of(markdown):
    """The cells of the rows of all tables, without their heads."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"]
    return [row for k, row in enumerate(rows) if row[0] != "---" and rows[(k + 1) % len(rows)][0] != "---"]


@pytest.mark.parametrize("name", OF_A_GPU)
def test_a_table_of_a_gpu_without_its_record_says_that_nothing_was_measured(name, tmp_path):
    assert OF_A_GPU[name](tmp_path) == NOTHING
    for part in ("speed", "parity", "physics", "profile"):
        write_record(tmp_path / RECORDS / f"{part}.json", speed_pieces(), dry=True)
    assert OF_A_GPU[name](tmp_path) == NOTHING  # what was tried in small is no measurement
    other = "parity" if name == "gpu-speed" else "speed"
    for part in ("speed", "parity", "physics", "profile"):
        (tmp_path / RECORDS / f"{part}.json").unlink()
    write_record(tmp_path / RECORDS / f"{other}.json", {"tiny, onnx": {"error": "not available: no GPU"}})
    assert (OF_A_GPU[name](tmp_path) == NOTHING) == (name != "gpu")


def test_speed_on_a_gpu_is_one_row_a_size_and_a_ratio_with_each_reason_once(tmp_path):
    write_record(tmp_path / RECORDS / "speed.json", speed_pieces())
    exact = {"passed": True, "forces_error_eV_per_A_max": 1e-6}
    parity = {"tiny, triton": exact, "tiny, onnx": {"error": "not available: no GPU"}, "original, triton": exact}
    write_record(tmp_path / RECORDS / "parity.json", parity)
    about = OF_A_GPU["gpu"](tmp_path)
    assert about.startswith("a GPU; torch 2.11; 2026-11-27. Its largest rate in products of 8,192 x 8,192 numbers")
    assert "in float32: 50,900 GFLOP/s." in about
    assert about.count("`mace` was not measured: No module named 'mace'.") == about.count("mace'") == 1
    assert about.count("`onnx` was not measured: no GPU.") == 1
    failed = "`triton` was not measured (original, 1 x 20000 atoms in a box): OutOfMemoryError: too large."
    assert about.count(failed) == 1
    speed = OF_A_GPU["gpu-speed"](tmp_path)
    assert "mace" not in speed and speed.count("| atoms | `original` | `tiny` |") == 3
    assert rows_of(speed) == [
        ["1 x 20 atoms", "20", "2.24 (112)", "1.12 (55.9)"],
        ["1,024 x 20 atoms", "24,910", "78.9 (3.17)", "39.5 (1.58)"],
        ["1 x 20,000 atoms in a box", "20,000", "not measured", "35.4 (1.77)"],
        ["1 x 20,000 atoms in a box", "20,000", "35.4 (1.77)", "17.7 (0.884)"],
        ["1 x 20 atoms", "20", "8.00", "8.00"],
        ["1,024 x 20 atoms", "24,910", "8.00", "8.00"],
        ["1 x 20,000 atoms in a box", "20,000", "not measured", "8.00"],
    ]
    brief = OF_A_GPU["gpu-brief"](tmp_path)
    assert "24,910 atoms in 1,024 molecules take 78.9 ms (`original`) and 39.5 ms (`tiny`)" in brief
    assert rows_of(OF_A_GPU["gpu-parity"](tmp_path)) == [
        ["`original`", "`triton`", "yes", "1.00 × 10⁻⁶"],
        ["`tiny`", "`triton`", "yes", "1.00 × 10⁻⁶"],
        ["`tiny`", "`onnx`", "not measured", "not measured"],
    ]
    write_record(tmp_path / RECORDS / "parity.json", parity, device_name="another GPU")
    about = OF_A_GPU["gpu"](tmp_path)
    assert "speed: a GPU; " in about and "parity: another GPU; " in about


def test_speed_on_a_gpu_without_peers_has_no_reasons(tmp_path):
    row = {"triton": timed(0.25, 20)}
    write_record(tmp_path / RECORDS / "speed.json", {"tiny, 1 x 20 atoms": {"n_atoms": 20, "runtimes": row}})
    assert OF_A_GPU["gpu"](tmp_path) == "a GPU; torch 2.11; 2026-11-27."
    assert rows_of(OF_A_GPU["gpu-speed"](tmp_path)) == [["1 x 20 atoms", "20", "0.250 (12.5)"]]


def test_physics_on_a_gpu_is_one_row_a_student(tmp_path):
    moved = {"n_molecules": 16, "duration_ps": 2.0}
    moved |= {"drift_meV_per_atom_per_ps_median": 0.005, "drift_meV_per_atom_per_ps_max": 0.0167}
    pieces = {
        "tiny, triton, determinism": {"runs": 50, "passed": True},
        "tiny, triton, dynamics": moved,
        "original, triton, determinism": {"runs": 50, "passed": False},
        "original, triton, dynamics": {"error": "RuntimeError: blown up"},
    }
    write_record(tmp_path / RECORDS / "physics.json", pieces)
    shown = OF_A_GPU["gpu-physics"](tmp_path)
    assert "equal bits in 50 calls" in shown
    unknown = ["not measured"] * 4
    assert rows_of(shown) == [
        ["`original`", "`triton`", "no", *unknown],
        ["`tiny`", "`triton`", "yes", "16", "2.0", "0.00500", "0.0167"],
    ]


def test_shares_of_kernels_sum_to_one_and_count_no_time_twice(tmp_path):
    spent = {
        "make_filters": 10.0,
        "add_messages_adjoint": 20.0,
        "linear": 15.0,
        "void cutlass::Kernel2<cutlass_80_simt_sgemm_128x32>": 15.0,
        "mixed_adjoint": 30.0,
        "describe_pairs": 8.0,
        "Memcpy DtoD (Device -> Device)": 2.0,
        "aten::copy_": 2.0,
        "Activity Buffer Request": 2.0,
        "cudaGraphLaunch": 0.0,
    }
    rows = [{"name": name, "calls": 2, "self_device_us": time} for name, time in spent.items()]
    shares = shares_of(rows)
    assert list(shares) == list(KINDS) and sum(shares.values()) == pytest.approx(1.0, abs=1e-12)
    assert list(shares.values()) == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.1])
    piece = {"n_atoms": 20_800, "launches": 18, "device_us": 104.0, "rows": rows}
    pieces = {f"{name}, 1024 x 20 atoms": piece for name in ("tiny, triton", "tiny, eager", "original, triton")}
    write_record(tmp_path / RECORDS / "profile.json", pieces | {"tiny, triton, 1 x 20 atoms": piece | {"n_atoms": 20}})
    percents = ["10.0\u202f%", "20.0\u202f%", "30.0\u202f%", "30.0\u202f%", "10.0\u202f%"]
    assert rows_of(OF_A_GPU["gpu-profile"](tmp_path)) == [
        ["1 x 20 atoms", "`tiny`", "20", "14", "100", *percents],
        ["1,024 x 20 atoms", "`original`", "20,800", "14", "100", *percents],
        ["1,024 x 20 atoms", "`tiny`", "20,800", "14", "100", *percents],
    ]


@pytest.mark.parametrize("at", ["1 x 20 atoms", "1024 x 20 atoms"])
def test_the_kernels_of_the_kept_profile_fall_into_every_kind(at):
    pieces = read_json(ROOT / RECORDS / "profile.json")["pieces"]
    for name, piece in pieces.items():
        if name.endswith(f"triton, {at}"):
            assert all(share > 0.01 for share in shares_of(piece["rows"]).values()), name
