"""What a training measures of its steps for Prometheus, where somebody watches. It changes nothing of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import torch

from pretrain_api.metrics import is_measured
from pretrain_api.objectives import tokens_per_sample
from pretrain_trainer.metrics.meters import FirstMeters, Meters
from pretrain_trainer.training.step_clock import StepClock

if TYPE_CHECKING:
    from pretrain_trainer.training.history import StepFigures
    from pretrain_trainer.training.loop import Training


class Watch(Protocol):
    """Whoever looks on."""

    def at(self, phase: str) -> contextlib.AbstractContextManager[None]:
        """The block is a part of this phase of the step."""

    def stepped(self, training: Training, figures: StepFigures, told: Mapping[str, float]) -> None:
        """A step is over; `told`: what the operator is told of it."""


class Nobody:
    """The watch of a training that nobody watches."""

    def at(self, phase: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def stepped(self, training: Training, figures: StepFigures, told: Mapping[str, float]) -> None:
        pass


class Watched:
    """The watch that writes it all down."""

    def __init__(self, job: tuple[str, str], rank: int, world_size: int, device: torch.device) -> None:
        self._clock, self._device = StepClock(device), device
        self._meters = Meters(job, rank)
        self._first = FirstMeters(job, world_size) if rank == 0 else None

    def at(self, phase: str) -> contextlib.AbstractContextManager[None]:
        return self._clock.at(phase)

    def stepped(self, training: Training, figures: StepFigures, told: Mapping[str, float]) -> None:
        pauses = figures.spent
        phases = self._clock.take() | {"data": figures.data_wait_seconds}
        phases |= {"checkpoint": pauses.checkpoint_stall} if pauses.checkpoint_stall else {}
        phases |= {"evaluation": pauses.evaluation} if figures.validation is not None else {}
        device = torch.cuda.max_memory_allocated(self._device) if self._device.type == "cuda" else 0
        self._meters.stepped(figures.seconds_per_step, phases, device)
        if training.reading and (counts := training.reading.counts):
            self._meters.read(counts)
        while training.checkpoints.written:
            self._meters.wrote(training.checkpoints.written.pop(0))
        if self._first:
            samples = training.spec.training.global_batch_size
            self._first.stepped(figures, samples, samples * tokens_per_sample(training.spec), told)


def of_rank(job: tuple[str, str], rank: int, world_size: int, device: torch.device) -> Watch:
    """The watch of a rank of the job, which is given by namespace and name."""
    return Watched(job, rank, world_size, device) if is_measured() else Nobody()
