"""Records of shards that others wrote, by number or one after the other, each held against the checksums of its index.

What is in a member is not looked at here; `decoded` gives it to webdataset's decoders, images to our own.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from fsspec.asyn import get_loop, sync
from fsspec.implementations.local import LocalFileSystem

from pretrain_api.errors import PretrainError, UserError
from pretrain_api.samples import SampleManifest, SampleShard, index_dtype, kind_of
from pretrain_api.storage import Storage
from pretrain_trainer.data import manifest_file
from pretrain_trainer.data.kept import Kept
from pretrain_trainer.data.npy import array_of
from pretrain_trainer.data.patience import PatientReads
from pretrain_trainer.data.remote import part
from pretrain_trainer.documents import locations
from pretrain_trainer.documents.faults import patiently, reading
from pretrain_trainer.indexing.names import shown
from pretrain_trainer.storage_faults import StorageUnavailable

if TYPE_CHECKING:
    from PIL.Image import Image

_SPAN_BYTES = 8 << 20
"""Of one request for records that follow each other."""
_S3 = ("s3://", "s3a://")
_INDEX_BYTES = 256 << 20
"""Of indexes that are kept: at some 80 bytes for an image with a caption those of three million records. Read in random
order, shards whose index is not kept cost a request for all of it with each record."""


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


@dataclass(frozen=True)
class _Opened:
    """What reading the records of a shard takes."""

    rows: npt.NDArray[np.void]
    begins: npt.NDArray[np.int64]
    """[records]: first byte of each."""
    ends: npt.NDArray[np.int64]
    """[records]: the byte behind the last of each."""
    members: tuple[tuple[str, str, str, str], ...]
    """Name, and the fields of offset, length and checksum."""
    address: str
    fs: Any
    path: str
    is_local: bool

    @property
    def bytes(self) -> int:
        return int(self.rows.nbytes + self.begins.nbytes + self.ends.nbytes)


class SampleShards:
    """The shards of a manifest. For any number of threads; each index is read once, by the first that needs it, and not
    taken along into other processes."""

    def __init__(
        self,
        uri: str,
        endpoint_url: str = "",
        where: str = "",
        index_bytes: int = _INDEX_BYTES,
        patient: PatientReads | None = None,
    ) -> None:
        """`uri` is that of manifest.json; `where` is the field that names it. UserError where it cannot be read.

        `patient` repeats requests of records for minutes, and those that are late at once, and counts them; without it a
        fault is waited for as long as a person waits.
        """
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
        self._first = [0, *accumulate(shard.records for shard in parsed.shards)]
        self._opened: Kept[_Opened] = Kept(index_bytes)
        self._patient = patient
        self._beside = self.storage.asking_once() if patient else self.storage
        self._buckets: dict[str, Storage] = {}
        """Others than the manifest's, whose requests `patient` repeats."""

    def __len__(self) -> int:
        return self.manifest.records

    def read(self, record: int) -> Sample:
        """The record of that number, in one request. IndexError where there is none, DamagedRecord for a wrong checksum."""
        shard, inside = self.place(record)
        opened = self._open(shard)
        content, start = self._span(opened, inside, inside + 1)
        return self._sample(opened, inside, content, start)

    def members(self, record: int, names: Collection[str]) -> Sample:
        """The record of that number with those of its members alone, in one request. Raises what `read` raises."""
        shard, inside = self.place(record)
        opened = self._open(shard)
        row = opened.rows[inside]
        wanted = tuple(member for member in opened.members if member[0] in names and row[member[1]])
        places = [(int(row[offset]), int(row[offset]) + int(row[length])) for _, offset, length, _ in wanted]
        start, end = min((first for first, _ in places), default=0), max((last for _, last in places), default=0)
        content = self._content(opened, start, end) if places else b""
        return self._sample(replace(opened, members=wanted), inside, content, start)

    def place(self, record: int) -> tuple[int, int]:
        """The shard of a record, and its number there. IndexError where there is none."""
        if not 0 <= record < len(self):
            raise IndexError(f"{self.uri} has records 0 to {len(self) - 1}, not {record}")
        shard = bisect_right(self._first, record) - 1
        return shard, record - self._first[shard]

    def scan(self, shard: int) -> Iterator[Sample]:
        """The records of a shard, in order. Raises DamagedRecord at the first with a wrong checksum."""
        opened = self._open(shard)
        begins, ends = opened.begins.tolist(), opened.ends.tolist()
        first = 0
        for number in range(1, len(ends) + 1):
            if number == len(ends) or ends[number] - begins[first] > _SPAN_BYTES:
                content, start = self._span(opened, first, number)
                for one in range(first, number):
                    yield self._sample(opened, one, content, start)
                first = number

    def decoded(self, record: int) -> dict[str, Any]:
        """The record as webdataset's decoders give it, images as PIL images by ours. UserError for what cannot be decoded."""
        import webdataset
        from webdataset.autodecode import Decoder

        sample = self.read(record)
        fields = {"__key__": sample.key, "__url__": sample.shard, **sample.members}
        try:
            return dict(Decoder([_image, webdataset.imagehandler("pil")])(fields))
        except Exception as error:
            what = f"record {sample.key!r} cannot be decoded: {error.__cause__ or error}."
            raise UserError(
                "record-broken", sample.shard, what, "Repair the file in the tar, or leave it out."
            ) from error

    def address(self, shard: int) -> str:
        """Of a tar."""
        name = self.manifest.shards[shard].name
        return name if "://" in name else self.storage.uri(name)

    def index(self, shard: int) -> npt.NDArray[np.void]:
        """The rows of a shard. UserError where the index is missing or not that of the shard."""
        return self._open(shard).rows

    def _open(self, shard: int) -> _Opened:
        return self._opened.get(shard, self._open_first)

    def _open_first(self, shard: int) -> _Opened:
        of, address = self.manifest.shards[shard], self.address(shard)
        rows = self._read_index(of)
        members = tuple((name, f"{name}.offset", f"{name}.length", f"{name}.crc32c") for name in of.members)
        begins, ends = np.full(len(rows), np.iinfo(np.int64).max), np.zeros(len(rows), dtype=np.int64)
        for _, offset, length, _ in members:
            offsets = rows[offset].astype(np.int64)
            np.minimum(begins, offsets, where=offsets > 0, out=begins)
            np.maximum(ends, offsets + rows[length].astype(np.int64), out=ends)
        if ends.max(initial=0) > of.bytes or (begins > ends).any() or ends.min(initial=0) < 0:
            what = f"it leads outside of its tar of {of.bytes} bytes"
            raise _other_index(self.storage.uri(of.index), what)
        fs, path = self._file_system(of.name)
        is_local = isinstance(fs, LocalFileSystem)
        return _Opened(rows, begins, ends, members, address, fs, path, is_local)

    def _file_system(self, name: str) -> tuple[Any, str]:
        """Of a tar, and its path there."""
        if "://" not in name:
            return self._beside.fs, self._beside.path(name)
        if not self._patient or not name.startswith(_S3):
            return locations.file_system(name, self._where)
        bucket = "/".join(name.split("/", 3)[:3])
        if (place := self._buckets.get(bucket)) is None:
            place = self._buckets[bucket] = Storage(bucket).asking_once()
        return place.fs, place.path(name.removeprefix(f"{bucket}/"))

    def _read_index(self, shard: SampleShard) -> npt.NDArray[np.void]:
        uri = self.storage.uri(shard.index)
        with reading(self._where, uri):
            content = self.storage.read_bytes(shard.index)
        try:
            rows = array_of(content)
        except ValueError as error:
            raise _other_index(uri, f"it cannot be read: {error}") from error
        expected = index_dtype(1, shard.members).names
        if rows.dtype.names != expected or rows.shape != (shard.records,):
            raise _other_index(uri, f"it has {rows.size} records of other members than the manifest says")
        for name, member in shard.members.items():
            told = int((rows[f"{name}.offset"] > 0).sum()), int(rows[f"{name}.length"].sum())
            if told != (member.records, member.bytes):
                raise _other_index(
                    uri,
                    f"it counts {told[0]} members {name} of {told[1]} bytes where the manifest says {member.records} of "
                    f"{member.bytes}",
                )
        if (samples := int(rows["samples"].sum())) != shard.samples:
            raise _other_index(uri, f"it counts {samples} samples where the manifest says {shard.samples}")
        return rows

    def _span(self, opened: _Opened, first: int, last: int) -> tuple[bytes, int]:
        """What lies in the tar from record `first` to that before `last`, by one request, and its first byte's place."""
        start, end = int(opened.begins[first]), int(opened.ends[last - 1])
        return self._content(opened, start, end), start

    def _content(self, opened: _Opened, start: int, end: int) -> bytes:
        if self._patient is None or opened.is_local:
            return patiently(lambda: self._asked(opened, start, end))
        where = f"{self._where}: bytes {start} to {end} of {opened.address}"
        try:
            found = sync(get_loop(), self._patient.read, where, lambda: part(opened.fs, opened.path, start, end))
        except StorageUnavailable:
            raise
        except Exception:
            with reading(self._where, opened.address):  # says what it knows of in our words, and passes on the rest
                raise
        self._patient.counts.bytes += len(found.content)
        return bytes(found.content)

    def _asked(self, opened: _Opened, start: int, end: int) -> bytes:
        """By one request, asked once."""
        with reading(self._where, opened.address):
            if not opened.is_local:
                return bytes(opened.fs.cat_file(opened.path, start=start, end=end))
            # What fsspec and io do on the way to the same bytes takes longer than reading them, and each of their calls of
            # the system hands the interpreter to another thread.
            file = os.open(opened.path, os.O_RDONLY)
            try:
                content = os.pread(file, end - start, start)
                while len(content) < end - start:  # one call gives two gigabytes at most
                    if not (more := os.pread(file, end - start - len(content), start + len(content))):
                        break
                    content += more
                return content
            finally:
                os.close(file)

    def _sample(self, opened: _Opened, number: int, content: bytes, start: int) -> Sample:
        row, found = opened.rows[number], dict[str, bytes]()
        try:
            key = bytes(row["key"]).decode()
        except UnicodeDecodeError as error:
            raise DamagedRecord(f"{opened.address}, record {number}: the index has a key that is not UTF-8") from error
        for name, offset_field, length_field, checksum_field in opened.members:
            offset, length = int(row[offset_field]), int(row[length_field])
            if not offset:
                continue
            payload = content[offset - start : offset - start + length]
            if len(payload) != length:
                raise DamagedRecord(
                    f"{opened.address}, record {number} ({shown(key)}), {shown(name)}: the file ends before it; it was cut short"
                )
            if (checksum := google_crc32c.value(payload)) != (expected := int(row[checksum_field])):
                raise DamagedRecord(
                    f"{opened.address}, record {number} ({shown(key)}), {shown(name)}: crc32c is {checksum:08x} where the index says "
                    f"{expected:08x}; the file is damaged or was overwritten"
                )
            found[name] = payload
        return Sample(opened.address, number, key, int(row["samples"]), found)


def _image(key: str, content: bytes) -> Image | None:
    """A decoder of webdataset's kind; None for what is no image."""
    from pretrain_trainer.data import images  # with Pillow, which readers of tokens have no use for

    return images.decoded(content) if kind_of(key) == "image" else None


def _other_index(uri: str, why: str) -> UserError:
    return UserError("index-broken", uri, f"{why}.", "Index the shards again with `pretrain index`.")
