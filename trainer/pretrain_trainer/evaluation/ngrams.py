"""A byte-level n-gram model with interpolated Witten-Bell smoothing: a baseline that any language model must beat.

With h the bytes before w and h' the same without the first one (Witten and Bell 1991, doi:10.1109/18.87000; in the
interpolated form of Chen and Goodman 1999, doi:10.1006/csla.1999.0128, section 2.4):

    P(w | h) = (count(hw) + T(h) P(w | h')) / (count(h) + T(h))

T(h) is the number of distinct bytes seen after h, and the recursion ends in the uniform distribution over 256 bytes.
A document begins after `order - 1` NUL bytes that are never predicted.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

_Grams = NDArray[np.uint64]
_Counts = NDArray[np.int64]
_CHUNK_BYTES = 4 << 20
"""Text that is counted or scored at once; it bounds the memory for the sorted copies."""


class ByteNgramModel:
    """Counts of byte n-grams, n = 1 ... order <= 8, as sorted arrays: memory grows with distinct n-grams only."""

    def __init__(self, order: int = 5) -> None:
        if not 1 <= order <= 8:
            raise ValueError(f"order is {order}; an n-gram is kept in 64 bits, so it holds 1 to 8 bytes")
        self.order = order
        self._grams: _Grams = np.zeros(0, np.uint64)
        self._counts: _Counts = np.zeros(0, np.int64)
        self._levels: list[_Level] = []

    def fit(self, documents: Iterable[bytes]) -> None:
        """Count the documents' n-grams, on top of those counted before."""
        for chunk in self._chunks(documents):
            grams, counts = np.unique(self._ngrams(chunk), return_counts=True)
            self._grams, self._counts = _add_up(
                np.concatenate([self._grams, grams]), np.concatenate([self._counts, counts])
            )
        levels = []
        grams, counts = self._grams, self._counts
        for n in range(self.order, 0, -1):
            levels.append(_Level(grams, counts))
            # Each counted n-gram ends in exactly one (n - 1)-gram, so shorter ones need no second pass over the text.
            grams, counts = _add_up(grams & _mask(n - 1), counts)
        self._levels = levels[::-1]

    def bits(self, documents: Iterable[bytes]) -> float:
        """Bits that an ideal arithmetic coder with this model spends on the documents."""
        return float(sum(-np.log2(self._probabilities(self._ngrams(chunk))).sum() for chunk in self._chunks(documents)))

    def probabilities(self, context: bytes) -> NDArray[np.float64]:
        """P(byte | context) for all 256 bytes, shape [256]; of the context its last `order - 1` bytes count."""
        history = int.from_bytes(context[-(self.order - 1) :] if self.order > 1 else b"", "big")
        return self._probabilities(np.uint64(history << 8) | np.arange(256, dtype=np.uint64))

    def _chunks(self, documents: Iterable[bytes]) -> Iterator[list[bytes]]:
        """Pieces of text in lists of about _CHUNK_BYTES; each piece begins with the `order - 1` bytes before it."""
        history = self.order - 1
        chunk: list[bytes] = []
        size = 0
        for document in documents:
            padded = bytes(history) + document
            for start in range(0, len(document), _CHUNK_BYTES):
                chunk.append(padded[start : start + _CHUNK_BYTES + history])
                size += len(chunk[-1])
                if size >= _CHUNK_BYTES:
                    yield chunk
                    chunk, size = [], 0
        if chunk:
            yield chunk

    def _ngrams(self, chunk: list[bytes]) -> _Grams:
        """The n-gram that ends in each byte of the chunk but the first `order - 1` of a piece, as big-endian numbers."""
        text = np.frombuffer(b"".join(chunk), np.uint8)
        starts = np.cumsum([0, *map(len, chunk[:-1])])
        is_history = np.zeros(len(text), np.bool_)
        is_history[(starts[:, None] + np.arange(self.order - 1)).ravel()] = True
        grams = np.zeros(len(text), np.uint64)
        for distance in range(self.order):
            grams[distance:] |= text[: len(text) - distance].astype(np.uint64) << np.uint64(8 * distance)
        return grams[~is_history]

    def _probabilities(self, grams: _Grams) -> NDArray[np.float64]:
        probability = np.full(len(grams), 1 / 256)
        for n, level in enumerate(self._levels, start=1):
            count, total, distinct = level.look_up(grams & _mask(n))
            seen = total > 0
            mixed = (count + distinct * probability) / np.where(seen, total + distinct, 1)
            probability = np.where(seen, mixed, probability)
        return probability


class _Level:
    """The n-grams of one length, and for the context of each how often and how diversely it goes on."""

    def __init__(self, grams: _Grams, counts: _Counts) -> None:
        self._grams, self._counts = grams, counts
        self._contexts, first, self._distinct = np.unique(grams >> np.uint64(8), return_index=True, return_counts=True)
        self._totals = np.add.reduceat(counts, first) if len(counts) else counts

    def look_up(self, grams: _Grams) -> tuple[_Counts, _Counts, _Counts]:
        """count(hw), count(h) and T(h) for each n-gram hw; zeros where it was never seen."""
        context = grams >> np.uint64(8)
        return (
            _at(self._grams, self._counts, grams),
            _at(self._contexts, self._totals, context),
            _at(self._contexts, self._distinct, context),
        )


def _at(keys: _Grams, values: _Counts, wanted: _Grams) -> _Counts:
    """The value of each wanted key in a sorted array, 0 where it is missing."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)


def _add_up(grams: _Grams, counts: _Counts) -> tuple[_Grams, _Counts]:
    """Distinct n-grams, sorted, with the sums of their counts."""
    order = np.argsort(grams, kind="stable")  # timsort: quick on pieces that are sorted already
    grams, counts = grams[order], counts[order]
    first = np.flatnonzero(np.concatenate([[True], grams[1:] != grams[:-1]])) if len(grams) else np.zeros(0, np.intp)
    return grams[first], np.add.reduceat(counts, first) if len(first) else counts


def _mask(n: int) -> np.uint64:
    """Keeps the last n bytes."""
    return np.uint64((1 << 8 * n) - 1)
