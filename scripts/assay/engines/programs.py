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
    "ase": Program("ASE", "assay.engines.ase.simulation", ("model.edges.onnx",)),
    "lammps": Program("LAMMPS, pair_style assay", "assay.engines.lammps.simulation", ("model.assay",), "lammps.txt"),
    "lammps_2_ranks": Program(
        "LAMMPS, two MPI ranks", "assay.engines.lammps.simulation", ("model.assay",), "lammps.txt", ranks=2
    ),
    "lammps_external": Program("LAMMPS, fix external", "assay.engines.lammps.external", ("model.assay",), "lammps.txt"),
}
