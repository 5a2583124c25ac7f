"""From records to blocks through ranged reads: many in flight, each repeated until its bytes have the right checksum.

Runs on fsspec's event loop, in one thread of its own. What to fetch when is decided in pretrain_trainer.data.fetched.
"""

import asyncio
import concurrent.futures
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from fsspec.asyn import get_loop

from pretrain_trainer.data.blocks import Block, Bytes, Damage, check, decoded
from pretrain_trainer.data.disk_cache import DiskCache
from pretrain_trainer.data.indexes import CorruptShard, Indexes, Place
from pretrain_trainer.data.patience import PatientReads
from pretrain_trainer.data.ranges import Range, ranges
from pretrain_trainer.data.remote import Part, RangedReads
from pretrain_trainer.data.shared_blocks import SharedBlocks
from pretrain_trainer.data.source import Source

IN_FLIGHT = 16
"""Ranged reads at once."""
_READS_OF_DAMAGED = 3
"""How often a record is read before its bytes are called damaged: a fault on the way passes, one in the store stays."""
_PATIENCE_WITH_OTHERS_SECONDS = 2.0
"""For a record that another rank of the machine fetches; then this rank fetches it, too."""
_POLL_SECONDS = 0.005

Fetched = Block | tuple[Place, Damage]
"""A block, or where one lies that stayed damaged, and how."""


