"""Blocks of shards on local storage, by memory-mapping: no copy is made and the system keeps what is in memory."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pretrain_trainer.data.blocks import Block, Bytes, Damage, check, decoded
from pretrain_trainer.data.horizon import Key
from pretrain_trainer.data.indexes import CorruptShard, Indexes
from pretrain_trainer.data.quarantine import Quarantine
from pretrain_trainer.data.source import Source

_BLOCKS = 4096
"""Decoded blocks that are kept; views, which take no memory of their own."""
_MAPS = 256
"""Shards that are mapped at once. Each takes a file descriptor, of which a process may have 1,024 by default."""


class MappedBlocks:
    """Blocks by source and record. The checksum of each is compared when it is first used."""

    def __init__(self, sources: Sequence[Source], quarantine: Quarantine) -> None:
        self._sources, self._quarantine = sources, quarantine
        self._indexes = [Indexes(source.records) for source in sources]
        self._checked = [np.zeros(len(source.records), dtype=np.bool_) for source in sources]
        self._blocks: OrderedDict[Key, Block] = OrderedDict()
        self._maps: OrderedDict[tuple[int, int], Bytes] = OrderedDict()

    def get(self, source: int, records: Sequence[int]) -> list[Block]:
        """The blocks of records of one source, in their order."""
        found = []
        for record in records:
            block = self._blocks.get((source, record))
            if block is None:
                block = self._blocks[source, record] = self._read(source, record)
                if len(self._blocks) > _BLOCKS:
                    self._blocks.popitem(last=False)
            found.append(block)
        return found

    def _read(self, source: int, record: int) -> Block:
        of = self._sources[source]
        shard = int(of.records.shard_of(record))
        index = self._indexes[source].get(shard)
        if index is None:
            index = self._read_index(source, shard)
        place = self._indexes[source].place(record, index)
        content = self._map(source, shard)[place.start : place.end]
        try:
            if not self._checked[source][record]:
                check(content, place)
                self._checked[source][record] = True
            return decoded(content, place, of.width, of.dtype)
        except Damage as damage:
            return self._quarantine.replaced(of, record, place, of.storage.path(of.records.tar(shard)), damage)

    def _read_index(self, source: int, shard: int) -> npt.NDArray[np.void]:
        storage, path = self._sources[source].storage, self._sources[source].records.idx(shard)
        try:
            content = storage.read_bytes(path)
        except FileNotFoundError as error:
            raise CorruptShard(f"index {storage.uri(path)} is missing") from error
        return self._indexes[source].add(shard, content, storage.uri(path))

    def _map(self, source: int, shard: int) -> Bytes:
        if (mapped := self._maps.get((source, shard))) is not None:
            self._maps.move_to_end((source, shard))
            return mapped
        records = self._sources[source].records
        path, expected = self._sources[source].storage.path(records.tar(shard)), records.shards[shard].bytes
        try:
            mapped = np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray)
        except (FileNotFoundError, ValueError) as error:  # ValueError: an empty file cannot be mapped
            raise CorruptShard(f"shard {path} is missing or empty") from error
        if len(mapped) != expected:  # reading behind a file's end would kill the process
            raise CorruptShard(f"shard {path} has {len(mapped)} bytes where the manifest says {expected}")
        self._maps[source, shard] = mapped
        if len(self._maps) > _MAPS:
            self._maps.popitem(last=False)
            self._blocks.clear()  # views keep their shard mapped
        return mapped
