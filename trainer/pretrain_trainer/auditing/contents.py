"""What the steps read, computed again from the shards and held against the digests of the ledger."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash
from pydantic import ValidationError

from pretrain_api import layout
from pretrain_api.ledger import BLOCKS, DataOrder, OrderedSource
from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.findings import Difference, Place
from pretrain_trainer.auditing.ledger import Line, digests
from pretrain_trainer.auditing.tars import Record, Unreadable, shard_records
from pretrain_trainer.data.order import Mixture, locate

PASS_SAMPLES = 1 << 23
"""Samples that are looked for in one pass over the shards, some 30 bytes of memory each."""

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SourceShards:
    """A source's manifest and where its shards lie."""

    ordered: OrderedSource
    manifest: Manifest

    def place(self, index: int) -> tuple[str, int, int]:
        """Shard, record in it and slot of a sample."""
        record, slot = divmod(index, self.manifest.samples_per_record)
        for shard in self.manifest.train.shards:
            if record < shard.records:
                return shard.name, record, slot
            record -= shard.records
        raise IndexError(f"source {self.ordered.name} has no sample {index}")


def read_manifests(storage: Storage, order: DataOrder) -> Iterator[SourceShards | Difference]:
    """The manifests that the training read, or why one cannot be taken."""
    for source in order.sources:
        path, place = f"{source.folder}/{layout.MANIFEST}", Place(source=source.name)
        try:
            content = storage.read_bytes(path)
            manifest = Manifest.model_validate_json(content)
        except FileNotFoundError:
            yield Difference(f"{path} is missing", place)
        except ValidationError as error:
            yield Difference(f"{path} cannot be read: {error.errors()[0]['msg']}", place)
        else:
            if hashlib.sha256(content).hexdigest() != source.manifest_sha256:
                yield Difference(f"{path} is not the manifest that training began with", place)
            told = (manifest.train.samples, manifest.samples_per_record, manifest.sequence_length)
            if told != (source.samples, source.samples_per_record, order.sequence_length):
                yield Difference(f"{path} describes other samples than those that training began with", place)
            else:
                yield SourceShards(source, manifest)


def chosen_steps(steps: Sequence[int], share: float) -> list[int]:
    """A share of the steps, evenly spread, the last one always among them."""
    return list(steps)[:: -max(1, round(1 / share))][::-1]


class Contents:
    """The digests of some steps, added up shard by shard."""

    def __init__(self, lines: Sequence[Line], order: DataOrder, mix: Mixture) -> None:
        """`lines` by rising step."""
        self._lines, self._size = lines, order.global_batch_size
        self._firsts = np.array([(line.step - 1) * self._size for line in lines], dtype=np.int64)
        self._g = (self._firsts[:, None] + np.arange(self._size)).reshape(-1)
        self._source, _, self._index = locate(mix, self._g)
        stand_ins = np.array([g for line in lines for g in line.read.stand_ins], dtype=np.int64)
        self._counts = ~np.isin(self._g, stand_ins)
        bounds = np.arange(1, BLOCKS) * self._size // BLOCKS
        self._block = np.searchsorted(bounds, np.arange(self._size), side="right")
        self._sums = np.zeros((len(lines), BLOCKS), dtype=np.uint64)
        self._unread: set[int] = set()
        self.samples = 0
        """Samples whose content was read."""

    def add_source(
        self, storage: Storage, number: int, shards: SourceShards, told: Callable[[int], None]
    ) -> Iterator[Difference]:
        """Read what the steps have of a source; differences are those of the shards themselves."""
        mine = np.flatnonzero((self._source == number) & self._counts)
        mine = mine[np.argsort(self._index[mine], kind="stable")]
        index, per_record = self._index[mine], shards.manifest.samples_per_record
        needed = np.unique(index // per_record)
        place, folder = storage.at(shards.manifest.folder or shards.ordered.folder)
        first = 0
        for shard in shards.manifest.train.shards:
            records = set(needed[(needed >= first) & (needed < first + shard.records)].tolist())
            first += shard.records
            if not records:
                told(shard.bytes)
                continue
            try:
                manifest = shards.manifest
                for record in shard_records(place, folder, manifest, shard, records.__contains__, told):
                    begin = record.number * per_record
                    low, high = np.searchsorted(index, (begin, begin + len(record.tokens)))
                    self._add(record, mine[low:high], index[low:high] - begin)
                    records.discard(record.number)
            except Unreadable as error:
                yield Difference(str(error), Place(source=shards.ordered.name, shard=shard.name))
            for lost in records:
                self._unread |= set(mine[index // per_record == lost].tolist())

    def _add(self, record: Record, rows: Int64s, slots: Int64s) -> None:
        tokens, ids = record.tokens.astype("<u4"), record.document_ids.astype("<u4")
        valid = record.valid.astype(np.uint8)
        found = [
            xxhash.xxh3_64_intdigest(tokens[slot].tobytes() + ids[slot].tobytes() + valid[slot].tobytes(), g)
            for slot, g in zip(slots.tolist(), self._g[rows].tolist(), strict=True)
        ]
        steps, positions = np.divmod(rows, self._size)
        np.add.at(self._sums, (steps, self._block[positions]), np.array(found, dtype=np.uint64))
        self.samples += len(rows)

    def differences(self, sources: Sequence[SourceShards]) -> Iterator[Difference]:
        """Where the ledger has other digests, by rising position; parts that could not be read whole are left out."""
        unread = {(row // self._size, int(self._block[row % self._size])) for row in self._unread}
        for number, line in enumerate(self._lines):
            for block in np.flatnonzero(digests(line) != self._sums[number]).tolist():
                if (number, block) not in unread:
                    yield self._difference(number, line, block, sources)

    def _difference(self, number: int, line: Line, block: int, sources: Sequence[SourceShards]) -> Difference:
        offsets = np.flatnonzero(self._block == block)
        row = number * self._size + int(offsets[0]) if len(offsets) else number * self._size
        source = sources[int(self._source[row])]
        shard, record, slot = source.place(int(self._index[row]))
        g = int(self._g[row])
        which = f"one of samples {g} to {g + len(offsets) - 1}" if len(offsets) > 1 else "the sample"
        what = (
            f"{which} was read with another content: the ledger has digest {line.read.digests[block]}, "
            f"the shards give {int(self._sums[number, block]):016x}"
        )
        return Difference(what, Place(line.step, g, source.ordered.name, shard, record, slot))
