"""The samples of a source of tokens, read from its tars: no index, no reader of the training."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pretrain_api.shards import Manifest, Shard
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.tars import Told, Unreadable, member_bytes, whole
from pretrain_trainer.data.npy import array_of


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


def shard_records(
    storage: Storage,
    folder: str,
    manifest: Manifest,
    shard: Shard,
    wanted: Callable[[int], bool],
    told: Told,
) -> Iterator[Record]:
    """The records of a shard for whose number `wanted` is true. All of the shard is read and its SHA-256 compared.

    `told` is called with each number of bytes read. Raises Unreadable.
    """
    first = sum(s.records for s in manifest.train.shards[: manifest.train.shards.index(shard)])
    documents: dict[str, npt.NDArray[np.integer[Any]]] = {}
    found = 0
    try:
        file = storage.fs.open(storage.path(f"{folder}/{shard.name}"), "rb")
    except OSError as error:
        raise Unreadable(f"it cannot be read: {type(error).__name__}: {error}") from error
    with file, whole(file, shard.sha256, told) as tar:
        for member in tar:
            key, _, kind = member.name.partition(".")
            if kind == "tokens.npy":
                number, found = first + found, found + 1
            if not wanted(first + found - (kind == "tokens.npy")):
                continue
            array = array_of(member_bytes(tar, member))
            if kind == "documents.npy":
                documents = {key: array}
            elif kind == "tokens.npy":
                yield _record(number, array, documents[key], manifest)
    if found != shard.records:
        raise Unreadable(f"it has {found} records where its manifest says {shard.records}")


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
