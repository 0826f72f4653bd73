"""The update of a student's weights: clip the gradient, step two optimizers, and follow the running mean of weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from assay.models import Potential
from assay.training.muon import Muon

NORM_RATE = 0.01  # share of a new gradient's norm in the running mean of norms


class Update:
    """The weights of a model, their running mean, and their optimizers.

    Muon, or AdamW, trains the matrices inside the network; AdamW trains embedding, biases and the layer that gives the
    energy.
    Nothing waits for the device, so that on a GPU an update can be recorded into a CUDA graph.

    Args:
        model: the model whose parameters are trained, in place.
        matrix_lr, other_lr: the peak learning rates of the matrices and of the other parameters.
        weight_decay: the weight decay of the matrices.
        clip: the largest norm of a gradient, in units of ``typical_norm``; a longer gradient is shortened to it.
        optimizer: "muon" or "adamw", what trains the matrices.

    Attributes:
        mean: the running mean of the weights.
        typical_norm: the running mean of the norms of gradients; 0 before the first gradient.
        skipped: the number of gradients that were not finite and therefore changed no weight.
        losses: the sum of the losses since the last call of ``mean_loss``, and their number.
    """

    def __init__(
        self,
        model: Potential,
        matrix_lr: float,
        other_lr: float,
        weight_decay: float,
        clip: float,
        optimizer: str = "muon",
    ):
        self.parameters: list[Tensor] = list(model.parameters())
        self.mean = [p.detach().clone() for p in self.parameters]
        self.peaks, self.clip = (matrix_lr, other_lr), clip
        self.factor, self.ema_rate, self.typical_norm, self.skipped = torch.zeros(4, device=self.parameters[0].device)
        self.losses = torch.zeros(2, dtype=torch.float64, device=self.parameters[0].device)
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            inside = (
                parameter.ndim == 2 and min(parameter.shape) > 1 and not name.startswith(("embedding", "pair_energies"))
            )
            (matrices if inside else others).append(parameter)
        self.groups, self.weight_decay, self.optimizer = (matrices, others), weight_decay, optimizer
        self.reset()

    def reset(self) -> None:
        """Make new optimizers with their state allocated and zero, and forget the typical norm."""
        on_gpu = self.parameters[0].is_cuda
        rates = [torch.zeros((), device=self.parameters[0].device) if on_gpu else 0.0 for _ in self.groups]
        matrices, others = self.groups
        adamw = partial(torch.optim.AdamW, betas=(0.9, 0.98), capturable=on_gpu)
        of_matrices: Callable[..., torch.optim.Optimizer] = Muon if self.optimizer == "muon" else adamw
        self.optimizers: list[torch.optim.Optimizer] = [
            of_matrices(matrices, lr=rates[0], weight_decay=self.weight_decay),
            adamw(others, lr=rates[1], weight_decay=0.0),
        ]
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        for optimizer in self.optimizers:
            optimizer.step()
        for tensor in self._optimizer_state():
            tensor.zero_()
        self.typical_norm.zero_()

    def _optimizer_state(self) -> list[Tensor]:
        return [tensor for o in self.optimizers for state in o.state.values() for tensor in state.values()]

    def schedule(self, factor: float, ema_decay: float) -> None:
        """Set the factor of the peak learning rates and the decay of the running mean for the next update."""
        self.factor.fill_(factor)
        self.ema_rate.fill_(1 - ema_decay)

    @torch.no_grad()
    def __call__(self, loss: Tensor, gradients: list[Tensor]) -> None:
        """Update the weights by a loss and its gradients, in the order of the parameters."""
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        norm = flat.norm()
        finite = norm.isfinite()
        typical = torch.where(self.typical_norm > 0, self.typical_norm, norm)
        limit = self.clip * typical
        scale = (limit / norm.clamp(min=1e-30)).clamp(max=1.0)
        flat = torch.where(finite, flat * scale, 0.0)
        for parameter, part in zip(self.parameters, flat.split([p.numel() for p in self.parameters]), strict=True):
            parameter.grad = part.view_as(parameter)
        usual = typical + NORM_RATE * (torch.minimum(norm, limit) - typical)
        self.typical_norm.copy_(torch.where(finite, usual, self.typical_norm))
        self.skipped += ~finite
        self.losses += torch.stack([torch.where(finite, loss, 0.0), finite.to(loss.dtype)])
        factor = self.factor * finite
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].copy_(peak * factor)
                else:
                    group["lr"] = peak * float(factor)
            optimizer.step()
        ahead = torch._foreach_sub(self.parameters, self.mean)
        torch._foreach_mul_(ahead, self.ema_rate)
        torch._foreach_add_(self.mean, ahead)

    def mean_loss(self) -> float | None:
        """The mean loss of the updates since the last call; None where there was none."""
        total, count = self.losses.tolist()
        self.losses.zero_()
        return total / count if count else None

    @torch.no_grad()
    def start_from_mean(self) -> None:
        """Give the model the running mean of its weights, and reset the optimizers."""
        torch._foreach_copy_(self.parameters, self.mean)
        self.reset()

    def state_dict(self) -> dict[str, Any]:
        """The state to resume from: running mean, optimizers, typical norm, and number of skipped gradients."""
        return {
            "mean": self.mean,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "typical_norm": float(self.typical_norm),
            "skipped": int(self.skipped),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a result of ``state_dict``."""
        torch._foreach_copy_(self.mean, state["mean"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved | {"param_groups": optimizer.state_dict()["param_groups"]})
        self.typical_norm.fill_(state["typical_norm"])
        self.skipped.fill_(state["skipped"])

    def tensors(self) -> list[Tensor]:
        """All tensors that an update changes in place on a GPU."""
        rates = [group["lr"] for optimizer in self.optimizers for group in optimizer.param_groups]
        counts = [self.typical_norm, self.skipped, self.losses]
        return [*self.parameters, *self.mean, *self._optimizer_state(), *rates, *counts]
