"""Which documents are held out for validation, given their text alone. No counting, no files."""

from collections.abc import Iterable

import xxhash

_RANGE = 1 << 64


def split_key(text: str) -> int:
    """A document's place in [0, 2**64): XXH3 of its UTF-8 text with seed 0."""
    return xxhash.xxh3_64_intdigest(text.encode(), 0)


def is_validation(text: str, fraction: float) -> bool:
    """Whether the fraction alone holds a document out: its key lies in the lowest `fraction` of the hash's range.

    The text decides, so copies of a document fall on the same side in every source and every run.
    """
    return split_key(text) / _RANGE < fraction


def validation_bound(texts: Iterable[str], fraction: float) -> int:
    """The key below which documents of a source are held out.

    It is the fraction's share of the range, or, when that would hold none of the source's documents out, just above
    the smallest key, so that a small source has validation documents too. A source whose documents are all the same
    text keeps them for training. Reads no further than the first document that the fraction holds out: about
    1 / fraction documents of a large source, all of a small one.
    """
    if fraction == 0:
        return 0
    smallest, largest = _RANGE, -1
    for text in texts:
        key = split_key(text)
        if key / _RANGE < fraction:
            return fraction_bound(fraction)
        smallest, largest = min(smallest, key), max(largest, key)
    return smallest + 1 if smallest < largest else fraction_bound(fraction)


def fraction_bound(fraction: float) -> int:
    """The smallest key that `is_validation` does not hold out."""
    low, high = 0, _RANGE
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle / _RANGE < fraction else (low, middle)
    return low


def is_held_out(text: str, bound: int) -> bool:
    """Whether a document of a source with that bound is held out."""
    return split_key(text) < bound
