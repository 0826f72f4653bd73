"""A stranger installs the wheels of two students into an empty environment, and gets the pipeline's numbers."""

import base64
import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import venv
import zipfile

import ase.build
import numpy as np
import pytest
import torch

from assay.engine.model_file import to_bytes
from assay.engine.toolchain import compiler
from assay.export import onnx_graphs
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.models import build_model
from assay.package.build import example_files, write_package
from assay.package.platform_tag import platform_tag
from assay.package.wheel import engine_files, make_wheel
from assay.structures.structure import Structure
from assay.verification import parity
from assay.workflow.config_models.types import module_name

PAINN = {"hidden": 12, "n_blocks": 2, "n_rbf": 5, "head": [6], "repulsion": True}
VARIANTS = ("tiny", "NumPy")  # no distribution may be called as one that users have


def student(seed):
    torch.manual_seed(seed)
    return build_model("painn", PAINN)


def files_of(network, variant):
    card = {"variant": variant, "checkpoint_sha256": "ab" * 32, "elements": ["H", "C", "N", "O"]}
    metadata = export_metadata(network, card)
    graph = onnx_graphs.assemble(lower(network, elements=metadata["elements"]), 5.0, metadata, search=False)
    return {
        "model.assay": to_bytes(network, metadata, metadata["elements"]),
        "model.edges.onnx": graph.SerializeToString(),
    }


def test_wheels_are_equal_for_equal_contents_and_record_what_they_hold():
    files = files_of(student(1), "Ultra-tiny")
    wheel = make_wheel("Ultra-tiny", "ab" * 32, files, "# A card")
    named = re.fullmatch(r"(assay_ultra_tiny-1\.0\.0\+abababab\.[0-9a-f]{8})-py3-none-any\.whl", wheel.name)
    assert named
    assert wheel == make_wheel("Ultra-tiny", "ab" * 32, dict(reversed(files.items())), "# A card")
    with zipfile.ZipFile(io.BytesIO(wheel.content)) as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}, "no date of the making"
    assert inside["assay_ultra_tiny/model.assay"] == files["model.assay"]
    assert "assay_ultra_tiny/assay.h" in inside and "assay_ultra_tiny/calculator.py" in inside
    facts = f"{named[1]}.dist-info"
    metadata = inside[f"{facts}/METADATA"].decode()
    assert "Name: assay_ultra_tiny\n" in metadata and metadata.endswith("# A card")
    assert re.findall("Requires-Dist: (.*)", metadata)[:4] == [
        "numpy>=1.26", "ase>=3.23", "vesin>=0.4", "onnxruntime>=1.18",
    ]  # fmt: skip
    rows = {name: digest for name, digest, _ in csv.reader(io.StringIO(inside[f"{facts}/RECORD"].decode()))}
    assert set(rows) == set(inside)
    for name, digest in rows.items():
        if not name.endswith("RECORD"):
            own = base64.urlsafe_b64encode(hashlib.sha256(inside[name]).digest()).decode().rstrip("=")
            assert digest == f"sha256={own}"


def test_pip_sees_another_version_where_anything_inside_is_another():
    files = files_of(student(1), "tiny")
    names = {
        make_wheel("tiny", checkpoint, changed, card).name.split("-")[1]
        for checkpoint, changed, card in [
            ("ab" * 32, files, "# A card"),
            ("cd" * 32, files, "# A card"),
            ("ab" * 32, files, "# A card that says more"),
            ("ab" * 32, files | {"model.edges.onnx": files["model.edges.onnx"] + b" "}, "# A card"),
        ]
    }
    assert len(names) == 4


@pytest.mark.parametrize(
    ("symbols", "tag"),
    [
        ([b"libc.so.6", b"GLIBC_2.14"], "manylinux_2_17"),
        ([b"libm.so.6", b"GLIBC_2.29", b"GLIBC_2.2.5"], "manylinux_2_29"),
        ([b"libstdc++.so.6", b"GLIBC_2.14", b"GLIBCXX_3.4.21"], "manylinux_2_24"),
        ([b"libstdc++.so.6", b"GLIBCXX_3.4.99"], "linux"),
        ([b"libgomp.so.1", b"GLIBC_2.14"], "linux"),
    ],
)
def test_tag_names_the_oldest_machines_that_have_what_a_library_needs(symbols, tag):
    content = b"\x7fELF\0" + b"\0".join(symbols) + b"\0"
    assert platform_tag(content) == f"{tag}_{os.uname().machine}"


