"""Training on several processes: each takes its part of a step, and gradients are summed before all update alike.

Gradients come from the compiled engine or from a recorded graph, and not from a backward pass that
``torch.nn.parallel.DistributedDataParallel`` could hook into. So they are summed by ``all_reduce``.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import ProcessRaisedException, start_processes

from assay.training.packs import Pack, ends_of_packs
from assay.workflow.errors import AssayError

TOLD = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what a process needs to know to find the others


class Part(NamedTuple):
    """What one process computes of a step.

    Attributes:
        structures: the indices of the structures of its pack.
        of_atoms, of_structures: the weight of a mean over these atoms, or structures, in the mean over those of all
            processes; zero for a process that nothing is left for.
    """

    structures: np.ndarray
    of_atoms: float
    of_structures: float

    def weigh(self, pack: Pack) -> Pack:
        """Weigh the pack of these structures, so that losses of all processes sum to the loss of the whole step."""
        return pack._replace(
            atom_weight=pack.atom_weight * self.of_atoms,
            structure_weight=pack.structure_weight * self.of_structures,
            virial_weight=pack.virial_weight * self.of_structures,
        )


def place() -> tuple[int, int]:
    """The rank of this process, and the number of processes that train together."""
    return (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)


def is_member() -> bool:
    """Whether torchrun, or ``run_in``, started this process as one of several.

    Launchers of jobs export a rank, or a number of processes, to processes that nobody means to train together.
    """
    return all(os.environ.get(key) for key in TOLD)


def leads() -> bool:
    """Whether this process is the one that validates, logs and writes; one that trains alone is."""
    return not is_member() or int(os.environ["RANK"]) == 0


def ends_of_steps(
    plan: Sequence[np.ndarray], sizes_of: Callable[[np.ndarray], np.ndarray], atoms_per_step: int
) -> list[int]:
    """Where the steps of an epoch end in its packs: each has at most one pack for each process, and at most so many
    atoms, unless one pack alone has more.

    Args:
        plan: the indices of the structures of each pack, equal in all processes.
        sizes_of: gives the numbers of atoms of structures by their indices.
        atoms_per_step: the largest number of atoms of all processes together.
    """
    _, n_processes = place()
    if n_processes == 1:
        return list(range(1, len(plan) + 1))
    n_atoms = np.array([int(sizes_of(pack).sum()) for pack in plan])
    return ends_of_packs([(n_atoms, atoms_per_step), (np.ones_like(n_atoms), n_processes)])


def parts(steps: Iterable[Sequence[np.ndarray]], sizes_of: Callable[[np.ndarray], np.ndarray]) -> list[Part]:
    """Deal the packs of each step to the processes.

    Args:
        steps: the indices of the structures of each pack of each step, equal in all processes.
        sizes_of: gives the numbers of atoms of structures by their indices.

    Returns:
        What this process computes, step by step. A step may have fewer packs than there are processes: the others get
        one of weight zero, so that all take part in each sum.
    """
    rank, _ = place()
    own = []
    for step in steps:
        if rank >= len(step):
            own.append(Part(step[0], 0.0, 0.0))
            continue
        n_atoms = [int(sizes_of(pack).sum()) for pack in step]
        n_structures = [len(pack) for pack in step]
        own.append(Part(step[rank], n_atoms[rank] / sum(n_atoms), n_structures[rank] / sum(n_structures)))
    return own


def gather(values: Tensor) -> Tensor:
    """The values of all processes, (...) to (processes, ...)."""
    if not distributed.is_initialized():
        return values.unsqueeze(0)
    gathered = [torch.empty_like(values) for _ in range(place()[1])]
    distributed.all_gather(gathered, values)
    return torch.stack(gathered)


@torch.no_grad()
def sum_in_place(tensors: Sequence[Tensor]) -> None:
    """Sum tensors of one dtype over all processes, each with those at its place."""
    if not distributed.is_initialized():
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    summed = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(list(tensors), [part.view_as(tensor) for part, tensor in zip(summed, tensors, strict=True)])


@contextmanager
def joined(device: torch.device | str) -> Iterator[torch.device]:
    """Join the other processes that torchrun, or ``run_in``, started; a process that was started alone does nothing.

    Yields:
        The device of this process: on a machine with several GPUs the one of its local rank.
    """
    device = torch.device(device)
    if not is_member():
        yield device
        return
    if device.type == "cuda":
        if "LOCAL_RANK" not in os.environ:
            raise AssayError(
                f"the launcher set {', '.join(TOLD)} and no LOCAL_RANK, by which each process takes a GPU of its own: "
                "start the training by torchrun, or export LOCAL_RANK"
            )
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        if device.index >= torch.cuda.device_count():
            raise AssayError(f"this machine has {torch.cuda.device_count()} GPUs: start one process for each at most")
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def run_in(n_processes: int, function: Callable[[], None]) -> None:
    """Call a function in several new processes of this machine, which may join.

    It is called in this process if one is enough, or if torchrun started this one, which needs no others then.

    Raises:
        AssayError: the function raised it in one of them.
    """
    if n_processes == 1 or is_member():
        function()
        return
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}
    # That the others are ended where one fails is no news for a user, who reads what that one says.
    logging.getLogger(start_processes.__module__).setLevel(logging.ERROR)
    try:
        # A new interpreter would run the script of the rule once more; a fork does not.
        start_processes(_member, (n_processes, address, function), n_processes, start_method="fork")
    except ProcessRaisedException as error:
        kind, _, sentence = str(error).strip().splitlines()[-1].partition(": ")
        if kind.endswith(AssayError.__name__):
            raise AssayError(sentence) from None
        raise


def _member(rank: int, n_processes: int, address: dict[str, str], function: Callable[[], None]) -> None:
    """Call a function as torchrun would, as one of several processes."""
    os.environ.update(address, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(n_processes))
    function()
