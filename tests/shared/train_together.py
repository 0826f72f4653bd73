"""A short training for one process or several: started by torchrun, or through ``run_in`` with a number of processes.

    python tests/shared/train_together.py OUT PRECISION [PROCESSES]

writes the trained parameters and the losses into OUT. Molecules have nine atoms each, so that packs of two processes
together are the packs of one process; the last step of an epoch has too few for two.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from ase.build import molecule

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from assay.data.dataset import Dataset, from_structures
from assay.structures.structure import Structure
from assay.training import processes
from assay.training.loop import Recipe, Round, Trainer
from assay.workflow.errors import AssayError

STEPS = 20
STUDENT = {"hidden": 8, "n_blocks": 2, "n_rbf": 4, "head": [8], "repulsion": True, "epsilon": 1e-3, "rank": 2}


def dataset() -> Dataset:
    """Rattled molecules with springs between all atoms."""
    structures = []
    for k in range(26):
        atoms = molecule(["CH3CH2OH", "CH3OCH3", "CH3CONH2", "C3H6_D3h"][k % 4])
        atoms.rattle(0.1, seed=k)
        apart = atoms.positions[:, None] - atoms.positions[None]
        stretch = np.linalg.norm(apart, axis=-1) + np.eye(9) - 2.0
        energy = 0.1 * (stretch**2).sum()
        forces = -0.4 * ((stretch / (stretch + 2.0))[:, :, None] * apart).sum(1)
        structures.append(Structure(f"{k}", atoms.numbers, atoms.positions, energy_eV=energy, forces_eV_per_A=forces))
    return from_structures(structures)


def train(out: Path) -> None:
    """Take 20 steps of at most 72 atoms, and write the parameters and losses of the first process."""
    with processes.joined("cpu"):
        recipe = Recipe(rounds=[Round(STEPS, atoms_per_step=72)], warmup=2, validate_every=1)
        trainer = Trainer("painn", STUDENT, dataset(), dataset(), recipe, out.with_suffix(".state"))
        trainer.run()
    if processes.leads():
        parameters = [p.detach() for p in trainer.model.parameters()]
        torch.save({"parameters": parameters, "losses": [row["loss"] for row in trainer.history]}, out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(getattr(torch, sys.argv[2]))
    try:
        processes.run_in(int(sys.argv[3]) if sys.argv[3:] else 1, partial(train, Path(sys.argv[1])))
    except AssayError as error:
        sys.exit(f"Error: {error}")
