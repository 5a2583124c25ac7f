"""Gradients of a step: summed over ranks, measured, clipped.

Sums, not means: the objective is scaled by the global number of targets before the backward pass, so the sum over
micro-batches and ranks is the gradient of the whole batch, whatever the world size.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from pretrain_trainer.agent.board import Phase, at
from pretrain_trainer.training.world import World

_BUCKET_ELEMENTS = 16 << 20
"""Elements reduced at once. Fixed, so that every run adds in the same order."""


class Gradients:
    """The gradients of a model. `start_step` before the first backward pass, `finish_step` after the last one."""

    def __init__(self, model: nn.Module, world: World) -> None:
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._world = world
        self._flat: Tensor | None = None
        if world.size > 1 and world.mesh is None:
            # All gradients are views of one buffer, so that reducing them needs no copies.
            count = sum(p.numel() for p in self._parameters)
            self._flat = torch.zeros(count, dtype=torch.float32, device=world.device)

    def start_step(self) -> None:
        """Forget the last step's gradients."""
        if self._flat is None:
            for parameter in self._parameters:
                parameter.grad = None
            return
        self._flat.zero_()
        offset = 0
        for parameter in self._parameters:
            parameter.grad = self._flat[offset : offset + parameter.numel()].view_as(parameter)
            offset += parameter.numel()

    def finish_step(self) -> Tensor:
        """Sum over ranks; returns the norm of the sum, [] float32, not finite when any element is not."""
        if self._flat is not None:
            work = [dist.all_reduce(b, async_op=True) for b in torch.split(self._flat, _BUCKET_ELEMENTS)]
            with at(Phase.TOGETHER):
                for bucket in work:
                    bucket.wait()
            norm: Tensor = torch.linalg.vector_norm(self._flat)
            return norm
        # Sharded gradients were summed by reduce-scatter in the backward pass.
        norm = nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def scale(self, factor: float) -> None:
        """Multiply all gradients."""
        if self._flat is not None:
            self._flat.mul_(factor)
        else:
            torch._foreach_mul_([p.grad for p in self._parameters if p.grad is not None], factor)


def clip_factor(norm: float, max_norm: float) -> float:
    """What gradients of that norm are multiplied by, so that their norm is at most `max_norm` (0: no bound)."""
    return max_norm / norm if max_norm and norm > max_norm else 1.0
