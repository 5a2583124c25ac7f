"""Muon: momentum, of which each step turns a matrix in all its directions by the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_SMALLEST_NORM = 1e-7


class Muon(Optimizer):
    """Jordan and others 2024 (https://kellerjordan.github.io/posts/muon/), with Nesterov's momentum and steps as large as
    AdamW's (arXiv:2502.16982, section 2.2).

    The same as PyTorch's but for the precision: that one iterates in bfloat16 everywhere, which processors without
    instructions for it take ten times as long for as for float32 (docs/decisions/0017-muon-of-our-own.md).
    """

    def __init__(self, groups: Iterable[dict[str, Any]], rate: float, momentum: float, weight_decay: float) -> None:
        super().__init__(groups, {"lr": rate, "momentum": momentum, "weight_decay": weight_decay})
        for parameter in (p for group in self.param_groups for p in group["params"]):
            self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override] # as in LARS, no caller has a closure
        """m := momentum x m + (1 - momentum) x g, then w := w - rate x (decay x w + 0.2 x sqrt(rows or columns, whichever
        are more) x orthogonal(momentum x m + (1 - momentum) x g))."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for parameter in (p for p in group["params"] if p.grad is not None):
                mean = self.state[parameter]["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
                turn = orthogonal(parameter.grad.lerp(mean, momentum))
                parameter.mul_(1 - rate * group["weight_decay"])
                parameter.add_(turn, alpha=-0.2 * rate * max(parameter.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """[rows, columns] -> the same shape, in bfloat16 or, on a CPU, float32: U S V^T with singular values S between about
    0.7 and 1.2 in place of the matrix's own, by the quintic Newton-Schulz iteration of Muon's authors."""
    a, b, c = _COEFFICIENTS
    found = matrix.to(torch.float32 if matrix.device.type == "cpu" else torch.bfloat16)
    is_tall = matrix.size(0) > matrix.size(1)
    found = found.T if is_tall else found
    found = found / found.norm().clamp(min=_SMALLEST_NORM)
    for _ in range(_ITERATIONS):
        square = found @ found.T
        found = torch.addmm(found, torch.addmm(square, square, square, beta=b, alpha=c), found, beta=a)
    return found.T if is_tall else found
