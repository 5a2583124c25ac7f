"""The learning rate as a function of samples seen. Pure: no torch, no state."""

import math

from pretrain_api.run_length import warmup_steps
from pretrain_api.types.training import Schedule


def learning_rate(schedule: Schedule, peak: float, samples: int, total: int, batch: int) -> float:
    """The rate of the update after which `samples` of `total` samples have been seen, `batch` of them per step.

    Linear warm-up to `peak`, then the decay's shape down to `final_ratio * peak`, reached by the last update.
    """
    warmup = min(warmup_steps(schedule, total // batch) * batch, total)
    if samples <= warmup:
        return peak * samples / warmup
    if schedule.decay == "constant":
        return peak
    # wsd (arXiv:2404.06395) holds the peak and decays over the run's last part; the others decay from the warm-up on.
    start = max(warmup, total - round(schedule.decay_fraction * total)) if schedule.decay == "wsd" else warmup
    if samples <= start:
        return peak
    progress = (samples - start) / (total - start)
    remaining = (1 + math.cos(math.pi * progress)) / 2 if schedule.decay == "cosine" else 1 - progress
    return peak * (schedule.final_ratio + (1 - schedule.final_ratio) * remaining)
