"""Rows of all ranks side by side, with the gradient of what any rank makes of them."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pretrain_trainer.agent.board import Phase, at


def side_by_side(rows: Tensor) -> tuple[Tensor, int]:
    """The rows, [n, d], of all ranks by rank, [m, d], and where those of this one begin. Ranks, which call it together, may
    have different n, and some 0. The gradient that comes back to a rank's rows is the sum over ranks."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows, 0
    counts = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=rows.device)
    counts[dist.get_rank()] = len(rows)
    with at(Phase.TOGETHER):
        dist.all_reduce(counts)
    known = counts.tolist()
    found: Tensor = _SideBySide.apply(rows, known)
    return found, sum(known[: dist.get_rank()])


class _SideBySide(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.first, ctx.count = sum(counts[: dist.get_rank()]), len(rows)
        # A sum with zeros in the place of the others' is what ranks with different numbers of rows can do at once.
        everyone = rows.new_zeros(sum(counts), *rows.shape[1:])
        everyone[ctx.first : ctx.first + ctx.count] = rows
        with at(Phase.TOGETHER):
            dist.all_reduce(everyone)
        return everyone

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].clone()
        with at(Phase.TOGETHER):
            dist.all_reduce(gradient)
        return gradient[ctx.first : ctx.first + ctx.count], None
