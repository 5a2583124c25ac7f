"""How long reads and waits took: a histogram of fixed size, from which any quantile can be had. No clock here."""

import numpy as np
import numpy.typing as npt

_LEAST_SECONDS, _MOST_SECONDS, _BUCKETS_PER_OCTAVE = 1e-6, 4096.0, 16


class Waits:
    """Counts of durations in buckets that grow by 2^(1/16): quantiles are right to 5 %."""

    def __init__(self) -> None:
        octaves = int(np.ceil(np.log2(_MOST_SECONDS / _LEAST_SECONDS)))
        self._counts: npt.NDArray[np.int64] = np.zeros(octaves * _BUCKETS_PER_OCTAVE + 1, dtype=np.int64)
        self._most = self._total = 0.0

    def add(self, seconds: float) -> None:
        octaves = np.log2(max(seconds, _LEAST_SECONDS) / _LEAST_SECONDS)
        self._counts[min(int(octaves * _BUCKETS_PER_OCTAVE), len(self._counts) - 1)] += 1
        self._most, self._total = max(self._most, seconds), self._total + seconds

    @property
    def count(self) -> int:
        return int(self._counts.sum())

    @property
    def total(self) -> float:
        return self._total

    def quantile(self, q: float) -> float:
        """Upper bound of the bucket that holds the quantile, in seconds; 0 when nothing was added."""
        count = self.count
        if not count:
            return 0.0
        rank = min(int(q * count), count - 1)
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank, side="right"))
        return float(min(_LEAST_SECONDS * 2 ** ((bucket + 1) / _BUCKETS_PER_OCTAVE), self._most))

    def halve(self) -> None:
        """Forget half of what was counted, so that what is new counts more."""
        self._counts //= 2
