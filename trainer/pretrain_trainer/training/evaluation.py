"""Validation loss by source during training, on a bounded number of held-out sequences.

Touches neither the random state nor the data order, so that a run with it makes the same weights as one without.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from pretrain_trainer.agent.board import Phase, at
from pretrain_trainer.data.batches import Reader, rank_slice
from pretrain_trainer.objectives import Objective, Passes
from pretrain_trainer.training.world import World

SEQUENCES_PER_SOURCE = 64


@dataclass(frozen=True)
class Validation:
    """The held-out sequences of the sources; `samples` is how many each source has."""

    reader: Reader[Any]
    names: Sequence[str]
    samples: Sequence[int]
    objective: Objective[Any]
    world: World
    forward_context: Callable[[], contextlib.AbstractContextManager[object]]

    def losses(self, model: nn.Module, micro_batch_size: int) -> dict[str, float]:
        """Nats per token by source, for the sources that have held-out sequences. All ranks call it together."""
        sums = [0.0] * (2 * len(self.names))
        model.eval()
        with torch.no_grad():
            for number, available in enumerate(self.samples):
                loss, targets = self._source(model, number, available, micro_batch_size)
                sums[2 * number : 2 * number + 2] = loss, targets
        model.train()
        sums = self.world.sum(sums)
        return {n: sums[2 * i] / sums[2 * i + 1] for i, n in enumerate(self.names) if sums[2 * i + 1]}

    def _source(self, model: nn.Module, number: int, available: int, micro: int) -> tuple[float, float]:
        count = min(SEQUENCES_PER_SOURCE, available)
        # Spread over the source, as neighbouring sequences often belong to one document.
        index = (np.arange(count, dtype=np.int64) * available) // max(count, 1)
        mine = index[rank_slice(count, self.world.rank, self.world.size)]
        if not count:
            return 0.0, 0.0
        with at(Phase.READING):
            whole = self.objective.batch(self.reader.read(np.full(len(mine), number, dtype=np.int64), mine), mine)
        passes = Passes(whole, -(-count // self.world.size), micro, self.world.device, self.forward_context)
        losses = self.objective.measure(model, passes)
        return float(losses.double().sum()), float(self.objective.targets(whole).sum())
