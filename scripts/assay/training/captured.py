"""A whole training step on a GPU as one CUDA graph: loss, gradients and update, compiled and recorded once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from assay.training.packs import Pack
from assay.training.step import Step
from assay.training.update import Update

WARM_UPS = 3  # before recording: libraries choose their algorithms, and allocate


def compiled(step: Step, parameters: list[Tensor], pack: Pack) -> Step:
    """The same step for packs of this size, traced through both derivatives into one graph and compiled.

    Tracing sees what is left after differentiating, in which a ``detach`` does no harm.
    """
    traced = make_fx(step)(parameters, pack)
    return torch.compile(traced, fullgraph=True, dynamic=False)


class CapturedStep:
    """Steps by replaying one recorded step.

    Args:
        step: loss and gradients, of packs of one size; see ``compiled``.
        update: what a gradient does.
        pack: any pack of that size.
    """

    def __init__(self, step: Step, update: Update, pack: Pack):
        self.pack = Pack(*(field.clone() for field in pack))
        self.alike = [[k for k, field in enumerate(pack) if field.dtype == dtype] for dtype in {f.dtype for f in pack}]
        self.graph = torch.cuda.CUDAGraph()
        before = [tensor.clone() for tensor in update.tensors()]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                update(*step(update.parameters, self.pack))
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(self.graph, stream=stream):
            update(*step(update.parameters, self.pack))
        with torch.no_grad():
            torch._foreach_copy_(update.tensors(), before)

    def __call__(self, pack: Pack) -> None:
        """Take the step on a pack."""
        for fields in self.alike:
            torch._foreach_copy_([self.pack[k] for k in fields], [pack[k] for k in fields])
        self.graph.replay()
