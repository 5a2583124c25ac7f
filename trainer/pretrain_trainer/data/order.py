"""The order of training: sample g of a run, as a pure function of g, the mixture and the seed. No files, no state.

    g -> (source, k) -> (epoch, r) -> window -> (record, slot) -> index

The weights give position g to a source, as its k-th sample (pretrain_trainer.data.proportions); epochs of the source
follow each other without a gap. Within an epoch the records are permuted, cut into windows, and the samples of a window
are shuffled: a reader of remote shards touches one window of records at a time, and a source no larger than a window is
permuted as a whole. A run's position is the one integer g, whatever the number of ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pretrain_trainer.data.permutation import derive_keys, permute
from pretrain_trainer.data.proportions import Pattern, integer_shares, pattern

WINDOW_RECORDS = 64
"""Records whose samples are shuffled together: 32 MiB of tokens, from 64 places of the source."""

Int64s = npt.NDArray[np.int64]

_RECORD, _WINDOW, _SHORT = 1, 2, 3  # purposes of keys


@dataclass(frozen=True)
class MixtureSource:
    """A source as the order sees it."""

    samples: int
    """Samples in one epoch."""
    weight: float
    max_epochs: int | None
    """None: repeated without limit."""
    samples_per_record: int = 1
    """Samples in each record but the last one, which holds the rest."""


@dataclass(frozen=True)
class Segment:
    """From which position on which weights hold."""

    start: int
    """First position."""
    weights: tuple[float, ...]
    """One for each source, in the order of the sources; above 0."""


@dataclass(frozen=True)
class Phase:
    """A stretch of the run with one pattern: the weights do not change and the same sources have samples left."""

    start: int
    """First position."""
    taken: tuple[int, ...]
    """Samples of each source before `start`."""
    pattern: Pattern


@dataclass(frozen=True)
class Mixture:
    """Sources, weights and seed: all that decides the order.

    Raises ValueError for no source, one without samples or weight, and segments that do not follow each other.
    """

    sources: Sequence[MixtureSource]
    seed: int
    later: tuple[Segment, ...] = ()
    """Weights that replaced those of the sources, by rising position, all above 0."""
    phases: tuple[Phase, ...] = field(init=False, repr=False, compare=False)
    total: int | None = field(init=False, compare=False)
    """Samples that the mixture can give; None: without limit."""

    def __post_init__(self) -> None:
        if not self.sources or any(s.samples < 1 or s.weight <= 0 for s in self.sources):
            raise ValueError(f"every source needs samples and a weight: {self.sources}")
        segments = (Segment(0, tuple(s.weight for s in self.sources)), *self.later)
        if any(len(s.weights) != len(self.sources) or min(s.weights) <= 0 for s in segments):
            raise ValueError(f"a segment needs a weight above 0 for each of {len(self.sources)} sources: {segments}")
        if any(later.start <= before.start for before, later in pairwise(segments)):
            raise ValueError(f"segments begin one after the other, the first at 0: {segments}")
        phases, total = _phases(self.sources, segments)
        object.__setattr__(self, "phases", phases)
        object.__setattr__(self, "total", total)


def _phases(sources: Sequence[MixtureSource], segments: Sequence[Segment]) -> tuple[tuple[Phase, ...], int | None]:
    """The phases, and where the last one ends. A segment behind the mixture's end has no phase."""
    left = [None if s.max_epochs is None else s.samples * s.max_epochs for s in sources]
    taken = [0] * len(sources)
    start, phases = 0, list[Phase]()
    for number, segment in enumerate(segments):
        end = segments[number + 1].start if number + 1 < len(segments) else None
        shares = integer_shares(segment.weights)
        while end is None or start < end:
            shares = tuple(0 if n == 0 else share for share, n in zip(shares, left, strict=True))
            if not any(shares):
                return tuple(phases), start
            divided = pattern(without_common_factor(shares))
            phases.append(Phase(start, tuple(taken), divided))
            lengths = [divided.length_until(i, n) for i, n in enumerate(left) if n]
            if end is not None:
                lengths.append(end - start)
            if not lengths:
                return tuple(phases), None
            for i, count in enumerate(divided.counts(min(lengths))):
                taken[i] += count
                if (remaining := left[i]) is not None:
                    left[i] = remaining - count
            start += min(lengths)
    raise AssertionError("the last segment has no end")


def without_common_factor(shares: tuple[int, ...]) -> tuple[int, ...]:
    """Shares without their common factor, so that the pattern is as short as it can be."""
    divisor = int(np.gcd.reduce(shares))
    return tuple(share // divisor for share in shares)


def locate(mixture: Mixture, g: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """Where the samples at positions `g` come from: (source, epoch, index), each int64 of g's shape.

    `index` counts the samples of the source's shards in the order in which they were written. Raises ValueError for a
    negative position and IndexError for one that the mixture cannot give.
    """
    g = np.asarray(g, dtype=np.int64)
    if g.size and g.min() < 0:
        raise ValueError(f"positions begin at 0, not at {g.min()}")
    if g.size and mixture.total is not None and g.max() >= mixture.total:
        raise IndexError(f"position {g.max()} lies behind the last one of the mixture, {mixture.total - 1}")
    source, k = _divide(mixture.phases, g.reshape(-1))
    samples = np.array([s.samples for s in mixture.sources], dtype=np.int64)[source]
    record_size = np.array([s.samples_per_record for s in mixture.sources], dtype=np.int64)[source]
    epoch, r = np.divmod(k, samples)
    index = _shuffle(mixture.seed, source, epoch, r, samples, record_size)
    return source.reshape(g.shape), epoch.reshape(g.shape), index.reshape(g.shape)


def _divide(phases: Sequence[Phase], g: Int64s) -> tuple[Int64s, Int64s]:
    """Source of each position, and which of the source's samples it is."""
    which = np.searchsorted([phase.start for phase in phases], g, side="right") - 1
    source, k = np.empty_like(g), np.empty_like(g)
    for number in np.unique(which):
        phase, here = phases[number], which == number
        period, offset = np.divmod(g[here] - phase.start, phase.pattern.period)
        chosen = phase.pattern.source[offset]
        shares = np.array(phase.pattern.shares, dtype=np.int64)
        taken = np.array(phase.taken, dtype=np.int64)
        source[here] = chosen
        k[here] = taken[chosen] + period * shares[chosen] + phase.pattern.rank[offset]
    return source, k


def _shuffle(seed: int, source: Int64s, epoch: Int64s, r: Int64s, samples: Int64s, record_size: Int64s) -> Int64s:
    """The sample at place r of an epoch. A bijection of [0, samples) for each source and epoch."""
    window_size = record_size * WINDOW_RECORDS
    window = r // window_size
    begin = window * window_size
    size = np.minimum(window_size, samples - begin)
    r = begin + permute(r - begin, size, derive_keys(seed, _WINDOW, source, epoch, window))

    # Full records are permuted among themselves; the short last record, if there is one, stands at a random place
    # between them, so that places before it and behind it divide evenly into records.
    full, short = np.divmod(samples, record_size)
    place = (derive_keys(seed, _SHORT, source, epoch) % (full + 1).astype(np.uint64)).astype(np.int64)
    inside_short = (r >= place * record_size) & (r < place * record_size + short)
    behind = r >= place * record_size + short
    position, slot = np.divmod(np.where(behind, r - short, r), record_size)
    record = permute(
        np.where(inside_short, 0, position), np.maximum(full, 1), derive_keys(seed, _RECORD, source, epoch)
    )
    return np.where(inside_short, full * record_size + r - place * record_size, record * record_size + slot)
