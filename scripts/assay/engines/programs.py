"""The programs that run a student, with what each needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """A program, or one of several ways into it.

    Attributes:
        title: what tables and figures call it.
        module: the module with ``start``, see ``assay.engines.program``.
        files: the files of ``results/<variant>/`` that it runs.
        environment: the requirements file below ``envs/engines/`` of its packages; None where this project's suffice.
        ranks: the number of MPI processes.
    """

    title: str
    module: str
    files: tuple[str, ...]
    environment: str | None = None
    ranks: int = 1


PROGRAMS = {
    "ase": Program("ASE", "assay.engines.ase.simulation", ("model.assay", "model.edges.onnx")),
    "metatomic": Program(
        "metatomic, in ASE", "assay.engines.metatomic.simulation", ("model.metatomic.pt",), "metatomic.txt"
    ),
    "lammps": Program("LAMMPS, pair_style assay", "assay.engines.lammps.simulation", ("model.assay",), "lammps.txt"),
    "lammps_2_ranks": Program(
        "LAMMPS, two MPI ranks", "assay.engines.lammps.simulation", ("model.assay",), "lammps.txt", ranks=2
    ),
    "lammps_external": Program("LAMMPS, fix external", "assay.engines.lammps.external", ("model.assay",), "lammps.txt"),
    "openmm": Program("OpenMM, force in C++", "assay.engines.openmm.simulation", ("model.assay",), "openmm.txt"),
    "openmm_python": Program(
        "OpenMM, PythonForce", "assay.engines.openmm.python_force", ("model.assay",), "openmm.txt"
    ),
    "openmmml": Program("openmmml", "assay.engines.openmm.potential", ("model.assay",), "openmm.txt"),
    "ipi": Program("i-PI", "assay.engines.ipi.simulation", ("model.assay",), "ipi.txt"),
    "ipi_8_beads": Program("i-PI, 8 beads", "assay.engines.ipi.eight_beads", ("model.assay",), "ipi.txt"),
    "torchsim": Program("TorchSim", "assay.engines.torchsim.simulation", ("model.assay",), "torchsim.txt"),
}

# The guides under docs/engines/ to programs that run a student out of its package alone.
GUIDES = ("lammps", "openmm", "ipi", "torchsim")
