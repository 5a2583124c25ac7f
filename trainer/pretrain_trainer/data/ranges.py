"""Which bytes to read at once: records that stand next to each other in a shard come in one request. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pretrain_trainer.data.indexes import Place

MOST_BYTES = 8 << 20
"""Of one request. Longer ones take so long that a fault in the middle costs more than the requests that they save."""
GAP_BYTES = 64 << 10
"""Bytes between two records that are read and thrown away rather than asked around."""


@dataclass(frozen=True)
class Range:
    """Bytes of one shard, and the records in them."""

    shard: int
    start: int
    end: int
    places: tuple[tuple[int, Place], ...]
    """Number in the split and place of each record."""


def ranges(wanted: Sequence[tuple[int, Place]]) -> Iterator[Range]:
    """Ranges that hold all wanted records, in the order in which the first record of each was wanted."""
    by_place = sorted(range(len(wanted)), key=lambda i: (wanted[i][1].shard, wanted[i][1].start))
    groups: list[list[int]] = []
    for i in by_place:
        place = wanted[i][1]
        if groups and _joins(wanted[groups[-1][0]][1], wanted[groups[-1][-1]][1], place):
            groups[-1].append(i)
        else:
            groups.append([i])
    for group in sorted(groups, key=min):
        places = tuple(wanted[i] for i in group)
        yield Range(places[0][1].shard, places[0][1].start, places[-1][1].end, places)


def _joins(first: Place, last: Place, following: Place) -> bool:
    return (
        following.shard == last.shard
        and following.start - last.end <= GAP_BYTES
        and following.end - first.start <= MOST_BYTES
    )
