"""Run students of ``runtime.gpu`` under Triton's interpreter: python gpu_interpreted.py REQUESTS ANSWERS, two pickles.

A request is a model file and structures; the answer is what the kernels say, or the error that was raised.
"""

import os
import pickle
import sys
from contextlib import contextmanager
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are imported

import numpy as np
import torch
from ase import Atoms

import assay.runtime.student
from assay.predictors.gpu import GpuPredictor
from assay.runtime import StudentCalculator
from assay.runtime.gpu import launch, pairs
from assay.runtime.gpu.student import GpuStudent
from assay.structures.structure import Structure


def as_users_call_it(request, folder):
    """What the calculator of a package says, and what the predictor of a model file does."""
    path = folder / "model.assay"
    path.write_bytes(request["model"])
    assay.runtime.student._on_gpu = lambda file, skin: GpuStudent(file, "cpu", skin)  # in place of one on a GPU
    atoms = Atoms(**request["atoms"], calculator=StudentCalculator(path, device="cuda"))
    [found] = GpuPredictor(path, "a student", "cpu").predict([Structure.from_ase(atoms)])
    names = ("energy", "forces", "stress", "energies")
    return {"calculator": {name: atoms.calc.get_property(name, atoms) for name in names}, "predictor": found.record}


@contextmanager
def as_many(wanted):
    """Let a few atoms be computed as many are, where that is wanted."""
    limits = {(launch, "FEW_ATOMS"): 0, (pairs, "FEW_PAIRS"): 0, (pairs, "MEMORY_SHARE"): 1 << 40}
    before = {key: getattr(*key) for key in limits}
    for (module, name), value in (limits if wanted else before).items():
        setattr(module, name, value)
    yield
    for (module, name), value in before.items():
        setattr(module, name, value)


def answer(student, request):
    numbers, positions = request["numbers"], request["positions"]
    if "edges" in request:
        return student(numbers, positions, None, *request["edges"])._asdict()
    if "call" in request:
        return student(numbers, positions, request["batch"])._asdict()
    if "cell" in request:
        found = [student.from_cell(numbers, at, request["cell"], request["pbc"])._asdict() for at in positions]
        return {"steps": found, "builds": student.neighbors.n_builds}
    where = student.structures(request["sizes"], positions, request["cells"], request["pbc"])
    found = student.evaluate(torch.as_tensor(numbers), where)._asdict()
    answers = {name: value.numpy().copy() for name, value in found.items()}
    if "again" in request:
        again = student.evaluate(torch.as_tensor(numbers), where)
        answers["same"] = all(np.array_equal(answers[name], value.numpy()) for name, value in again._asdict().items())
    return answers


def main():
    answers = {}
    folder = Path(sys.argv[1]).parent
    for name, request in pickle.loads(Path(sys.argv[1]).read_bytes()).items():
        if "atoms" in request:
            answers[name] = as_users_call_it(request, folder)
            continue
        with as_many("as_many" in request):
            student = GpuStudent(request["model"], device="cpu")
            try:
                answers[name] = answer(student, request)
            except ValueError as error:
                answers[name] = {"error": str(error)}
    Path(sys.argv[2]).write_bytes(pickle.dumps(answers))


if __name__ == "__main__":
    main()
