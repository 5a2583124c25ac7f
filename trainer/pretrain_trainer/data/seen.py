"""How much of each source a run has seen: the order of training, counted instead of enumerated."""

import numpy as np

from pretrain_trainer.data.order import Mixture


def samples_seen(mixture: Mixture, samples: int) -> list[int]:
    """How many of a run's first `samples` samples come from each source."""
    # What came before the phase that the run ends in is counted in that phase.
    phase = next(phase for phase in reversed(mixture.phases) if phase.start <= samples)
    periods, rest = divmod(samples - phase.start, phase.pattern.period)
    begun = np.bincount(phase.pattern.source[:rest], minlength=len(mixture.sources))
    parts = zip(phase.taken, phase.pattern.shares, begun, strict=True)
    return [taken + periods * share + int(count) for taken, share, count in parts]
