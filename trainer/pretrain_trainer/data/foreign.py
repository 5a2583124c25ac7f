"""Records of shards that others wrote, by number or one after the other, each held against the checksums of its index.

What is in a member is not looked at here; `decoded` gives it to webdataset's decoders.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from pretrain_api.errors import PretrainError, UserError
from pretrain_api.samples import SampleManifest, SampleShard, index_dtype
from pretrain_trainer.data import manifest_file
from pretrain_trainer.documents import locations
from pretrain_trainer.documents.faults import patiently, reading

_SPAN_BYTES = 8 << 20
"""Of one request for records that follow each other."""
_INDEXES = 64
"""Indexes that are kept."""


class DamagedRecord(PretrainError):
    """A record is not what its index says: its tar was cut short, overwritten or damaged."""

    kind = "CorruptShard"


@dataclass(frozen=True)
class Sample:
    """A record with the bytes of its members; those that it lacks are not there."""

    shard: str
    """Address of the tar."""
    number: int
    """Of the record in the shard."""
    key: str
    samples: int
    members: dict[str, bytes]


class SampleShards:
    """The shards of a manifest. For one thread at a time."""

    def __init__(self, uri: str, endpoint_url: str = "", where: str = "") -> None:
        """`uri` is that of manifest.json; `where` is the field that names it. UserError where it cannot be read."""
        self.uri, self._where = uri, where or uri
        file = manifest_file.read(uri, endpoint_url, where)
        self.storage, parsed = file.storage, file.manifest
        if not isinstance(parsed, SampleManifest):
            raise UserError(
                "manifest-kind",
                self._where,
                f"{uri} is a manifest of token shards that Encode wrote.",
                "Write the address of a manifest.json that `pretrain index` wrote.",
            )
        self.manifest: SampleManifest = parsed
        self._first = np.cumsum([0, *(shard.records for shard in parsed.shards)])
        self._indexes: OrderedDict[int, npt.NDArray[np.void]] = OrderedDict()

    def __len__(self) -> int:
        return self.manifest.records

    def read(self, record: int) -> Sample:
        """The record of that number, in one request. IndexError where there is none, DamagedRecord for a wrong checksum."""
        if not 0 <= record < len(self):
            raise IndexError(f"{self.uri} has records 0 to {len(self) - 1}, not {record}")
        shard = int(np.searchsorted(self._first, record, side="right")) - 1
        inside = record - int(self._first[shard])
        (sample,) = self._span(shard, inside, inside + 1)
        return sample

    def scan(self, shard: int) -> Iterator[Sample]:
        """The records of a shard, in order. Raises DamagedRecord at the first with a wrong checksum."""
        rows = self.index(shard)
        begins, ends = self._extents(shard)
        first = 0
        for number in range(1, len(rows) + 1):
            if number == len(rows) or ends[number] - begins[first] > _SPAN_BYTES:
                yield from self._span(shard, first, number)
                first = number

    def decoded(self, record: int) -> dict[str, Any]:
        """The record as webdataset's decoders give it, images as PIL images. UserError for what cannot be decoded."""
        import webdataset
        from webdataset.autodecode import Decoder

        sample = self.read(record)
        fields = {"__key__": sample.key, "__url__": sample.shard, **sample.members}
        try:
            return dict(Decoder([webdataset.imagehandler("pil")])(fields))
        except Exception as error:
            what = f"record {sample.key!r} cannot be decoded: {error}."
            raise UserError(
                "record-broken", sample.shard, what, "Repair the file in the tar, or leave it out."
            ) from error

    def address(self, shard: int) -> str:
        """Of a tar."""
        name = self.manifest.shards[shard].name
        return name if "://" in name else self.storage.uri(name)

    def index(self, shard: int) -> npt.NDArray[np.void]:
        """The rows of a shard. UserError where the index is missing or not that of the shard."""
        if shard not in self._indexes:
            self._indexes[shard] = self._read_index(self.manifest.shards[shard])
            if len(self._indexes) > _INDEXES:
                self._indexes.popitem(last=False)
        return self._indexes[shard]

    def _read_index(self, shard: SampleShard) -> npt.NDArray[np.void]:
        uri = self.storage.uri(shard.index)
        with reading(self._where, uri):
            content = self.storage.read_bytes(shard.index)
        try:
            rows = np.load(io.BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise _other_index(uri, f"it cannot be read: {error}") from error
        expected = index_dtype(1, shard.members).names
        if rows.dtype.names != expected or rows.shape != (shard.records,):
            raise _other_index(uri, f"it has {rows.size} records of other members than the manifest says")
        return np.asarray(rows)

    def _extents(self, shard: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """First byte of each record, and the one behind its last, int64 [records] each."""
        rows, names = self.index(shard), list(self.manifest.shards[shard].members)
        offsets = np.stack([rows[f"{name}.offset"] for name in names]).astype(np.int64)
        lengths = np.stack([rows[f"{name}.length"] for name in names]).astype(np.int64)
        begins = np.where(offsets > 0, offsets, np.iinfo(np.int64).max).min(axis=0)
        return begins, (offsets + lengths).max(axis=0)

    def _span(self, shard: int, first: int, last: int) -> Iterator[Sample]:
        begins, ends = self._extents(shard)
        start, address, of = int(begins[first]), self.address(shard), self.manifest.shards[shard]
        fs, path = locations.file_system(address, self._where) if "://" in of.name else (self.storage.fs, "")
        path = path or self.storage.path(of.name)

        def fetch() -> bytes:
            with reading(self._where, address):
                return bytes(fs.cat_file(path, start=start, end=int(ends[last - 1])))

        content = patiently(fetch)
        for number, row in enumerate(self.index(shard)[first:last], first):
            key, found = bytes(row["key"]).decode(), dict[str, bytes]()
            for name in of.members:
                offset, length = int(row[f"{name}.offset"]), int(row[f"{name}.length"])
                if not offset:
                    continue
                payload = content[offset - start : offset - start + length]
                if len(payload) != length:
                    raise DamagedRecord(
                        f"{address}, record {number} ({key}), {name}: the file ends before it; it was cut short"
                    )
                if (checksum := google_crc32c.value(payload)) != int(row[f"{name}.crc32c"]):
                    raise DamagedRecord(
                        f"{address}, record {number} ({key}), {name}: crc32c is {checksum:08x} where the index says "
                        f"{int(row[f'{name}.crc32c']):08x}; the file is damaged or was overwritten"
                    )
                found[name] = payload
            yield Sample(address, number, key, int(row["samples"]), found)


def _other_index(uri: str, why: str) -> UserError:
    return UserError("index-broken", uri, f"{why}.", "Index the shards again with `pretrain index`.")
