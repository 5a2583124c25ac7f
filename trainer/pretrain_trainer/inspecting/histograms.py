"""Distributions of lengths and sizes: counted in powers of two, drawn as bars of text. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

_WIDTH = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"


def by_power(values: Iterable[int]) -> dict[int, int]:
    """How many values lie in [p, 2p), by the power of two p; 0 has a place of its own."""
    found = Counter(1 << (value.bit_length() - 1) if value > 0 else 0 for value in values)
    return dict(sorted(found.items()))


def bars(counts: Mapping[int, int]) -> Iterator[str]:
    """A line for each power of two between the smallest and the largest: its range, a bar and the count."""
    if not counts:
        return
    powers = [p for p in (0, *(1 << n for n in range(64))) if min(counts) <= p <= max(counts)]
    most = max(counts.values())
    labels = [f"{p:,}-{2 * p - 1:,}" if p > 1 else str(p) for p in powers]
    for power, label in zip(powers, labels, strict=True):
        count = counts.get(power, 0)
        yield f"{label:>{max(map(len, labels))}} {bar(count / most):<{_WIDTH}} {count:,}"


def bar(ratio: float) -> str:
    """A bar of up to _WIDTH characters, an eighth of one at least where the ratio is not 0."""
    eighths = max(round(ratio * _WIDTH * 8), 1 if ratio else 0)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")
