"""One step of an objective as the ranks of a world make it, in one process: slices, micro-batches and backward passes, rank
by rank, and gradients added as between ranks."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pretrain_trainer.data.batches import rank_slice
from pretrain_trainer.objectives import Moment, Objective, Passes


def step(
    objective: Objective[Any], module: nn.Module, samples: Any, positions: np.ndarray, world: int, micro: int
) -> tuple[Tensor, Tensor]:
    """Gradient [parameters] and loss of each sample. What each rank adds stays in the module's gradients."""
    count = len(samples)
    targets = int(objective.targets(objective.batch(samples, positions)).sum())
    losses = []
    for rank in range(world):
        own = rank_slice(count, rank, world)
        passes = Passes(
            objective.batch(samples.rows(own), positions[own]),
            -(-count // world),
            micro,
            torch.device("cpu"),
            contextlib.nullcontext,
        )
        losses.append(objective.learn(module, passes, 1 / targets, Moment(0, count)))
    gradients = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    return torch.cat(gradients), torch.cat(losses)
