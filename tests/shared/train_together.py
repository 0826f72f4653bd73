"""A short training for one process or several: started by torchrun, or through ``run_in`` with a number of processes.

    python tests/shared/train_together.py OUT PRECISION [PROCESSES] [reordered] [autograd]

writes the trained parameters and the losses into OUT. Molecules have nine atoms each, so that packs of two processes
together are the packs of one process; the last step of an epoch has too few for two. ``reordered`` takes the structures
of each pack in the opposite order, and ``autograd`` differentiates where the engine takes a difference.

    python tests/shared/train_together.py

prints a table of how far the parameters of such trainings are apart.
"""

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from ase.build import molecule

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from assay.data.dataset import Dataset, from_structures
from assay.structures.structure import Structure
from assay.training import processes
from assay.training.loop import Recipe, Round, Trainer
from assay.training.loss import Loss
from assay.training.packs import PackedDataset
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
        recipe = Recipe(
            rounds=[Round(STEPS, atoms_per_step=72)], matrix_lr=4e-3, other_lr=2e-3, warmup=2, ema_decay=0.999, seed=0,
            loss=Loss(force_delta_eV_per_A=0.1, energy_delta_eV_per_atom=0.01, energy_weight=4.0), validate_every=1,
        )  # fmt: skip
        trainer = Trainer("painn", STUDENT, dataset(), dataset(), recipe, out.with_suffix(".state"))
        trainer.run()
    if processes.leads():
        parameters = [p.detach() for p in trainer.model.parameters()]
        torch.save({"parameters": parameters, "losses": [row["loss"] for row in trainer.history]}, out)


def main(out: Path, precision: str, n_processes: int, *ways: str) -> None:
    """Train in one of the ways that the head of this file names."""
    torch.set_num_threads(1)
    torch.set_default_dtype(getattr(torch, precision))
    assemble = PackedDataset.assemble
    with ExitStack() as stack:
        if "autograd" in ways:
            stack.enter_context(mock.patch("assay.training.steps.why_unsupported", return_value="not asked for"))
        if "reordered" in ways:
            backward = lambda packs, indices: assemble(packs, indices[::-1].copy())  # noqa: E731
            stack.enter_context(mock.patch.object(PackedDataset, "assemble", backward))
        processes.run_in(n_processes, partial(train, out))


def print_table() -> None:
    """Compare the parameters of two processes, and of one that takes structures in another order, with those of one."""
    print("| gradients | two processes | another order |\n| --- | ---: | ---: |")
    for precision, *ways in (["float64"], ["float32"], ["float32", "autograd"]):
        apart = []
        with tempfile.TemporaryDirectory() as folder:
            for others in (["1"], ["2"], ["1", "reordered"]):
                out = Path(folder, "-".join(others))
                subprocess.run(
                    [sys.executable, __file__, out, precision, *others, *ways], check=True, capture_output=True
                )
                apart.append(torch.load(out)["parameters"])
        alone, *rest = (torch.cat([part.reshape(-1) for part in parameters]) for parameters in apart)
        found = " | ".join(f"{(parameters - alone).abs().max():.0e}" for parameters in rest)
        print(f"| {' '.join(ways) or 'engine'}, {precision} | {found} |")


if __name__ == "__main__":
    if not sys.argv[1:]:
        print_table()
        sys.exit()
    try:
        main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if sys.argv[3:] else 1, *sys.argv[4:])
    except AssayError as error:
        sys.exit(f"Error: {error}")
