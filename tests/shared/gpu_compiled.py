"""Compile every kernel of ``runtime.gpu`` for a GPU that need not be there: python gpu_compiled.py MODEL CAPABILITY.

The network is walked through with kernels that are compiled and not run. It prints JSON: for each kernel its shared
memory in bytes.
"""

import json
import sys
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from assay.runtime.gpu import (
    filter_kernels,
    force_kernels,
    launch,
    layer_kernels,
    message_kernels,
    network,
    pair_kernels,
    pairs,
    update_kernels,
)
from assay.runtime.gpu.model_file import read_model_file
from assay.runtime.gpu.neighbors import Candidates

POINTERS = {torch.float32: "*fp32", torch.float64: "*fp64", torch.int32: "*i32"}


class Compiled:
    """A kernel that is compiled where it would be launched."""

    found: dict[str, int] = {}  # noqa: RUF012, one for all
    grids: list[tuple[str, tuple[int, ...]]] = []  # noqa: RUF012

    def __init__(self, kernel, target):
        self.kernel, self.target = kernel, target

    def __getitem__(self, grid):
        self.grids.append((self.kernel.__name__, grid))
        return self.compile

    def compile(self, *arguments, **options):
        names = self.kernel.arg_names
        values = dict(zip(names, arguments, strict=False)) | options
        fixed = {p.name: values[p.name] for p in self.kernel.params if p.is_constexpr}
        label = f"{self.kernel.__name__} {fixed}"
        if label in self.found:
            return
        kinds = {name: "constexpr" if name in fixed else self.kind(values[name]) for name in names}
        source = ASTSource(self.kernel, kinds, fixed)
        other = {name: value for name, value in options.items() if name not in names}
        self.found[label] = triton.compile(source, target=self.target, options=other).metadata.shared

    @staticmethod
    def kind(value):
        if isinstance(value, torch.Tensor):
            return POINTERS[value.dtype]
        return "i32" if isinstance(value, int) else "fp32"


def walk_through(model, n=4):
    """Launch every kernel that the network takes for n atoms and as many pairs, and return the later axes of grids."""
    whole, double = {"dtype": torch.int32}, {"dtype": torch.float64}
    atoms = torch.ones(n, **whole), torch.zeros(n, 3, **double), torch.tensor([0, n], **whole)
    entries, both = (torch.zeros(2 * n, **whole) for _ in range(2)), (torch.zeros(n, **whole) for _ in range(2))
    candidates = Candidates(torch.zeros(n + 1, **whole), *entries, *both, torch.zeros(n, 3, **double))
    Compiled.grids.clear()
    network.Network(model, torch.device("cpu"))(pairs.Inputs(*atoms, candidates))
    return [(name, grid[1:]) for name, grid in Compiled.grids]


def main():
    target = GPUTarget("cuda", int(sys.argv[2]), 32)
    for module in (filter_kernels, force_kernels, layer_kernels, message_kernels, pair_kernels, update_kernels):
        for name, kernel in list(vars(module).items()):
            own = isinstance(kernel, JITFunction) and kernel.fn.__module__ == module.__name__
            if own and not name.startswith("_"):
                setattr(module, name, Compiled(kernel, target))
    model = read_model_file(Path(sys.argv[1]))
    launch._can_overlap = lambda device: target.arch >= 90
    walk_through(model)
    launch.FEW_ATOMS = pairs.FEW_PAIRS = 0  # as for many atoms
    assert walk_through(model) == walk_through(model, 1000)  # only first axes may be long
    print(json.dumps(Compiled.found))


if __name__ == "__main__":
    main()
