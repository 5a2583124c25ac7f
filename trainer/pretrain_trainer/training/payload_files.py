"""The files of a checkpoint's payload: raw little-endian tensors back to back, and `manifest.json`, which says where each
lies and what its checksum is. No torch here."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import google_crc32c
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from pretrain_api import layout
from pretrain_api.errors import PretrainError
from pretrain_api.storage import Storage

VERSION = 2
_READS = 3
"""Of a chunk whose bytes are not those that were written, before its file counts as damaged: a fault on the way passes."""
_READ_BYTES = 16 << 20

Chunk = dict[str, Any]
"""`file`, `start` and `bytes` say where it lies; `crc32c` is its checksum; `offsets` and `sizes`, its part of the tensor."""


class CorruptCheckpoint(PretrainError):
    """A payload's files are not the bytes that were written."""


class OtherVersion(PretrainError):
    """A payload was written by another version of this program."""


_Natural = Annotated[int, Field(ge=0, strict=True)]


class _Chunk(BaseModel):
    model_config = ConfigDict(extra="forbid")

    file: Annotated[str, Field(pattern=r"^rank-\d{5,}\.tensors$")]
    """In the payload's folder: nothing outside is read or removed because of what a manifest says."""
    start: _Natural
    bytes: _Natural
    crc32c: _Natural
    offsets: list[_Natural]
    sizes: list[_Natural]


class _Tensor(BaseModel):
    model_config = ConfigDict(extra="forbid")

    dtype: Literal[
        "float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int64", "int32", "int16", "int8",
        "uint8", "bool",
    ]  # fmt: skip
    shape: list[_Natural]
    chunks: list[_Chunk]

    @model_validator(mode="after")
    def _chunks_make_it_up(self) -> Self:
        if sum(math.prod(chunk.sizes) for chunk in self.chunks) != math.prod(self.shape):
            raise ValueError("the chunks of a tensor are not as many elements as its shape")
        return self


class _Manifest(BaseModel):
    version: int
    tensors: dict[str, _Tensor]
    position: dict[str, int | dict[str, float]]


_MANIFESTS = TypeAdapter(_Manifest)


def write_manifest(storage: Storage, folder: str, manifest: dict[str, Any]) -> str:
    """Write the payload's manifest, its last file; returns its SHA-256."""
    content = json.dumps(manifest, indent=1, sort_keys=True).encode()
    storage.write_bytes(f"{folder}/{layout.MANIFEST}", content)
    return hashlib.sha256(content).hexdigest()


def read_manifest(storage: Storage, folder: str, sha256: str) -> dict[str, Any]:
    """The payload's manifest. Raises CorruptCheckpoint when it is missing or not the one that was committed."""
    try:
        content = storage.read_bytes(f"{folder}/{layout.MANIFEST}")
    except FileNotFoundError as error:
        raise CorruptCheckpoint(f"{folder}/{layout.MANIFEST} is missing") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CorruptCheckpoint(f"{folder}/{layout.MANIFEST} is not the one that was committed")
    try:
        manifest: dict[str, Any] = json.loads(content)
        if (version := manifest["version"]) != VERSION:
            raise OtherVersion(f"{folder} has format version {version}; this program reads {VERSION}")
        _MANIFESTS.validate_python(manifest)
    except (ValueError, TypeError, KeyError) as error:  # pydantic's ValidationError is a ValueError
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else repr(error)
        raise CorruptCheckpoint(f"{folder}/{layout.MANIFEST} is no manifest of a checkpoint: {reason}") from error
    return manifest


def read_chunk(storage: Storage, folder: str, chunk: Chunk) -> bytes:
    """The bytes of a chunk. Raises CorruptCheckpoint with the file's name when they stay other ones than were written."""
    name = f"{folder}/{chunk['file']}"
    start, end = chunk["start"], chunk["start"] + chunk["bytes"]
    problem = ""
    for _ in range(_READS):
        try:
            content = bytes(storage.fs.cat_file(storage.path(name), start=start, end=end)) if end > start else b""
        except FileNotFoundError as error:
            raise CorruptCheckpoint(f"{name} is missing") from error
        if len(content) != chunk["bytes"]:
            problem = f"{name} ends before byte {end}"
        elif google_crc32c.value(content) != chunk["crc32c"]:
            problem = _other_bytes(name, chunk)
        else:
            return content
    raise CorruptCheckpoint(problem)


def chunks_of(manifest: dict[str, Any]) -> list[Chunk]:
    """All chunks, file by file as they lie."""
    chunks = [chunk for tensor in manifest["tensors"].values() for chunk in tensor["chunks"]]
    # One without elements begins where its neighbour does.
    return sorted(chunks, key=lambda chunk: (chunk["file"], chunk["start"], chunk["bytes"]))


def verify(storage: Storage, folder: str, manifest: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Read every byte once. Yields each file's name and size once it is found whole; raises CorruptCheckpoint."""
    by_file: dict[str, list[Chunk]] = {}
    for chunk in chunks_of(manifest):
        by_file.setdefault(chunk["file"], []).append(chunk)
    for name, chunks in by_file.items():
        yield name, _verify_file(storage, f"{folder}/{name}", chunks)


def remove_payload(storage: Storage, folder: str, sha256: str) -> None:
    """Remove a payload by the names that its manifest has: a store is not asked what there is."""
    if storage.is_local:
        storage.remove(folder)
        return
    try:
        names = {chunk["file"] for chunk in chunks_of(read_manifest(storage, folder, sha256))}
    except PretrainError:  # a damaged one
        storage.remove(folder)
        return
    storage.remove_files([f"{folder}/{layout.MANIFEST}", *(f"{folder}/{name}" for name in sorted(names))])


def _verify_file(storage: Storage, name: str, chunks: list[Chunk]) -> int:
    if chunks[0]["start"] or any(one["start"] + one["bytes"] != other["start"] for one, other in pairwise(chunks)):
        raise CorruptCheckpoint(f"{name} has bytes that the manifest does not name")
    try:
        with storage.fs.open(storage.path(name), "rb") as file:
            for chunk in chunks:
                checksum = 0
                for size in _portions(chunk["bytes"]):
                    content = file.read(size)
                    if len(content) != size:
                        raise CorruptCheckpoint(f"{name} ends before byte {chunk['start'] + chunk['bytes']}")
                    checksum = google_crc32c.extend(checksum, content)
                if checksum != chunk["crc32c"]:
                    raise CorruptCheckpoint(_other_bytes(name, chunk))
            if file.read(1):
                raise CorruptCheckpoint(f"{name} is longer than it was written")
            return int(file.tell())
    except FileNotFoundError as error:
        raise CorruptCheckpoint(f"{name} is missing") from error


def _other_bytes(name: str, chunk: Chunk) -> str:
    start, end = chunk["start"], chunk["start"] + chunk["bytes"]
    return f"{name} does not have the checksum it was written with at bytes {start} to {end}"


def _portions(size: int) -> Iterable[int]:
    return (min(_READ_BYTES, size - begin) for begin in range(0, size, _READ_BYTES))
