"""The automatic micro-batch on a GPU: as large as its memory allows, found by two trial passes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pretrain_trainer.objectives import Batch, Objective
from pretrain_trainer.training.world import World

_USABLE_RATIO = 0.85
"""Share of the memory to fill; the rest is left to fragmentation and communication buffers."""
_MOST_POSITIONS = 1 << 16
"""Larger micro-batches no longer make a GPU faster."""


def micro_batch(
    model: nn.Module,
    objective: Objective[Any],
    forward_context: Callable[[], contextlib.AbstractContextManager[object]],
    world: World,
    trial: Callable[[int], Batch],
    positions: int,
    largest_slice: int,
) -> int:
    """Samples per forward pass: a power of two, or the whole slice. All ranks call it together and get the same number.

    `trial` makes a batch of so many samples, each of which takes `positions` in the model.

    Raises torch.OutOfMemoryError when not even one sample fits.
    """

    def peak(samples: int) -> int:
        batch = trial(samples)
        torch.cuda.reset_peak_memory_stats()
        with forward_context():
            sums = objective.sums(model, batch.to(world.device), 1.0)
        sums.objective.backward()  # type: ignore[no-untyped-call]
        model.zero_grad(set_to_none=True)
        return int(torch.cuda.max_memory_allocated())

    model.train()
    one = peak(1)
    if largest_slice == 1:
        return 1
    each = max(1, peak(2) - one)
    free, total = torch.cuda.mem_get_info()
    fits = 1 + int((total * _USABLE_RATIO - (total - free - torch.cuda.memory_reserved()) - one) // each)
    samples: int = max(1, min([*world.gather(fits), largest_slice, max(1, _MOST_POSITIONS // positions)]))
    torch.cuda.empty_cache()
    return samples if samples == largest_slice else 1 << (samples.bit_length() - 1)
