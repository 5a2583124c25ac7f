"""Reading samples from shards by number: memory-mapped where the storage is local, else by ranged reads.

Blocks are kept in a cache bounded in bytes; the checksum of each block is compared when the block is first read. Which
sample comes when is not decided here (pretrain_trainer.data.order).
"""

import io
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from pretrain_api.errors import PretrainError
from pretrain_api.shards import Manifest, Shard, Split, index_dtype
from pretrain_api.storage import Storage

CACHE_BYTES = 256 << 20
"""Bytes of blocks that a reader of remote shards keeps."""
_MAPPED_BLOCKS = 4096
"""Views into memory-mapped shards that a reader of local shards keeps; they take no memory of their own."""
_FETCH_TOGETHER = 16
"""Ranged reads in flight."""


class CorruptShard(PretrainError):
    """A shard is not what its manifest and index say: cut short, overwritten or damaged."""

    kind = "CorruptShard"


@dataclass(frozen=True)
class Block:
    """A record: whole sequences and where documents begin."""

    tokens: npt.NDArray[np.unsignedinteger[Any]]
    """[sequences, sequence_length + 1]"""
    documents: npt.NDArray[np.uint32]
    """Sorted offsets into the flattened block."""
    valid: int
    """Tokens that are not padding."""

    @property
    def bytes(self) -> int:
        return self.tokens.nbytes + self.documents.nbytes

    def document_ids(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """Ids of the documents within the given sequences, int32 [slots, sequence_length + 1].

        They begin at 0 in each sequence and rise by 1 where a document begins, and where padding does.
        """
        starts = np.zeros((len(slots), self.tokens.shape[1]), dtype=np.int32)
        length = starts.shape[1]
        boundaries = np.append(self.documents, np.uint32(self.valid))
        for row, slot in enumerate(slots):
            first, last = np.searchsorted(boundaries, (slot * length, (slot + 1) * length))
            starts[row, boundaries[first:last] - slot * length] = 1
        starts[:, 0] = 0
        return np.cumsum(starts, axis=1, dtype=np.int32)


@dataclass(frozen=True)
class Samples:
    """Sequences and what the loss needs to know of each token."""

    tokens: npt.NDArray[np.int64]
    """[samples, sequence_length + 1]"""
    document_ids: npt.NDArray[np.int32]
    """[samples, sequence_length + 1]; 0 at the start of each sequence, one more where a document begins."""
    valid: npt.NDArray[np.bool_]
    """[samples, sequence_length + 1]; False for padding."""


class _SourceShards:
    """The shards of one source's split. Blocks are addressed by the number of their record in the split."""

    def __init__(self, storage: Storage, folder: str, manifest: Manifest, split: Split) -> None:
        self._storage, self._folder = storage.at(folder)
        self._shards = split.shards
        self.is_local = self._storage.is_local
        self.samples = split.samples
        self.samples_per_record = manifest.samples_per_record
        self.width = manifest.sequence_length + 1
        self._dtype = np.dtype(manifest.dtype)
        self._first_record = np.cumsum([0, *(shard.records for shard in split.shards)])
        self._indexes: dict[int, npt.NDArray[np.void]] = {}
        self._maps: dict[int, np.memmap[tuple[int], np.dtype[np.uint8]]] = {}
        self._verified = np.zeros(int(self._first_record[-1]), dtype=np.bool_)

    def _row(self, record: int) -> tuple[int, int, np.void]:
        """Number of the shard, number of the record in it, and its row of the index."""
        number = int(np.searchsorted(self._first_record, record, side="right")) - 1
        if number not in self._indexes:
            self._indexes[number] = self._read_index(self._shards[number])
        inside = record - int(self._first_record[number])
        return number, inside, self._indexes[number][inside]

    def _read_index(self, shard: Shard) -> npt.NDArray[np.void]:
        path = f"{self._folder}/{PurePosixPath(shard.name).with_suffix('.idx')}"
        try:
            index = np.load(io.BytesIO(self._storage.read_bytes(path)), allow_pickle=False)
        except (OSError, ValueError) as error:
            raise CorruptShard(f"index {self._storage.uri(path)} cannot be read: {error}") from error
        if index.dtype != index_dtype() or len(index) != shard.records:
            raise CorruptShard(
                f"index {self._storage.uri(path)} has {len(index)} records where the manifest says {shard.records}"
            )
        return np.asarray(index)

    def _path(self, number: int) -> str:
        return self._storage.path(f"{self._folder}/{self._shards[number].name}")

    def blocks(self, records: Sequence[int]) -> Iterator[Block]:
        """The blocks of the records, in their order."""
        if self._storage.is_local:
            for record in records:
                number, inside, row = self._row(record)
                yield self._block(record, number, inside, row, self._map(number), 0)
            return
        for begin in range(0, len(records), _FETCH_TOGETHER):
            some = records[begin : begin + _FETCH_TOGETHER]
            rows = [self._row(record) for record in some]
            # The documents' member stands before the tokens' one, so one range holds both.
            starts = [int(row["documents_offset"]) for _, _, row in rows]
            ends = [int(row["tokens_offset"] + row["tokens_length"]) for _, _, row in rows]
            paths = [self._path(number) for number, _, _ in rows]
            fetched = self._storage.fs.cat_ranges(paths, starts, ends, on_error="raise")
            for record, (number, inside, row), start, content in zip(some, rows, starts, fetched, strict=True):
                yield self._block(record, number, inside, row, np.frombuffer(content, dtype=np.uint8), start)

    def _map(self, number: int) -> npt.NDArray[np.uint8]:
        if number not in self._maps:
            path, expected = self._path(number), self._shards[number].bytes
            try:
                mapped = np.memmap(path, dtype=np.uint8, mode="r")
            except (FileNotFoundError, ValueError) as error:  # ValueError: an empty file cannot be mapped
                raise CorruptShard(f"shard {path} is missing or empty") from error
            if len(mapped) != expected:  # reading behind a file's end would kill the process
                raise CorruptShard(f"shard {path} has {len(mapped)} bytes where the manifest says {expected}")
            self._maps[number] = mapped
        return self._maps[number]

    def _block(
        self, record: int, number: int, inside: int, row: np.void, content: npt.NDArray[np.uint8], start: int
    ) -> Block:
        """The block whose members lie in `content`, which begins at byte `start` of the tar."""

        def member(name: str) -> npt.NDArray[np.uint8]:
            offset = int(row[f"{name}_offset"]) - start
            payload = content[offset : offset + int(row[f"{name}_length"])]
            if not self._verified[record]:
                checksum, expected = google_crc32c.value(payload.tobytes()), int(row[f"{name}_crc32c"])
                if checksum != expected or len(payload) != int(row[f"{name}_length"]):
                    raise CorruptShard(
                        f"shard {self._path(number)}, record {inside} ({name}): crc32c is {checksum:08x} where the "
                        f"index says {expected:08x}; the file is damaged or was overwritten"
                    )
            return payload

        tokens, documents = member("tokens"), member("documents")
        self._verified[record] = True
        samples = int(row["samples"])
        block = Block(
            tokens[len(tokens) - samples * self.width * self._dtype.itemsize :]
            .view(self._dtype)
            .reshape(samples, self.width),
            _array_after_header(documents),
            int(row["tokens"]),
        )
        return block


def _array_after_header(payload: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """The one-dimensional uint32 array of an .npy file of version 1.0."""
    header = 10 + int(payload[8]) + (int(payload[9]) << 8)
    return payload[header:].view(np.uint32)


class SampleReader:
    """Samples of several sources by (source, index). For one thread at a time."""

    def __init__(self, storage: Storage, manifests: Sequence[tuple[str, Manifest]], split: str = "train") -> None:
        """`manifests` are pairs of a folder, as `Storage.at` takes it, and the manifest in it; all of one length."""
        lengths = {manifest.sequence_length for _, manifest in manifests}
        if len(lengths) != 1:
            raise ValueError(f"the sources' sequences have different lengths: {sorted(lengths)}")
        self.sequence_length = lengths.pop()
        self._sources = [
            _SourceShards(storage, folder, manifest, manifest.train if split == "train" else manifest.validation)
            for folder, manifest in manifests
        ]
        self._cache: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self._cached_bytes = 0
        self._is_local = all(shards.is_local for shards in self._sources)

    def read(self, source: npt.NDArray[np.int64], index: npt.NDArray[np.int64]) -> Samples:
        """The samples `index` of the sources `source`, arrays of one length; in that order.

        Raises CorruptShard for a block that fails its checksum, IndexError for a sample that a source lacks.
        """
        width = self.sequence_length + 1
        result = Samples(
            np.empty((len(index), width), dtype=np.int64),
            np.empty((len(index), width), dtype=np.int32),
            np.ones((len(index), width), dtype=np.bool_),
        )
        for number in np.unique(source):
            shards, rows = self._sources[number], np.flatnonzero(source == number)
            if index[rows].min() < 0 or index[rows].max() >= shards.samples:
                raise IndexError(f"source {number} has samples 0 to {shards.samples - 1}")
            records, slots = np.divmod(index[rows], shards.samples_per_record)
            order = np.argsort(records, kind="stable")
            wanted, begin = np.unique(records[order], return_index=True)
            for block, group in zip(self._blocks(int(number), wanted), np.split(order, begin[1:]), strict=True):
                self._fill(result, block, rows[group], slots[group])
        return result

    def _fill(self, result: Samples, block: Block, rows: npt.NDArray[np.int64], slots: npt.NDArray[np.int64]) -> None:
        result.tokens[rows] = block.tokens[slots]
        result.document_ids[rows] = block.document_ids(slots)
        if block.valid < block.tokens.size:
            width = block.tokens.shape[1]
            result.valid[rows] = slots[:, None] * width + np.arange(width) < block.valid

    def _blocks(self, source: int, records: npt.NDArray[np.int64]) -> Iterator[Block]:
        """Blocks of one source in the order of `records`, from the cache or from the shards."""
        for begin in range(0, len(records), _FETCH_TOGETHER):
            some: list[int] = records[begin : begin + _FETCH_TOGETHER].tolist()
            found = {r: block for r in some if (block := self._cache.get((source, r))) is not None}
            missing = [r for r in some if r not in found]
            for record, block in zip(missing, self._sources[source].blocks(missing), strict=True):
                found[record] = self._cache[source, record] = block
                self._cached_bytes += block.bytes
            for record in some:
                self._cache.move_to_end((source, record))
            self._shrink_cache()
            yield from (found[record] for record in some)

    def _shrink_cache(self) -> None:
        while len(self._cache) > 1 and (
            len(self._cache) > _MAPPED_BLOCKS if self._is_local else self._cached_bytes > CACHE_BYTES
        ):
            _, block = self._cache.popitem(last=False)
            self._cached_bytes -= block.bytes
