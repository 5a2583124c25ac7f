"""Which samples come next, as far ahead as one wants to look: the order of training, computed in long pieces."""

from dataclasses import dataclass

import numpy as np

from pretrain_trainer.data.order import Mixture, locate
from pretrain_trainer.data.samples import Int64s

_PIECE_SAMPLES = 8192
"""About so many positions are computed at once; a call has a cost of its own that is worth 1,000 positions."""


def rank_slice(batch_size: int, rank: int, world_size: int) -> slice:
    """The part of a batch that belongs to a rank: contiguous, of floor or ceil(batch_size / world_size) samples."""
    return slice(batch_size * rank // world_size, batch_size * (rank + 1) // world_size)


@dataclass(frozen=True)
class Piece:
    """A stretch of whole steps."""

    first: int
    """Position of the first step's first sample."""
    source: Int64s
    """[steps, samples of the machine's ranks in a step]"""
    index: Int64s
    """The same shape."""


class Upcoming:
    """The steps from `start` on, of the slices of some neighbouring ranks, piece by piece."""

    def __init__(self, mixture: Mixture, batch_size: int, ranks: range, world_size: int, start: int) -> None:
        self._mixture, self._size, self._next = mixture, batch_size, start
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
        step = first + self._size * np.arange(steps, dtype=np.int64)
        g = step[:, None] + np.arange(self._slice.start, self._slice.stop, dtype=np.int64)
        source, _, index = locate(self._mixture, g)
        self._next = first + steps * self._size
        return Piece(first, source, index)
