"""A source of tokens as an audit reads it: from the tars of Encode, or of the job whose shards they are."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pretrain_api.ledger import OrderedSource
from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.findings import Difference, Place
from pretrain_trainer.auditing.sources import Int64s, Read
from pretrain_trainer.auditing.tars import Told, Unreadable
from pretrain_trainer.auditing.token_tars import Record, shard_records


@dataclass(frozen=True)
class TokenSource:
    """Its manifest and where its shards lie."""

    storage: Storage
    ordered: OrderedSource
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.ordered.name

    @property
    def size(self) -> int:
        return sum(shard.bytes for shard in self.manifest.train.shards)

    def place(self, index: int) -> Place:
        """Shard, record in it and slot of a sample."""
        record, slot = divmod(index, self.manifest.samples_per_record)
        for shard in self.manifest.train.shards:
            if record < shard.records:
                return Place(source=self.name, shard=shard.name, record=record, slot=slot)
            record -= shard.records
        raise IndexError(f"source {self.name} has no sample {index}")

    def read(self, index: Int64s, told: Told) -> Iterator[Read | Difference]:
        """The samples of these rising numbers as far as they can be read, and what is wrong with the shards."""
        per_record = self.manifest.samples_per_record
        needed = np.unique(index // per_record)
        storage, folder = self.storage.at(self.manifest.folder or self.ordered.folder)
        first = 0
        for shard in self.manifest.train.shards:
            records = set(needed[(needed >= first) & (needed < first + shard.records)].tolist())
            first += shard.records
            if not records:
                told(shard.bytes)
                continue
            try:
                for record in shard_records(storage, folder, self.manifest, shard, records.__contains__, told):
                    begin = record.number * per_record
                    low, high = np.searchsorted(index, (begin, begin + len(record.tokens)))
                    yield from _samples(record, begin, index[low:high])
            except Unreadable as error:
                yield Difference(str(error), Place(source=self.name, shard=shard.name))


def _samples(record: Record, begin: int, index: Int64s) -> Iterator[Read]:
    tokens, ids = record.tokens.astype("<u4"), record.document_ids.astype("<u4")
    valid = record.valid.astype(np.uint8)
    for number in index.tolist():
        slot = number - begin
        yield Read(number, tokens[slot].tobytes() + ids[slot].tobytes() + valid[slot].tobytes())
