"""The files of a checkpoint's payload: raw little-endian tensors back to back, and `manifest.json`, which says where each
lies and what its checksum is. No torch here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import google_crc32c

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
    manifest: dict[str, Any] = json.loads(content)
    if manifest["version"] != VERSION:
        raise PretrainError(f"{folder} has format version {manifest['version']}; this program reads {VERSION}")
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
            problem = f"{name} does not have the checksum it was written with at bytes {start} to {end}"
        else:
            return content
    raise CorruptCheckpoint(problem)


def chunks_of(manifest: dict[str, Any]) -> list[Chunk]:
    """All chunks, file by file as they lie."""
    chunks = [chunk for tensor in manifest["tensors"].values() for chunk in tensor["chunks"]]
    return sorted(chunks, key=lambda chunk: (chunk["file"], chunk["start"]))


def verify(storage: Storage, folder: str, manifest: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Read every byte once. Yields each file's name and size once it is found whole; raises CorruptCheckpoint."""
    by_file: dict[str, list[Chunk]] = {}
    for chunk in chunks_of(manifest):
        by_file.setdefault(chunk["file"], []).append(chunk)
    for name, chunks in by_file.items():
        yield name, _verify_file(storage, f"{folder}/{name}", chunks)


def remove_payload(storage: Storage, folder: str, sha256: str) -> None:
    """Remove a payload by the names that its manifest has: a store is not asked what there is."""
    try:
        names = {chunk["file"] for chunk in chunks_of(read_manifest(storage, folder, sha256))}
    except PretrainError:  # a damaged one
        storage.remove(folder)
        return
    storage.remove_files([f"{folder}/{layout.MANIFEST}", *(f"{folder}/{name}" for name in sorted(names))])
    if storage.is_local:
        storage.remove(folder)


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
                    raise CorruptCheckpoint(
                        f"{name} does not have the checksum it was written with at bytes {chunk['start']} to "
                        f"{chunk['start'] + chunk['bytes']}"
                    )
            if file.read(1):
                raise CorruptCheckpoint(f"{name} is longer than it was written")
            return int(file.tell())
    except FileNotFoundError as error:
        raise CorruptCheckpoint(f"{name} is missing") from error


def _portions(size: int) -> Iterable[int]:
    whole, rest = divmod(size, _READ_BYTES)
    return [*[_READ_BYTES] * whole, *([rest] if rest else [])]
