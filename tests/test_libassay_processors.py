"""The library on other processors: each level of instructions gives what the best one does."""

import os
import shutil
import subprocess

import numpy as np
import pytest
import torch

from assay.engine import library
from assay.engine.build import FOLDER, build
from assay.engine.model_file import to_bytes
from shared.engine_inputs import arrays_of, cluster, network, opened, salt
from shared.workflow_copy import ROOT

LIMITS = {32: 2e-5, 64: 1e-10}
NETWORKS = ("shipped", "schnetpack")
CROSS = "aarch64-linux-gnu-"
OPTED_IN = os.environ.get("ASSAY_TEST_ENVIRONMENTS") == "1"


def _ran(folder, library_file, compiler, launcher, name, system, precision, **environment):
    """The instructions, and the energy, forces and virial of a system, as a C program on the library has them."""
    driver = folder / "driver"
    source = ROOT / "tests" / "shared" / "engine_driver.c"
    if not driver.exists():
        subprocess.run(
            [compiler, f"-I{FOLDER}", source, library_file, f"-Wl,-rpath,{library_file.parent}", "-o", driver],
            check=True,
        )
    numbers, (neighbor, center), vectors, _ = arrays_of([system])
    given = [
        np.array([len(numbers), len(neighbor)]),
        *(x.astype(np.int32) for x in (numbers, neighbor, center)),
        vectors,
    ]
    (folder / "input").write_bytes(b"".join(np.ascontiguousarray(x).tobytes() for x in given))
    (folder / "model.assay").write_bytes(to_bytes(network(name, torch.float32), {}))
    command = [*launcher, driver, "model.assay", str(precision), "input"]
    ran = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True)
    assert ran.returncode in (0, 1), ran.stderr
    if ran.returncode:
        return ran.stderr.strip(), None
    instructions, *values = ran.stdout.split()
    return instructions, np.array(values, float)


def _expected(name, system, precision):
    found = opened(name, precision, bits=32)(*arrays_of([system]))
    return np.concatenate([found.energy, found.forces.ravel(), found.virial.ravel()])


def _compare(found, expected, precision):
    np.testing.assert_allclose(found, expected, rtol=1e-7 if precision == 32 else 1e-13, atol=LIMITS[precision])


@pytest.mark.slow
@pytest.mark.skipif(library.library() is None, reason="no C++ compiler on this machine")
@pytest.mark.skipif(library.level_of_this_processor() != "x86-64-v4", reason="needs a processor with AVX-512")
def test_a_library_for_all_processors_takes_the_best_instructions_or_those_that_are_named(tmp_path):
    portable = library.library_path(portable=True)
    for name in NETWORKS:
        for system, precision in ((cluster(40), 32), (salt(), 64)):
            for level in ("x86-64-v4", "x86-64-v3"):
                named = {} if level == "x86-64-v4" else {"ASSAY_INSTRUCTIONS": level}
                took, found = _ran(tmp_path, portable, "cc", [], name, system, precision, **named)
                assert took == level
                _compare(found, _expected(name, system, precision), precision)
    why, nothing = _ran(tmp_path, portable, "cc", [], name, system, 32, ASSAY_INSTRUCTIONS="x86-64-v1")
    assert nothing is None and why.startswith("this processor has none of the instructions")


@pytest.mark.skipif(not OPTED_IN, reason="slow; set ASSAY_TEST_ENVIRONMENTS=1")
@pytest.mark.skipif(
    not all(map(shutil.which, [f"{CROSS}g++", "qemu-aarch64"])), reason="needs g++-aarch64-linux-gnu and qemu-user"
)
def test_on_arm_it_computes_the_same(tmp_path):
    built = tmp_path / "libassay.so"
    build(built, f"{CROSS}g++", ["aarch64"])
    launcher = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]
    for name in NETWORKS:
        for system, precision in ((cluster(20), 32), (salt(), 64)):
            took, found = _ran(tmp_path, built, f"{CROSS}gcc", launcher, name, system, precision)
            assert took == "aarch64"
            _compare(found, _expected(name, system, precision), precision)


@pytest.mark.skipif(not OPTED_IN, reason="slow; set ASSAY_TEST_ENVIRONMENTS=1")
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs qemu-user")
def test_a_processor_that_is_too_old_is_told_so(tmp_path):
    portable = library.library_path(portable=True)
    launcher = ["qemu-x86_64", "-cpu", "Nehalem"]
    why, nothing = _ran(tmp_path, portable, "cc", launcher, "shipped", salt(), 32)
    assert nothing is None and why.startswith("this processor has none of the instructions")
