"""LARS: stochastic gradient descent whose steps keep a fixed ratio to the norm of what they change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

TRUST = 1e-3
"""Norm of a step at a rate of 1, as a share of the norm of what it changes: the paper's coefficient, and SimCLR's."""
_EPSILON = 1e-8


class Lars(Optimizer):
    """You, Gitman and Ginsburg 2017 (arXiv:1708.03888, algorithm 1), with momentum after the rate that is its own, as in
    PyTorch's SGD: where the learning rate changes, momentum that was gathered before changes with it.

    Groups with `adapts` false (biases and norms, arXiv:2002.05709, section 2.2) take plain steps without weight decay.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], rate: float, momentum: float, weight_decay: float) -> None:
        super().__init__(groups, {"lr": rate, "momentum": momentum, "weight_decay": weight_decay, "adapts": True})
        for parameter in (p for group in self.param_groups for p in group["params"]):
            self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """v := momentum x v + ratio x (g + decay x w), then w := w - rate x v, with
        ratio = TRUST x |w| / (|g| + decay x |w|), which is 1 where w or g is zero."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            gradients = [p.grad for p in parameters]
            if group["adapts"]:
                gradients = _adapted(parameters, gradients, group["weight_decay"])
            momenta = [self.state[p]["momentum_buffer"] for p in parameters]
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_add_(momenta, gradients)
            torch._foreach_add_(parameters, momenta, alpha=-group["lr"])


def _adapted(parameters: list[Tensor], gradients: list[Tensor], decay: float) -> list[Tensor]:
    """Each gradient, decay included, times its ratio."""
    sizes, slopes = torch._foreach_norm(parameters), torch._foreach_norm(gradients)
    ratios = [
        torch.where((size > 0) & (slope > 0), TRUST * size / (slope + decay * size + _EPSILON), 1.0)
        for size, slope in zip(sizes, slopes, strict=True)
    ]
    adapted: list[Tensor] = list(torch._foreach_add(gradients, parameters, alpha=decay))
    torch._foreach_mul_(adapted, ratios)
    return adapted
