"""Which samples come next, as far ahead as one wants to look: the order of training, computed in long pieces, and which rank
takes which samples of a step."""

from dataclasses import dataclass

import numpy as np

from pretrain_trainer.data.order import Mixture, locate
from pretrain_trainer.data.samples import Int64s

_PIECE_SAMPLES = 8192
"""About so many positions are computed at once; a call has a cost of its own that is worth 1,000 positions."""


def rank_slice(batch_size: int, rank: int, world_size: int) -> slice:
    """The part of a batch that belongs to a rank: contiguous, of floor or ceil(batch_size / world_size) samples."""
    return slice(batch_size * rank // world_size, batch_size * (rank + 1) // world_size)


def by_record(source: Int64s, record: Int64s) -> Int64s:
    """In which order the samples of each step are divided over ranks: their places, like `source` [steps, samples].

    Neighbours share records, so that each rank reads records of its own instead of all that a window has; and every
    stretch holds about the same share of each source, so that no rank has only the long documents.
    """
    steps, samples = source.shape
    step = np.repeat(np.arange(steps), samples)
    grouped = np.lexsort((record.reshape(-1), source.reshape(-1), step))
    begins = np.flatnonzero(
        np.append(True, (np.diff(source.reshape(-1)[grouped]) != 0) | (np.diff(step[grouped]) != 0))
    )
    sizes = np.diff(begins, append=step.size)
    # The k-th of n samples of a source comes at (k + 1/2) / n of the step.
    along = (np.arange(step.size) - np.repeat(begins, sizes) + 0.5) / np.repeat(sizes, sizes)
    mixed = grouped[np.lexsort((along, step))]
    places: Int64s = mixed.reshape(steps, samples) - np.arange(steps)[:, None] * samples
    return places


@dataclass(frozen=True)
class Piece:
    """A stretch of whole steps, of which some neighbouring ranks take a part."""

    first: int
    """Position of the first step's first sample."""
    place: Int64s
    """[steps, samples of the machine's ranks in a step]: which of the step's samples they are."""
    source: Int64s
    """The same shape."""
    index: Int64s
    """The same shape."""


class Upcoming:
    """The steps from `start` on, of the slices of some neighbouring ranks, piece by piece."""

    def __init__(self, mixture: Mixture, batch_size: int, ranks: range, world_size: int, start: int) -> None:
        self._mixture, self._size, self._next = mixture, batch_size, start
        self._per_record = np.array([s.samples_per_record for s in mixture.sources], dtype=np.int64)
        self._slice = slice(
            rank_slice(batch_size, ranks[0], world_size).start, rank_slice(batch_size, ranks[-1], world_size).stop
        )

    def piece(self) -> Piece:
        """The next piece. Raises IndexError when the mixture cannot give another whole step."""
        first, steps = self._next, max(1, _PIECE_SAMPLES // self._size)
        if self._mixture.total is not None:
            steps = max(1, min(steps, (self._mixture.total - first) // self._size))
            if first + self._size > self._mixture.total:
                locate(self._mixture, np.array([first + self._size - 1]))  # which raises, and says why
        g = first + np.arange(steps * self._size, dtype=np.int64).reshape(steps, self._size)
        source, _, index = locate(self._mixture, g)
        place = by_record(source, index // self._per_record[source])[:, self._slice]
        self._next = first + steps * self._size
        return Piece(first, place, *(np.take_along_axis(whole, place, axis=1) for whole in (source, index)))
