"""Blocks of shards on remote storage: fetched ahead of their use, as far as a budget of bytes allows, and kept until it is
needed for blocks that are used earlier."""

import asyncio
import concurrent.futures
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pretrain_trainer.data.blocks import Block
from pretrain_trainer.data.disk_cache import DiskCache
from pretrain_trainer.data.fetching import IN_FLIGHT, Fetched, Fetching
from pretrain_trainer.data.horizon import Horizon, Key, evicted
from pretrain_trainer.data.order import WINDOW_RECORDS
from pretrain_trainer.data.patience import PatientReads
from pretrain_trainer.data.quarantine import Quarantine
from pretrain_trainer.data.shared_blocks import SharedBlocks
from pretrain_trainer.data.source import Source

LEAST_BYTES = 64 << 20
WINDOWS_AHEAD = 3
"""Windows of every source that the budget holds: the one in use, and those that are fetched meanwhile."""


class Closed(Exception):
    """The reader was closed while it was waited for."""


def budget_of(sources: Sequence[Source]) -> int:
    """Bytes of blocks to keep: the windows of all sources, since each source is in the middle of one."""
    windows = sum(min(len(source.records), WINDOW_RECORDS) * source.record_bytes for source in sources)
    return max(LEAST_BYTES, WINDOWS_AHEAD * windows)


class FetchedBlocks:
    """Blocks by source and record. For one thread; `close` may come from another."""

    def __init__(
        self,
        sources: Mapping[int, Source],
        quarantine: Quarantine,
        budget: int | None = None,
        shared: SharedBlocks | None = None,
        cache: DiskCache | None = None,
    ) -> None:
        self._sources, self._quarantine, self._shared = sources, quarantine, shared
        self.budget = budget_of(list(sources.values())) if budget is None else budget
        self.patient = PatientReads()
        slots = asyncio.Semaphore(IN_FLIGHT)
        self._fetching = {n: Fetching(n, source, self.patient, slots, shared, cache) for n, source in sources.items()}
        self._horizon = Horizon()
        self._wanted: deque[Key] = deque()
        """Announced, and not yet asked for."""
        self._kept: OrderedDict[Key, Block] = OrderedDict()
        self._kept_bytes = 0
        self._coming: dict[Key, concurrent.futures.Future[Fetched]] = {}
        self._closed = False
        self._sample_bytes = max(source.width * source.dtype.itemsize for source in sources.values())

    @property
    def wants_more(self) -> bool:
        """Whether more of the future should be announced."""
        return (self._horizon.announced - self._horizon.passed) * self._sample_bytes < self.budget

    def announce(self, source: npt.NDArray[np.int64], record: npt.NDArray[np.int64]) -> None:
        """Tell which records the samples lie in that follow those announced before; those of other sources count as well."""
        self._wanted.extend(key for key in self._horizon.announce(source, record) if key[0] in self._sources)

    def pass_by(self, samples: int) -> None:
        """So many of the announced samples lie behind; what they needed may go, and more be fetched."""
        self._horizon.pass_by(samples)
        self._fetch_ahead()

    def get(self, source: int, records: Sequence[int]) -> list[Block]:
        """The blocks of records of one source, in their order. Waits for those that are still to come."""
        keys = [(source, record) for record in records]
        # Before this rank waits for what others of its machine fetch: they wait for what it fetches.
        self._fetch_ahead()
        self._request([key for key in keys if key not in self._kept and key not in self._coming])
        blocks = [self._block(key) for key in keys]
        self._shrink(frozenset(keys))
        return blocks

    def close(self) -> None:
        """Whoever waits for a block gets Closed."""
        self._closed = True
        if self._shared is not None:
            self._shared.close()

    def _fetch_ahead(self) -> None:
        for key in [k for k, f in self._coming.items() if f.done() and self._horizon.next_use(k) is None]:
            del self._coming[key]  # the samples of another rank
        self._shrink(frozenset())
        room = self.budget - self._kept_bytes - sum(self._sources[s].record_bytes for s, _ in self._coming)
        room += sum(block.bytes for key, block in self._kept.items() if self._horizon.next_use(key) is None)
        keys = []
        while self._wanted and room >= (size := self._sources[self._wanted[0][0]].record_bytes):
            key = self._wanted.popleft()
            if key in self._kept or key in self._coming or not self._is_mine(key):
                continue
            keys.append(key)
            room -= size
        self._request(keys)

    def _is_mine(self, key: Key) -> bool:
        """Whether this rank is the one of its machine that fetches a record ahead."""
        return self._shared is None or self._shared.is_mine(key)

    def _request(self, keys: Sequence[Key]) -> None:
        by_source: dict[int, list[int]] = {}
        for source, record in keys:
            by_source.setdefault(source, []).append(record)
        for source, records in by_source.items():
            for record, future in self._fetching[source].start(records).items():
                self._coming[source, record] = future

    def _block(self, key: Key) -> Block:
        if (block := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return block
        result = self._result(self._coming[key])
        del self._coming[key]
        if isinstance(result, Block):
            block = result
        else:
            source, (place, damage) = self._sources[key[0]], result
            shard = source.storage.uri(source.records.tar(place.shard))
            block = self._quarantine.replaced(source, key[1], place, shard, damage)
        self._kept[key] = block
        self._kept_bytes += block.bytes
        return block

    def _result(self, future: "concurrent.futures.Future[Fetched]") -> Fetched:
        while True:
            try:
                return future.result(timeout=0.2)
            except TimeoutError:
                if future.done():  # the read's own
                    raise
                if self._closed:
                    raise Closed from None

    def _shrink(self, spare: frozenset[Key]) -> None:
        if (too_many := self._kept_bytes - self.budget) > 0:
            kept = [(key, block.bytes) for key, block in self._kept.items()]
            for key in list(evicted(kept, too_many, self._horizon, spare)):
                self._kept_bytes -= self._kept.pop(key).bytes
