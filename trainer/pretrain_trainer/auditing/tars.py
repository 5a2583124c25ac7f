"""The samples of a source, read from its tars with the standard library: no index, no reader of the training."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from pretrain_api.shards import Manifest, Shard
from pretrain_api.storage import Storage
from pretrain_trainer.data.npy import array_of

_BUFFER = 1 << 20


class Unreadable(Exception):
    """A shard that is missing, cut short or not what its manifest says."""


@dataclass(frozen=True)
class Record:
    """A record as it lies in the tar."""

    number: int
    """In the split."""
    tokens: npt.NDArray[np.integer[Any]]
    """[samples, sequence_length + 1]"""
    document_ids: npt.NDArray[np.int64]
    """[samples, sequence_length + 1]; from 0 in each sample, one more where a document or the padding begins."""
    valid: npt.NDArray[np.bool_]
    """[samples, sequence_length + 1]; False for padding."""


class _Passing(io.RawIOBase):
    """Passes on what is read and keeps its SHA-256."""

    def __init__(self, file: IO[bytes], told: Callable[[int], None]) -> None:
        self._file, self._told, self.digest = file, told, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.digest.update(content)
        self._told(len(content))
        return content


def shard_records(
    storage: Storage,
    folder: str,
    manifest: Manifest,
    shard: Shard,
    wanted: Callable[[int], bool],
    told: Callable[[int], None],
) -> Iterator[Record]:
    """The records of a shard for whose number `wanted` is true. All of the shard is read and its SHA-256 compared.

    `told` is called with each number of bytes read. Raises Unreadable.
    """
    first = sum(s.records for s in manifest.train.shards[: manifest.train.shards.index(shard)])
    path = f"{folder}/{shard.name}"
    documents: dict[str, npt.NDArray[np.integer[Any]]] = {}
    found = 0
    try:
        with storage.fs.open(storage.path(path), "rb") as file:
            passing = _Passing(file, told)
            with tarfile.open(fileobj=passing, mode="r|", bufsize=_BUFFER) as tar:
                for member in tar:
                    key, _, kind = member.name.partition(".")
                    if kind == "tokens.npy":
                        number, found = first + found, found + 1
                    if not wanted(first + found - (kind == "tokens.npy")):
                        continue
                    content = tar.extractfile(member)
                    array = array_of(content.read() if content else b"")
                    if kind == "documents.npy":
                        documents = {key: array}
                    elif kind == "tokens.npy":
                        yield _record(number, array, documents[key], manifest)
            while passing.read(_BUFFER):
                pass
    except (OSError, tarfile.TarError, ValueError, KeyError, EOFError) as error:
        raise Unreadable(f"it cannot be read: {type(error).__name__}: {error}") from error
    if found != shard.records:
        raise Unreadable(f"it has {found} records where its manifest says {shard.records}")
    if passing.digest.hexdigest() != shard.sha256:
        raise Unreadable("its SHA-256 is not that of its manifest")


def _record(
    number: int, tokens: npt.NDArray[np.integer[Any]], documents: npt.NDArray[np.integer[Any]], manifest: Manifest
) -> Record:
    width = manifest.sequence_length + 1
    before = number * manifest.samples_per_record * width
    valid = min(tokens.size, manifest.train.tokens - before)  # only the split's end is padded
    flags = np.zeros(tokens.size, dtype=np.int64)
    flags[documents] = 1
    flags[valid : valid + 1] = 1
    begins = flags.reshape(tokens.shape)
    begins[:, 0] = 0
    return Record(number, tokens, np.cumsum(begins, axis=1), (np.arange(tokens.size) < valid).reshape(tokens.shape))
