"""How positions are divided over sources by weight: exact at every position, with tables that do not grow with the run.

With shares a_i / A, the j-th sample of source i is due in positions floor((j - 1) A / a_i) + 1 ... ceil(j A / a_i). These
are the windows of P-fair scheduling (Baruah, Cohen, Plaxton and Varvel 1996, doi:10.1007/BF01940883): whoever keeps them
has given each source the floor or the ceiling of its share after any number of positions. On one processor, taking the
released sample with the earliest end of window keeps them all, and the pattern repeats after A positions.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

import numpy as np
import numpy.typing as npt

MAX_PERIOD = 1 << 16
"""Longest pattern. Weights whose ratio needs a longer one are rounded to shares of 1 / MAX_PERIOD."""


def integer_shares(weights: Sequence[float]) -> tuple[int, ...]:
    """Weights as integers of the same ratio without a common factor, their sum at most MAX_PERIOD.

    Weights mean the decimals that a person wrote: 0.7 and 0.3 are 7 and 3. Where no such integers exist, the largest
    remainders are rounded up and every source keeps at least one position in the pattern.
    """
    fractions = [Fraction(repr(float(weight))) for weight in weights]
    denominator = lcm(*(f.denominator for f in fractions))
    exact = [int(f * denominator) for f in fractions]
    divisor = gcd(*exact)
    exact = [value // divisor for value in exact]
    total = sum(exact)
    if total <= MAX_PERIOD:
        return tuple(exact)
    shares = [max(1, value * MAX_PERIOD // total) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: (-(exact[i] * MAX_PERIOD % total), i))
    for i in by_remainder[: max(0, MAX_PERIOD - sum(shares))]:
        shares[i] += 1
    while sum(shares) > MAX_PERIOD:  # the sources raised to one position take it from the largest
        shares[max(range(len(shares)), key=lambda i: (shares[i], -i))] -= 1
    return tuple(shares)


@dataclass(frozen=True)
class Pattern:
    """Which source each position of a period belongs to, and which of that source's samples in the period it is."""

    shares: tuple[int, ...]
    source: npt.NDArray[np.int64]
    """[period]"""
    rank: npt.NDArray[np.int64]
    """[period]"""

    @property
    def period(self) -> int:
        return len(self.source)

    def counts(self, positions: int) -> list[int]:
        """How many of the first `positions` positions each source has."""
        periods, rest = divmod(positions, self.period)
        begun = np.bincount(self.source[:rest], minlength=len(self.shares))
        return [periods * share + int(count) for share, count in zip(self.shares, begun, strict=True)]

    def length_until(self, source: int, samples: int) -> int:
        """Positions up to and including the `samples`-th one (from 1) of the source."""
        periods, rest = divmod(samples - 1, self.shares[source])
        return periods * self.period + int(np.flatnonzero(self.source == source)[rest]) + 1


def pattern(shares: tuple[int, ...]) -> Pattern:
    """The pattern of integer shares; a share of 0 gets no position."""
    period = sum(shares)
    source = np.empty(period, dtype=np.int64)
    rank = np.empty(period, dtype=np.int64)
    waiting = [(1, i, 0) for i, share in enumerate(shares) if share]
    released: list[tuple[int, int, int]] = []
    for position in range(1, period + 1):
        while waiting and waiting[0][0] <= position:
            _, i, j = heapq.heappop(waiting)
            heapq.heappush(released, (-(-(j + 1) * period // shares[i]), i, j))
        _, i, j = heapq.heappop(released)
        source[position - 1], rank[position - 1] = i, j
        if j + 1 < shares[i]:
            heapq.heappush(waiting, ((j + 1) * period // shares[i] + 1, i, j + 1))
    return Pattern(shares, source, rank)
