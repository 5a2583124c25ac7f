"""A source of images as an audit reads it: from the given tars, by what Encode wrote of which records are trained on."""

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import IO

import numpy as np

from pretrain_api.errors import PretrainError
from pretrain_api.image_shards import HELD_OUT, LEFT_OUT, ImageManifest
from pretrain_api.ledger import OrderedSource
from pretrain_api.samples import SampleManifest
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.findings import Difference, Place
from pretrain_trainer.auditing.sources import Int64s, Read
from pretrain_trainer.auditing.tars import Told, Unreadable, member_bytes, whole
from pretrain_trainer.data.npy import array_of
from pretrain_trainer.documents import locations, webdataset
from pretrain_trainer.indexing.names import split_name


@dataclass(frozen=True)
class ImageSource:
    """Its manifest, that of the given shards, and the records that are trained on."""

    ordered: OrderedSource
    manifest: ImageManifest
    storage: Storage
    """The folder of the given manifest."""
    given: SampleManifest
    trained: Int64s
    """[samples]: rising numbers of records."""

    @property
    def name(self) -> str:
        return self.ordered.name

    @property
    def size(self) -> int:
        return self.given.bytes

    def place(self, index: int) -> Place:
        """Shard and record in it of a sample."""
        record = int(self.trained[index])
        for shard in self.given.shards:
            if record < shard.records:
                return Place(source=self.name, shard=shard.name, record=record)
            record -= shard.records
        raise IndexError(f"source {self.name} has no sample {index}")

    def read(self, index: Int64s, told: Told) -> Iterator[Read | Difference]:
        """The samples of these rising numbers as far as they can be read, and what is wrong with the shards."""
        records = self.trained[index]
        bounds = [0, *accumulate(shard.records for shard in self.given.shards)]
        for shard, (first, end) in zip(self.given.shards, pairwise(bounds), strict=True):
            some = slice(*np.searchsorted(records, (first, end)))
            wanted = dict(zip((records[some] - first).tolist(), index[some].tolist(), strict=True))
            if not wanted:
                told(shard.bytes)
                continue
            found = 0
            try:
                with self._opened(shard.name) as file, whole(file, shard.sha256, told) as tar:
                    for found, members in enumerate(_records(tar, wanted), 1):
                        if (sample := wanted.get(found - 1)) is not None:
                            yield Read(sample, self._content(members))
                if found != shard.records:
                    raise Unreadable(f"it has {found} records where its manifest says {shard.records}")
            except Unreadable as error:
                yield Difference(str(error), Place(source=self.name, shard=shard.name))

    def _opened(self, name: str) -> IO[bytes]:
        try:
            if "://" not in name:
                return self.storage.fs.open(self.storage.path(name), "rb")  # type: ignore[no-any-return]
            fs, path = locations.file_system(name, name)
            return fs.open(path, "rb")  # type: ignore[no-any-return]
        except (OSError, PretrainError) as error:
            raise Unreadable(f"it cannot be read: {type(error).__name__}: {error}") from error

    def _content(self, members: dict[str, bytes]) -> bytes:
        """What training got of a record: the image's file, a zero byte and the caption."""
        image = next((members[name] for name in self.manifest.images if name in members), b"")
        field = self.manifest.caption
        caption = webdataset.field(members, (), field, "", 1 << 30) if field else ""
        return image + b"\0" + (caption.encode() if isinstance(caption, str) else b"")


def opened(storage: Storage, ordered: OrderedSource, manifest: ImageManifest) -> "ImageSource | Difference":
    """The source, or why it cannot be read: the given manifest is gone or another, or the lists of records do not fit it."""
    place = Place(source=ordered.name)
    folder, _, name = manifest.uri.rpartition("/")
    try:
        there = Storage(folder or ".", storage.endpoint_url)
        content = there.read_bytes(name)
        given = SampleManifest.model_validate_json(content)
        apart = [array_of(storage.read_bytes(f"{ordered.folder}/{one}")) for one in (HELD_OUT, LEFT_OUT)]
    except (OSError, ValueError) as error:  # pydantic's ValidationError is one
        return Difference(f"what its records are cannot be read: {type(error).__name__}: {error}", place)
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        return Difference(f"{manifest.uri} is not the manifest that Encode read", place)
    trained = np.setdiff1d(np.arange(given.records, dtype=np.int64), np.concatenate(apart))
    if len(trained) != manifest.train.samples:
        told = f"{HELD_OUT} and {LEFT_OUT} leave {len(trained)} records to train on where the manifest says"
        return Difference(f"{told} {manifest.train.samples}", place)
    return ImageSource(ordered, manifest, there, given, trained)


def _records(tar: tarfile.TarFile, wanted: "dict[int, int]") -> Iterator[dict[str, bytes]]:
    """The members of each record by name; without their content where the record is not wanted."""
    number, key, members = -1, None, dict[str, bytes]()
    for file in tar:
        parts = split_name(file.name) if file.isfile() else None
        if parts is None:
            continue
        if parts[0] != key:
            if key is not None:
                yield members
            number, key, members = number + 1, parts[0], {}
        members[parts[1]] = member_bytes(tar, file) if number in wanted else b""
    if key is not None:
        yield members
