"""How much of each source a run has seen: the order of training, counted instead of enumerated."""

from pretrain_trainer.data.order import Mixture


def samples_seen(mixture: Mixture, samples: int) -> list[int]:
    """How many of a run's first `samples` samples come from each source."""
    # What came before the phase that the run ends in is counted in that phase.
    phase = next(phase for phase in reversed(mixture.phases) if phase.start <= samples)
    counts = phase.pattern.counts(samples - phase.start)
    return [taken + count for taken, count in zip(phase.taken, counts, strict=True)]
