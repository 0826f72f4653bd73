"""metatomic runs the student of a test: ``python -m shared.metatomic_answers MODEL CARD STRUCTURE RESULT``."""

import json
import sys
from pathlib import Path

import ase.io
import numpy as np
import torch
from metatomic.torch import ModelOutput
from metatomic_ase import MetatomicCalculator

from assay.engines.metatomic.model import write


def main(model, card, structures, result):
    """Energies, forces, stresses and energies of atoms, all with ``check_consistency``; and what is refused."""
    path = Path(result).with_suffix(".pt")
    write(Path(model), Path(card), path)
    calculator = MetatomicCalculator(path, check_consistency=True)
    answers = []
    for atoms in ase.io.read(structures, ":"):
        atoms.calc = calculator
        atomic = calculator.run_model(atoms, {"energy": ModelOutput(unit="eV", sample_kind="atom")})["energy"]
        answers.append(
            {
                "energy": atoms.get_potential_energy(),
                "forces": atoms.get_forces().tolist(),
                "stress": atoms.get_stress(voigt=False).tolist() if atoms.pbc.all() else None,
                "atomic": atomic.block().values.detach().double().ravel().tolist(),
            }
        )
    stranger = ase.Atoms("LiH", [[0, 0, 0], [0, 0, 1.6]], calculator=calculator)
    try:
        answers.append({"refused": f"{stranger.get_potential_energy()} eV"})
    except Exception as error:
        answers.append({"refused": str(error)})
    Path(result).write_text(json.dumps(answers))


if __name__ == "__main__":
    torch.set_num_threads(1)
    np.seterr(all="raise", under="ignore")
    main(*sys.argv[1:])