class Fetching:
    """Fetches the records of one source. Methods with an underscore run on the event loop."""

    def __init__(
        self,
        number: int,
        source: Source,
        patient: PatientReads,
        slots: asyncio.Semaphore,
        shared: SharedBlocks | None,
        cache: DiskCache | None,
    ) -> None:
        self._number, self._source, self._shared, self._cache = number, source, shared, cache
        self._reads = RangedReads(source.storage)
        self._patient, self._slots = patient, slots
        self._indexes = Indexes(source.records)
        self._index_reads: dict[int, asyncio.Task[npt.NDArray[np.void]]] = {}

    def start(self, records: Sequence[int]) -> dict[int, "concurrent.futures.Future[Fetched]"]:
        """Begin to fetch records, those wanted first in front; what will hold each of them."""
        results = {record: concurrent.futures.Future[Fetched]() for record in records}
        by_shard: dict[int, list[int]] = {}
        for record, shard in zip(records, self._source.records.shard_of(records).tolist(), strict=True):
            by_shard.setdefault(shard, []).append(record)
        for shard, some in by_shard.items():
            asyncio.run_coroutine_threadsafe(self._shard(shard, {r: results[r] for r in some}), get_loop())
        return results

    async def _shard(self, shard: int, wanted: dict[int, "concurrent.futures.Future[Fetched]"]) -> None:
        try:
            index = await self._index(shard)
            places = [(record, self._indexes.place(record, index)) for record in wanted]
            others = [(r, p) for r, p in places if self._shared and not self._shared.is_mine((self._number, r))]
            mine = [item for item in places if item not in others] if others else places
            await asyncio.gather(
                self._places(mine, wanted, 0.0), self._places(others, wanted, _PATIENCE_WITH_OTHERS_SECONDS)
            )
        except Exception as error:  # noqa: BLE001 - carried to whoever waits for a record
            for future in wanted.values():
                if not future.done():
                    future.set_exception(error)

    async def _places(
        self,
        places: Sequence[tuple[int, Place]],
        wanted: dict[int, "concurrent.futures.Future[Fetched]"],
        patience: float,
    ) -> None:
        """Records from the folder that the ranks share, where they come within so many seconds, from the cache on disk,
        else from the store."""
        if self._shared is not None or self._cache is not None:
            blocks = await asyncio.gather(*(self._near_block(record, place, patience) for record, place in places))
            for (record, _), block in zip(places, blocks, strict=True):
                if block is not None:
                    wanted[record].set_result(block)
            places = [item for item, block in zip(places, blocks, strict=True) if block is None]
        await asyncio.gather(*(self._range(part, wanted) for part in ranges(places)))

    async def _near_block(self, record: int, place: Place, patience: float) -> Block | None:
        """A record that is on this machine and whole."""
        key, until = (self._number, record), time.monotonic() + patience
        if self._shared is not None:
            # Another rank's process writes the file; no event of ours tells when.
            while (content := await asyncio.to_thread(self._shared.get, key)) is None and time.monotonic() < until:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)
            if content is not None and (block := self._whole(content, place)):
                return block
        if self._cache is not None and (content := await asyncio.to_thread(self._cache.get, key)) is not None:
            if block := self._whole(content, place):
                if self._shared is not None:
                    await asyncio.to_thread(self._shared.put, key, content)
                return block
            self._patient.counts.faults += 1
        return None

    def _whole(self, content: Bytes, place: Place) -> Block | None:
        try:
            check(content, place)
            return decoded(content, place, self._source.width, self._source.dtype)
        except Damage:
            return None

    async def _index(self, shard: int) -> npt.NDArray[np.void]:
        if (index := self._indexes.get(shard)) is not None:
            return index
        if shard not in self._index_reads:
            self._index_reads[shard] = asyncio.ensure_future(self._read_index(shard))
        try:
            return await self._index_reads[shard]
        finally:
            self._index_reads.pop(shard, None)

    async def _read_index(self, shard: int) -> npt.NDArray[np.void]:
        path = self._source.records.idx(shard)
        part = await self._ask("index", path)
        return self._indexes.add(shard, part.content, self._reads.uri(path))

    async def _range(self, part: Range, wanted: dict[int, "concurrent.futures.Future[Fetched]"]) -> None:
        content = await self._bytes(part.shard, part.start, part.end)
        for record, place in part.places:
            own = content[place.start - part.start : place.end - part.start]
            # A copy, as a part of a long range would keep all of it in memory.
            result = await self._checked(record, place, own.copy() if len(part.places) > 1 else own)
            if not wanted[record].done():
                wanted[record].set_result(result)

    async def _checked(self, record: int, place: Place, content: Bytes) -> Fetched:
        """The block, from bytes that are read again where they are damaged."""
        for attempt in range(_READS_OF_DAMAGED):
            try:
                check(content, place)
                block = decoded(content, place, self._source.width, self._source.dtype)
            except Damage as damage:
                if attempt == _READS_OF_DAMAGED - 1:
                    return place, damage
                self._patient.counts.faults += 1
                content = await self._bytes(place.shard, place.start, place.end)
                continue
            for near in (self._shared, self._cache):
                if near is not None:
                    await asyncio.to_thread(near.put, (self._number, record), content)
            return block
        raise AssertionError("unreachable")

    async def _bytes(self, shard: int, start: int, end: int) -> Bytes:
        path, expected = self._source.records.tar(shard), self._source.records.shards[shard].bytes
        part = await self._ask("shard", path, start, end)
        self._patient.counts.bytes += len(part.content)
        if part.size is not None and part.size != expected:
            raise CorruptShard(
                f"shard {self._reads.uri(path)} has {part.size} bytes where the manifest says {expected}; it was cut short "
                "or replaced. Restore it, or make the shards again."
            )
        if len(part.content) != end - start and part.size is None:
            raise CorruptShard(f"shard {self._reads.uri(path)} ends before byte {end}, which its index leads to")
        return np.frombuffer(part.content, dtype=np.uint8)

    async def _ask(self, what: str, path: str, start: int | None = None, end: int | None = None) -> Part:
        uri = self._reads.uri(path)
        where = uri if start is None else f"bytes {start} to {end} of {uri}"
        try:
            async with self._slots:
                return await self._patient.read(
                    f"spec.storage.uri: {where}", lambda: self._reads.read(path, start, end)
                )
        except FileNotFoundError as error:
            if type(error.__cause__).__name__ == "NoSuchBucket":  # the whole bucket is gone
                raise
            raise CorruptShard(f"{what} {uri} is missing") from error
        except OSError as error:
            if "InvalidRange" in str(getattr(error.__cause__, "response", "")):
                raise CorruptShard(f"{what} {uri} ends before byte {end}, which its index leads to") from error
            raise
