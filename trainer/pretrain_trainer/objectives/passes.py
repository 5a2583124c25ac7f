"""A rank's slice of a global batch, as an objective takes it through the model: micro-batch by micro-batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from pretrain_trainer.agent.board import moved
from pretrain_trainer.objectives.interface import Batch
from pretrain_trainer.training.numbers import micro_batches


@dataclass(frozen=True)
class Passes:
    """The slice and how it is cut."""

    whole: Batch
    largest: int
    """Samples of the largest slice of all ranks."""
    micro: int
    device: torch.device
    context: Callable[[], contextlib.AbstractContextManager[object]]
    """In which a forward pass runs."""
    part: Callable[[str], contextlib.AbstractContextManager[object]] = lambda name: contextlib.nullcontext()
    """In which a part of the step is measured: forward, backward."""

    def __iter__(self) -> Iterator[tuple[Batch, int]]:
        """Micro-batches on the device, with how many of their samples are real; equally many on every rank, so that
        collectives match. One without a real sample has a sample that predicts nothing."""
        for start, stop in micro_batches(len(self.whole), self.largest, self.micro):
            micro = self.whole.rows(start, stop) if stop > start else self.whole.nothing(1)
            yield micro.to(self.device), stop - start
            moved()
