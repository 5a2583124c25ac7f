"""The data order once more, in plain integers, from docs/reference/data-order.md alone. Slow, and shares nothing with the
program: what both say is what the page says."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, reduce
from math import gcd, lcm

WORD = 1 << 64


def shares(weights: Sequence[float]) -> list[int]:
    exact = [Fraction(Decimal(str(float(w)))) for w in weights]
    scale = lcm(*(w.denominator for w in exact))
    whole = [w.numerator * (scale // w.denominator) for w in exact]
    divisor = gcd(*whole)
    whole = [w // divisor for w in whole]
    total = sum(whole)
    if total <= 65536:
        return whole
    found = [max(1, w * 65536 // total) for w in whole]
    lacking = 65536 - sum(found)
    if lacking > 0:
        for i in sorted(range(len(whole)), key=lambda i: (-(whole[i] * 65536 % total), i))[:lacking]:
            found[i] += 1
    while sum(found) > 65536:
        found[found.index(max(found))] -= 1
    return found


def pattern(a: Sequence[int]) -> list[tuple[int, int]]:
    """(source, rank) of positions 1 ... A."""
    whole = sum(a)
    following = [0] * len(a)
    found = []
    for t in range(1, whole + 1):
        due = [
            (-(-(j + 1) * whole // a[i]), i) for i, j in enumerate(following) if j < a[i] and j * whole // a[i] + 1 <= t
        ]
        _, i = min(due)
        found.append((i, following[i]))
        following[i] += 1
    return found


def mix(v: int) -> int:
    z = (v + 0x9E3779B97F4A7C15) % WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def key(seed: int, *arguments: int) -> int:
    return reduce(lambda c, x: mix(c ^ mix(x)), arguments, mix(seed % WORD))


def permute(v: int, n: int, c: int) -> int:
    b = (n - 1).bit_length()
    low, high = b // 2, b - b // 2
    while True:
        left, right = v >> high, v % (1 << high)
        m, m2 = (1 << low) - 1, (1 << high) - 1
        for i in range(6):
            left, right = right, left ^ (mix(right ^ mix((c + i) % WORD)) & m)
            m, m2 = m2, m
        v = left * (1 << high) + right
        if v < n:
            return v


@dataclass(frozen=True)
class Source:
    samples: int
    samples_per_record: int = 1
    max_epochs: int | None = None


@dataclass(frozen=True)
class Order:
    seed: int
    sources: tuple[Source, ...]
    segments: tuple[tuple[int, tuple[float, ...]], ...]

    @cached_property
    def _phases(self) -> tuple[list[tuple[int, list[int], list[int], list[tuple[int, int]]]], int | None]:
        """First position, samples given before, shares and pattern of each phase; and where the order ends."""
        given, position, phases = [0] * len(self.sources), 0, []
        for number, (start, weights) in enumerate(self.segments):
            assert start == position or not phases or position < start
            end = self.segments[number + 1][0] if number + 1 < len(self.segments) else None
            while end is None or position < end:
                left = [None if s.max_epochs is None else s.samples * s.max_epochs - k
                        for s, k in zip(self.sources, given, strict=True)]  # fmt: skip
                a = [0 if rest == 0 else share for rest, share in zip(left, shares(weights), strict=True)]
                if not any(a):
                    return phases, position
                divisor = gcd(*a)
                a = [share // divisor for share in a]
                turns = pattern(a)
                phases.append((position, list(given), a, turns))
                if end is None and all(rest is None or not share for rest, share in zip(left, a, strict=True)):
                    return phases, None
                while end is None or position < end:
                    i, _ = turns[(position - phases[-1][0]) % len(turns)]
                    given[i] += 1
                    position += 1
                    if left[i] is not None and given[i] - phases[-1][1][i] == left[i]:
                        break
        return phases, None

    @property
    def end(self) -> int | None:
        return self._phases[1]

    def locate(self, g: int) -> tuple[int, int, int]:
        """(source, epoch, index)"""
        start, given, a, turns = [phase for phase in self._phases[0] if phase[0] <= g][-1]
        q, t = divmod(g - start, len(turns))
        i, rank = turns[t]
        return i, *self.sample(i, given[i] + q * a[i] + rank)

    def sample(self, i: int, k: int) -> tuple[int, int]:
        n, p = self.sources[i].samples, self.sources[i].samples_per_record
        epoch, r = divmod(k, n)
        u = 64 * p
        w = r // u
        r = w * u + permute(r - w * u, min(u, n - w * u), key(self.seed, 2, i, epoch, w))
        f, h = divmod(n, p)
        e = key(self.seed, 3, i, epoch) % (f + 1)
        if e * p <= r < e * p + h:
            return epoch, f * p + r - e * p
        if r >= e * p + h:
            r -= h
        m, slot = divmod(r, p)
        return epoch, permute(m, f, key(self.seed, 1, i, epoch)) * p + slot
