"""The indexes beside the shards of a split: read when a record of theirs is first wanted, kept within a bound of bytes."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from pretrain_api.errors import PretrainError
from pretrain_api.shards import Shard, Split, index_dtype
from pretrain_trainer.data.npy import array_of

INDEX_BYTES = 32 << 20
"""Bytes of indexes that are kept. A shard of 512 MiB has 50 KiB."""


class CorruptShard(PretrainError):
    """A shard is not what its manifest and index say: cut short, overwritten or damaged."""

    kind = "CorruptShard"


@dataclass(frozen=True)
class Place:
    """Where a record lies, and what it holds by the index."""

    shard: int
    inside: int
    """Number of the record in its shard."""
    tokens_offset: int
    tokens_length: int
    tokens_crc32c: int
    documents_offset: int
    documents_length: int
    documents_crc32c: int
    samples: int
    valid: int
    """Tokens that are not padding."""

    @property
    def start(self) -> int:
        """First byte of the record in the tar. The documents' member stands before the tokens' one."""
        return self.documents_offset

    @property
    def end(self) -> int:
        return self.tokens_offset + self.tokens_length


class Records:
    """Which shard holds which record of a split, by number: three arrays, whatever the number of records."""

    def __init__(self, folder: str, split: Split) -> None:
        self.folder, self.samples = folder, split.samples
        self._first = np.cumsum([0, *(shard.records for shard in split.shards)])
        self.shards = split.shards

    def __len__(self) -> int:
        return int(self._first[-1])

    def shard_of(self, record: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Numbers of the shards of records."""
        return np.searchsorted(self._first, record, side="right") - 1

    def first_of(self, shard: int) -> int:
        return int(self._first[shard])

    def tar(self, shard: int) -> str:
        """Path of a shard's tar, relative to the storage."""
        return f"{self.folder}/{self.shards[shard].name}"

    def idx(self, shard: int) -> str:
        return f"{self.folder}/{PurePosixPath(self.shards[shard].name).with_suffix('.idx')}"


class Indexes:
    """Rows of the indexes that were read last. For several threads."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._kept: OrderedDict[int, npt.NDArray[np.void]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, shard: int) -> npt.NDArray[np.void] | None:
        """The index of a shard, if it is at hand."""
        with self._lock:
            if (index := self._kept.get(shard)) is not None:
                self._kept.move_to_end(shard)
            return index

    def add(self, shard: int, content: bytes, uri: str) -> npt.NDArray[np.void]:
        """Parse an index that was read. Raises CorruptShard where it does not fit its shard."""
        index = parsed(content, self._records.shards[shard], uri)
        with self._lock:
            if shard not in self._kept:
                self._kept[shard] = index
                self._bytes += index.nbytes
            while self._bytes > INDEX_BYTES and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return index

    def place(self, record: int, index: npt.NDArray[np.void]) -> Place:
        """Where a record lies, by the index of its shard."""
        shard = int(self._records.shard_of(record))
        inside = record - self._records.first_of(shard)
        return Place(shard, inside, *(int(value) for value in index[inside]))


def parsed(content: bytes, shard: Shard, uri: str) -> npt.NDArray[np.void]:
    """The rows of an index, held against what the manifest says of its shard. Raises CorruptShard."""
    try:
        index = array_of(content)
    except ValueError as error:
        raise CorruptShard(f"index {uri} cannot be read: {error}") from error
    if index.dtype != index_dtype() or index.shape != (shard.records,):
        raise CorruptShard(f"index {uri} has {index.size} records where the manifest says {shard.records}")
    for what, expected in (("samples", shard.samples), ("tokens", shard.tokens)):
        if (total := int(index[what].sum())) != expected:
            raise CorruptShard(
                f"index {uri} counts {total} {what} where the manifest says {expected}: not this shard's"
            )
    ends = (index["tokens_offset"] + index["tokens_length"]).max(initial=0)
    begins = index["documents_offset"] + index["documents_length"]
    if ends > shard.bytes or (begins > index["tokens_offset"]).any():
        raise CorruptShard(
            f"index {uri} leads outside of its shard of {shard.bytes} bytes: not this shard's, or damaged"
        )
    return index
