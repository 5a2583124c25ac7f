"""How long a run and its warm-up are: what follows from `spec.training`. Pure arithmetic."""

from dataclasses import dataclass

from pretrain_api.types.training import Schedule, Training


@dataclass(frozen=True)
class RunLength:
    """How long a run is. A run has whole steps: what the job asks for is rounded up."""

    steps: int
    samples: int


def run_length(training: Training) -> RunLength:
    """The run's length from `tokens`, `samples` or `steps`, whichever the job gives."""
    batch, length = training.global_batch_size, training.sequence_length
    if training.steps is not None:
        steps = training.steps
    else:
        samples = training.samples if training.samples is not None else -(-(training.tokens or 1) // length)
        steps = -(-samples // batch)
    return RunLength(steps, steps * batch)


def warmup_steps(schedule: Schedule, steps: int) -> int:
    """Steps of warm-up of a run of `steps`."""
    return min(2000, steps // 10) if schedule.warmup_steps is None else schedule.warmup_steps
