"""A whole training step on a GPU as a CUDA graph: loss, gradients and update, compiled and recorded once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from assay.training import processes
from assay.training.loss import LossGradients
from assay.training.packs import Pack
from assay.training.update import Update

WARM_UPS = 3  # steps before the recording, in which libraries choose their algorithms and allocate memory


def compile_gradients(gradients: LossGradients, parameters: list[Tensor], pack: Pack) -> LossGradients:
    """Trace loss and gradients for packs of this size into one graph, through both derivatives, and compile it.

    The traced graph is not differentiated any more, so that a ``detach`` in it does no harm.
    """
    traced = make_fx(gradients)(parameters, pack)
    return torch.compile(traced, fullgraph=True, dynamic=False)


class CudaGraphStep:
    """One training step, recorded as a CUDA graph and replayed for every pack.

    Where several processes train there are two graphs, and gradients are summed between them.

    Args:
        gradients: computes loss and gradients for packs of one size; see ``compile_gradients``.
        update: changes the weights by a gradient.
        pack: any pack of that size.
    """

    def __init__(self, gradients: LossGradients, update: Update, pack: Pack):
        self.pack = Pack(*(field.clone() for field in pack))
        self.fields_by_dtype = [
            [k for k, field in enumerate(pack) if field.dtype == dtype] for dtype in {f.dtype for f in pack}
        ]
        self.graphs = [torch.cuda.CUDAGraph() for _ in range(min(processes.place()[1], 2))]
        before = [tensor.clone() for tensor in update.tensors()]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                update(*gradients(update.parameters, self.pack))
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(self.graphs[0], stream=stream):
            self.loss, self.gradients = gradients(update.parameters, self.pack)
            if len(self.graphs) == 1:
                update(self.loss, self.gradients)
        for graph in self.graphs[1:]:
            with torch.cuda.graph(graph, stream=stream):
                update(self.loss, self.gradients)
        with torch.no_grad():
            torch._foreach_copy_(update.tensors(), before)

    def __call__(self, pack: Pack) -> None:
        """Take one step on a pack."""
        for fields in self.fields_by_dtype:
            torch._foreach_copy_([self.pack[k] for k in fields], [pack[k] for k in fields])
        self.graphs[0].replay()
        for graph in self.graphs[1:]:
            processes.sum_in_place([self.loss, *self.gradients])
            graph.replay()
