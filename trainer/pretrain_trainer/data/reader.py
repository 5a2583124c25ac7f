"""Reading samples from shards by number: memory-mapped where the storage is local, else by ranged reads ahead of their use.

Which sample comes when is not decided here (pretrain_trainer.data.order); a reader may be told, and then reads ahead.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage
from pretrain_api.types.data import DataCache
from pretrain_trainer.data import disk_cache, shared_blocks
from pretrain_trainer.data.blocks import Block
from pretrain_trainer.data.fetched import FetchedBlocks, budget_of
from pretrain_trainer.data.mapped import MappedBlocks
from pretrain_trainer.data.patience import Counts
from pretrain_trainer.data.quarantine import NOTHING_DAMAGED, Quarantine
from pretrain_trainer.data.samples import Int64s, Samples, document_ids
from pretrain_trainer.data.source import Source

_TOKENS_AT_ONCE = 1 << 19
"""That are read at once: a call costs as much as some 60,000 of them (benchmarks/LOG.md)."""


class SampleReader:
    """Samples of several sources by (source, index). For one thread at a time; `close` may come from another."""

    def __init__(
        self,
        storage: Storage,
        manifests: Sequence[tuple[str, Manifest]],
        split: str = "train",
        quarantine: Quarantine = NOTHING_DAMAGED,
        cache: DataCache | None = None,
    ) -> None:
        """`manifests` are pairs of a folder, as `Storage.at` takes it, and the manifest in it; all of one length.

        Raises UserError when the folder of the cache cannot be written to.
        """
        lengths = {manifest.sequence_length for _, manifest in manifests}
        if len(lengths) != 1:
            raise ValueError(f"the sources' sequences have different lengths: {sorted(lengths)}")
        self.sequence_length = lengths.pop()
        self._sources = [Source.of(storage, folder, manifest, split) for folder, manifest in manifests]
        self._local = MappedBlocks(self._sources, quarantine)
        remote = {n: source for n, source in enumerate(self._sources) if not source.storage.is_local}
        self._remote = _fetched(remote, manifests, quarantine, cache) if remote else None

    @property
    def samples_at_once(self) -> int:
        """So many are read best at a time."""
        return _TOKENS_AT_ONCE // (self.sequence_length + 1)

    @property
    def wants_more(self) -> bool:
        """Whether it would read further ahead if it knew what comes next."""
        return self._remote is not None and self._remote.wants_more

    @property
    def counts(self) -> Counts | None:
        """What reading from remote storage has cost so far."""
        return self._remote.patient.counts if self._remote else None

    def announce(self, source: Int64s, index: Int64s) -> None:
        """Tell which samples this machine reads after those that were announced before."""
        if self._remote is not None:
            self._remote.announce(source, index // self._records_of(source))

    def pass_by(self, samples: int) -> None:
        """So many of the announced samples lie behind."""
        if self._remote is not None:
            self._remote.pass_by(samples)

    def close(self) -> None:
        """End what is read ahead; a `read` in another thread raises an error."""
        if self._remote is not None:
            self._remote.close()

    def read(self, source: Int64s, index: Int64s) -> Samples:
        """The samples `index` of the sources `source`, arrays of one length; in that order.

        Raises CorruptShard for a record that stays damaged and may not be replaced, IndexError for a sample that a source
        lacks, StorageUnavailable when a store fails for minutes.
        """
        width = self.sequence_length + 1
        tokens = np.empty((len(index), width), dtype=np.int32)
        self._check(source, index)
        record, slot = np.divmod(index, self._records_of(source))
        order = np.lexsort((record, source))
        where = np.empty(len(index), dtype=np.int64)
        blocks: list[Block] = []
        # Groups of samples of one record.
        is_new = np.append(True, np.diff(record[order]).astype(bool) | np.diff(source[order]).astype(bool))[
            : len(order)
        ]
        begins = np.flatnonzero(is_new)
        where[order] = np.cumsum(is_new) - 1
        for number, records in _by_source(source[order[begins]], record[order[begins]]):
            reader = self._local if self._sources[number].storage.is_local else self._remote
            assert reader is not None
            blocks += reader.get(number, records)
        # One assignment for each sequence, which widens as it copies: the quickest of the ways that were measured, as few
        # sequences of a batch share a record (benchmarks/LOG.md).
        sequences = [block.tokens for block in blocks]
        for row, (block, place) in enumerate(zip(where.tolist(), slot.tolist(), strict=True)):
            tokens[row] = sequences[block][place]
        ids = document_ids([block.boundaries for block in blocks], where, slot, width)
        valid, stand_ins = _validity(blocks, where, slot, width)
        return Samples(tokens, ids, valid, stand_ins)

    def _records_of(self, source: Int64s) -> Int64s:
        """Samples in a record of each sample's source."""
        return np.array([s.samples_per_record for s in self._sources], dtype=np.int64)[source]

    def _check(self, source: Int64s, index: Int64s) -> None:
        samples = np.array([s.records.samples for s in self._sources], dtype=np.int64)[source]
        if (wrong := np.flatnonzero((index < 0) | (index >= samples))).size:
            raise IndexError(
                f"source {source[wrong[0]]} has samples 0 to {samples[wrong[0]] - 1}, not {index[wrong[0]]}"
            )


def _by_source(source: Int64s, record: Int64s) -> list[tuple[int, list[int]]]:
    """Records of each source; both arrays are sorted by source."""
    numbers, begins = np.unique(source, return_index=True)
    parts = np.split(record, begins[1:]) if len(numbers) else []
    return [(int(number), part.tolist()) for number, part in zip(numbers, parts, strict=True)]


def _validity(
    blocks: Sequence[Block], where: Int64s, slot: Int64s, width: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which tokens count, and which samples are stand-ins."""
    valid = np.ones((len(slot), width), dtype=np.bool_)
    counting = np.array([block.valid for block in blocks], dtype=np.int64)[where] - slot * width
    if (rows := np.flatnonzero(counting < width)).size:  # of padded or damaged records
        valid[rows] = np.arange(width) < counting[rows, None]
    return valid, np.array([block.is_stand_in for block in blocks], dtype=np.bool_)[where]


def _fetched(
    sources: dict[int, Source],
    manifests: Sequence[tuple[str, Manifest]],
    quarantine: Quarantine,
    cache: DataCache | None,
) -> FetchedBlocks:
    # The same for the same data: runs that share a cache find each other's records, and sources never share a name.
    names = [hashlib.sha256(f"{folder} {m.fingerprint}".encode()).hexdigest()[:16] for folder, m in manifests]
    budget = budget_of(list(sources.values()))
    on_disk = disk_cache.of_this_rank(Path(cache.path), names, cache.max_bytes) if cache else None
    return FetchedBlocks(sources, quarantine, budget, shared_blocks.in_memory(names, budget), on_disk)