RUN = """
import json, sys
import ase
for module in ("torch", "onnxruntime"):
    sys.modules[module] = None  # whoever imports it fails
import assay_tiny, assay_numpy
atoms = ase.Atoms(json.loads(sys.argv[1]), json.loads(sys.argv[2]))
found = []
for package in (assay_tiny, assay_numpy):
    atoms.calc = package.StudentCalculator(threads=1)
    energy, forces, _ = package.open_student()(atoms.numbers, atoms.positions)
    by_ase = atoms.get_potential_energy()
    found.append([atoms.calc.student.runtime, by_ase, float(energy[0]), atoms.get_forces().tolist()])
    double = package.StudentCalculator(precision=64).get_potential_energy(atoms)
    assert abs(double - energy[0]) < 1e-4
print(json.dumps(found))
"""

FALLBACK = """
import sys
import assay_tiny
try:
    assay_tiny.StudentCalculator()
except ImportError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler for the engine")
def test_two_students_live_side_by_side_in_an_empty_environment(tmp_path):
    networks, engine = [student(1), student(2)], engine_files()
    wheels = []
    for network, variant in zip(networks, VARIANTS, strict=True):
        wheel = make_wheel(variant, "ab" * 32, files_of(network, variant) | engine, "# A card")
        assert "linux" in wheel.name
        wheels.append(tmp_path / wheel.name)
        wheels[-1].write_bytes(wheel.content)
    example = example_files(networks[0].double(), [1, 6, 7, 8])
    write_package(tmp_path / "package.zip", "tiny", example)
    zipfile.ZipFile(tmp_path / "package.zip").extractall(tmp_path)
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python, clean = environment / "bin/python", {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}

    def run(*arguments, **options):
        return subprocess.run([python, *arguments], capture_output=True, text=True, env=clean, **options)

    installed = run("-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check", *wheels)
    if installed.returncode != 0 and "No matching" in installed.stderr:
        pytest.skip("no package index can be reached, and what the wheels require must come from one")
    assert installed.returncode == 0, installed.stderr
    atoms = ase.build.molecule("CH3CONH2")
    done = run(
        "-c", RUN, json.dumps(atoms.numbers.tolist()), json.dumps(atoms.positions.tolist()), cwd=tmp_path / "tiny"
    )
    assert done.returncode == 0, done.stderr
    for network, (runtime, by_ase, energy, forces) in zip(networks, json.loads(done.stdout), strict=True):
        expected = parity.reference(network.double(), [Structure.from_ase(atoms)])
        assert runtime == "engine"
        assert [by_ase, energy] == pytest.approx([expected.energy_eV[0]] * 2, abs=1e-5)
        np.testing.assert_allclose(forces, expected.forces_eV_per_A, atol=1e-5)
    done = run("example.py", "--picoseconds", "0.05", cwd=tmp_path / "tiny")
    assert done.returncode == 0, done.stderr
    assert "evaluated by: engine" in done.stdout and "minimum found" in done.stdout
    [library] = environment.glob(f"lib/*/site-packages/{module_name('tiny')}/libassay.so")
    library.write_bytes(b"of another machine")
    done = run("-c", FALLBACK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the compiled engine does not run here" in done.stdout and "pip install onnxruntime" in done.stdout
    assert "ONNX Runtime computes instead" not in done.stderr, "it is not installed"


def test_package_without_the_wheel_runs_from_its_sources(tmp_path):
    """Where no wheel can be installed the module in the zip evaluates the ONNX files."""
    network = student(3)
    files = files_of(network, "toy")
    write_package(tmp_path / "p.zip", "toy", files | example_files(network.double(), [1, 6, 7, 8]))
    zipfile.ZipFile(tmp_path / "p.zip").extractall(tmp_path)
    command = [sys.executable, "example.py", "--picoseconds", "0.002"]
    done = subprocess.run(command, cwd=tmp_path / "toy", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "evaluated by: onnxruntime" in done.stdout
    for picoseconds in ("0", "-1", "nan", "inf"):
        refused = subprocess.run(
            [*command[:2], f"--picoseconds={picoseconds}"], cwd=tmp_path / "toy", capture_output=True, text=True
        )
        assert refused.returncode == 2
        assert "it must be at least one step, 0.0005 ps" in refused.stderr
