"""Sequences as training takes them, with what the loss needs to know of each token. No files here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
_RECORD_STRIDE = 1 << 40
"""Larger than any offset into a block, so that the boundaries of many blocks stand in one sorted array."""


class AnySamples(Protocol):
    """Samples of one kind, as far as reading and its ledger know them."""

    @property
    def stand_ins(self) -> npt.NDArray[np.bool_]:
        """[samples]; True where a sample keeps its place in the order and counts in no loss, as it is damaged."""

    def __len__(self) -> int: ...

    def rows(self, rows: slice) -> Self:
        """A part of the samples."""

    def content(self, row: int) -> Iterable[Any]:
        """Buffers that together are what training was given of a sample."""


@dataclass(frozen=True)
class Samples:
    """Sequences and what the loss needs to know of each token."""

    tokens: npt.NDArray[np.int32]
    """[samples, sequence_length + 1]; half of what an index into a model takes, until it is one."""
    document_ids: npt.NDArray[np.int32]
    """[samples, sequence_length + 1]; 0 at the start of each sequence, one more where a document begins."""
    valid: npt.NDArray[np.bool_]
    """[samples, sequence_length + 1]; False for padding, and all of it for a stand-in."""
    stand_ins: npt.NDArray[np.bool_]
    """[samples]; True where the record is damaged: the sample keeps its place in the order and counts in no loss."""

    def __len__(self) -> int:
        return len(self.tokens)

    def rows(self, rows: slice) -> "Samples":
        """A part of the samples, as views."""
        return Samples(self.tokens[rows], self.document_ids[rows], self.valid[rows], self.stand_ins[rows])

    def content(self, row: int) -> Iterable[npt.NDArray[Any]]:
        """Tokens and document ids as little-endian 32-bit integers, then validity as bytes."""
        ids = (part[row].astype("<i4", copy=False) for part in (self.tokens, self.document_ids))
        return (*ids, self.valid[row])


def document_ids(
    boundaries: Sequence[npt.NDArray[np.integer]], block: Int64s, slot: Int64s, width: int
) -> npt.NDArray[np.int32]:
    """Ids of the documents within sequences of several blocks, int32 [samples, width].

    `boundaries` holds, for each block, sorted offsets into the flattened block at which a document (or padding) begins;
    `block` and `slot` say for each sample which sequence of which block it is. Ids begin at 0 in each sequence.
    """
    sizes = [len(b) for b in boundaries]
    starts = np.concatenate([*boundaries, np.empty(0, np.int64)], dtype=np.int64)
    starts += np.repeat(np.arange(len(sizes), dtype=np.int64) * _RECORD_STRIDE, sizes)
    begin = block * _RECORD_STRIDE + slot * width
    # A boundary at a sequence's first token begins no second document in it.
    first, last = np.searchsorted(starts, begin, side="right"), np.searchsorted(starts, begin + width, side="left")
    counts = last - first
    runs = counts + 1
    end = np.cumsum(runs)
    head = end - runs
    number = np.arange(end[-1] if len(end) else 0, dtype=np.int64) - np.repeat(head, runs)
    # Of each run: where it begins in its sequence. The first one begins at 0, the others at their boundary.
    at = np.zeros(len(number), dtype=np.int64)
    inner = number > 0
    at[inner] = starts[(np.repeat(first - 1, runs) + number)[inner]] - np.repeat(begin, counts)
    following = np.append(at[1:], 0)
    following[end - 1] = width
    return np.repeat(number.astype(np.int32), following - at).reshape(len(slot), width)
