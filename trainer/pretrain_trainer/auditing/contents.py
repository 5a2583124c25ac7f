"""What the steps read, computed again from the shards and held against the digests of the ledger."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import xxhash
from pydantic import TypeAdapter, ValidationError

from pretrain_api import layout
from pretrain_api.image_shards import ImageManifest
from pretrain_api.ledger import BLOCKS, DataOrder
from pretrain_api.shards import Manifest
from pretrain_api.storage import Storage
from pretrain_trainer.auditing import image_source
from pretrain_trainer.auditing.findings import ABSENT, Difference, Place
from pretrain_trainer.auditing.ledger import Line, digests
from pretrain_trainer.auditing.sources import Source
from pretrain_trainer.auditing.tars import Told
from pretrain_trainer.auditing.token_source import TokenSource
from pretrain_trainer.data.order import Mixture, locate

PASS_SAMPLES = 1 << 23
"""Samples that are looked for in one pass over the shards, some 30 bytes of memory each."""
_TOGETHER = 1 << 14
"""Digests that are added up at once."""
_MANIFESTS: TypeAdapter[Manifest | ImageManifest] = TypeAdapter(Manifest | ImageManifest)


def sources(storage: Storage, order: DataOrder) -> Iterator[Source | Difference]:
    """The sources as the training read them, or why one cannot be taken."""
    for source in order.sources:
        path, place = f"{source.folder}/{layout.MANIFEST}", Place(source=source.name)
        try:
            content = storage.read_bytes(path)
            manifest = _MANIFESTS.validate_json(content)
        except ABSENT:
            yield Difference(f"{path} is missing", place)
            continue
        except ValidationError as error:
            yield Difference(f"{path} cannot be read: {error.errors()[0]['msg']}", place)
            continue
        if hashlib.sha256(content).hexdigest() != source.manifest_sha256:
            yield Difference(f"{path} is not the manifest that training began with", place)
        length = manifest.sequence_length if isinstance(manifest, Manifest) else 0
        told = (manifest.train.samples, manifest.samples_per_record, length)
        if told != (source.samples, source.samples_per_record, order.sequence_length):
            yield Difference(f"{path} describes other samples than those that training began with", place)
        elif isinstance(manifest, Manifest):
            yield TokenSource(storage, source, manifest)
        else:
            yield image_source.opened(storage, source, manifest)


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

    def add_source(self, number: int, source: Source, told: Told) -> Iterator[Difference]:
        """Read what the steps have of a source; differences are those of the shards themselves."""
        mine = np.flatnonzero((self._source == number) & self._counts)
        mine = mine[np.argsort(self._index[mine], kind="stable")]
        index = self._index[mine]
        is_read = np.zeros(len(mine), dtype=np.bool_)
        rows, hashed = list[int](), list[int]()
        for found in source.read(np.unique(index), told):
            if isinstance(found, Difference):
                yield found
                continue
            low, high = np.searchsorted(index, (found.index, found.index + 1))
            is_read[low:high] = True
            for row in mine[low:high].tolist():  # as often as the steps came by it
                rows.append(row)
                hashed.append(xxhash.xxh3_64_intdigest(found.content, int(self._g[row])))
            if len(rows) >= _TOGETHER:
                self._add(rows, hashed)
                rows, hashed = [], []
        self._add(rows, hashed)
        self._unread |= set(mine[~is_read].tolist())

    def _add(self, rows: Sequence[int], hashed: Sequence[int]) -> None:
        steps, positions = np.divmod(np.array(rows, dtype=np.int64), self._size)
        np.add.at(self._sums, (steps, self._block[positions]), np.array(hashed, dtype=np.uint64))
        self.samples += len(rows)

    def differences(self, sources: Sequence[Source]) -> Iterator[Difference]:
        """Where the ledger has other digests, by rising position; parts that could not be read whole are left out."""
        unread = {(row // self._size, int(self._block[row % self._size])) for row in self._unread}
        for number, line in enumerate(self._lines):
            for block in np.flatnonzero(digests(line) != self._sums[number]).tolist():
                if (number, block) not in unread:
                    yield self._difference(number, line, block, sources)

    def _difference(self, number: int, line: Line, block: int, sources: Sequence[Source]) -> Difference:
        offsets = np.flatnonzero(self._block == block)
        row = number * self._size + int(offsets[0]) if len(offsets) else number * self._size
        source = sources[int(self._source[row])]
        g = int(self._g[row])
        which = f"one of samples {g} to {g + len(offsets) - 1}" if len(offsets) > 1 else "the sample"
        what = (
            f"{which} was read with another content: the ledger has digest {line.read.digests[block]}, "
            f"the shards give {int(self._sums[number, block]):016x}"
        )
        return Difference(what, replace(source.place(int(self._index[row])), step=line.step, g=g))
