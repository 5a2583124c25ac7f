"""A checkpoint's payload: DCP's storage layer on the run's storage, with checksums and a JSON manifest.

`torch.distributed.checkpoint` plans who writes and reads what, whatever the world size; here its plans become one
file of raw little-endian tensors per rank and an index in `manifest.json`. Nothing is pickled, so a checkpoint from
elsewhere cannot run code, and every file has a size and a crc32c that are checked before anything is used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import google_crc32c
import torch
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, SavePlan, SavePlanner, WriteItemType
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from pretrain_api import layout
from pretrain_api.errors import PretrainError
from pretrain_api.storage import Storage

_READ_BYTES = 16 << 20
VERSION = 1


class CorruptCheckpoint(PretrainError):
    """A payload's files are not the bytes that were written."""


@dataclass(frozen=True)
class File:
    """A file of the payload, as its writer saw it."""

    name: str
    bytes: int
    crc32c: int


@dataclass(frozen=True)
class _Extent:
    """Where a chunk of a tensor lies."""

    file: File
    offset: int
    bytes: int


class PayloadWriter(StorageWriter):
    """Writes this rank's chunks into one file; on the coordinator, `manifest` holds the index after the save."""

    def __init__(self, storage: Storage, folder: str, rank: int) -> None:
        self._storage, self._folder = storage, folder
        self._name = f"rank-{rank:05d}.tensors"
        self.manifest: dict[str, Any] = {}

    def reset(self, checkpoint_id: Any = None) -> None:
        pass

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        pass

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        return plans

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        done: Future[list[WriteResult]] = Future()
        if not plan.items:
            done.set_result([])
            return done
        checksum, offset, extents = 0, 0, []
        with self._storage.create(f"{self._folder}/{self._name}") as file:
            for item in plan.items:
                if item.type is WriteItemType.BYTE_IO:
                    raise TypeError(f"only tensors are saved, not {item.index.fqn}")
                content = _bytes_of(planner.resolve_data(item))
                file.write(content)
                checksum = google_crc32c.extend(checksum, content)
                extents.append((item.index, offset, len(content)))
                offset += len(content)
        written = File(self._name, offset, checksum)
        done.set_result([WriteResult(index, size, _Extent(written, start, size)) for index, start, size in extents])
        return done

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        extents = {_key(r.index): r.storage_data for rank in results for r in rank}
        tensors = {}
        for name, tensor in metadata.state_dict_metadata.items():
            assert isinstance(tensor, TensorStorageMetadata)
            chunks = []
            for chunk in tensor.chunks:
                extent = extents[name, tuple(chunk.offsets)]
                chunks.append(
                    {
                        "offsets": list(chunk.offsets),
                        "sizes": list(chunk.sizes),
                        "file": extent.file.name,
                        "start": extent.offset,
                        "bytes": extent.bytes,
                    }
                )
            tensors[name] = {
                "dtype": str(tensor.properties.dtype).removeprefix("torch."),
                "shape": list(tensor.size),
                "chunks": chunks,
            }
        files = {extent.file.name: extent.file for extent in extents.values()}
        self.manifest = {
            "version": VERSION,
            "files": [asdict(files[name]) for name in sorted(files)],
            "tensors": tensors,
        }

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return False


class PayloadReader(StorageReader):
    """Reads chunks that a manifest lists."""

    def __init__(self, storage: Storage, folder: str, manifest: dict[str, Any]) -> None:
        self._storage, self._folder = storage, folder
        self._tensors: dict[str, Any] = manifest["tensors"]

    def reset(self, checkpoint_id: Any = None) -> None:
        pass

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        return Metadata(
            {
                name: TensorStorageMetadata(
                    TensorProperties(dtype=getattr(torch, tensor["dtype"])),
                    torch.Size(tensor["shape"]),
                    [ChunkStorageMetadata(torch.Size(c["offsets"]), torch.Size(c["sizes"])) for c in tensor["chunks"]],
                )
                for name, tensor in self._tensors.items()
            }
        )

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        pass

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        chunks = {
            (name, tuple(chunk["offsets"])): (tensor["dtype"], chunk)
            for name, tensor in self._tensors.items()
            for chunk in tensor["chunks"]
        }
        for item in plan.items:
            dtype, chunk = chunks[_key(item.storage_index)]
            path = self._storage.path(f"{self._folder}/{chunk['file']}")
            content = self._storage.fs.cat_file(path, start=chunk["start"], end=chunk["start"] + chunk["bytes"])
            tensor = torch.frombuffer(bytearray(content), dtype=getattr(torch, dtype)).reshape(chunk["sizes"])
            for dimension, (start, length) in enumerate(zip(item.storage_offsets, item.lengths, strict=True)):
                tensor = tensor.narrow(dimension, start, length)
            target = planner.resolve_tensor(item).detach()
            target.copy_(tensor)
            planner.commit_tensor(item, target)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return False


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


def verify(storage: Storage, folder: str, files: Iterable[dict[str, Any]]) -> None:
    """Read files whole and compare size and checksum. Raises CorruptCheckpoint with the file's name."""
    for expected in files:
        name = f"{folder}/{expected['name']}"
        checksum, size = 0, 0
        try:
            with storage.fs.open(storage.path(name), "rb") as file:
                while block := file.read(_READ_BYTES):
                    checksum = google_crc32c.extend(checksum, block)
                    size += len(block)
        except FileNotFoundError as error:
            raise CorruptCheckpoint(f"{name} is missing") from error
        if size != expected["bytes"]:
            raise CorruptCheckpoint(f"{name} has {size} bytes instead of {expected['bytes']}")
        if checksum != expected["crc32c"]:
            raise CorruptCheckpoint(f"{name} does not have the checksum it was written with")


def _key(index: MetadataIndex) -> tuple[str, tuple[int, ...]]:
    """A chunk's name. A tensor that is not divided has one chunk, at the origin, which DCP leaves out for scalars."""
    return index.fqn, tuple(index.offset or ())


def _bytes_of(tensor: Any) -> bytes:
    return bytes(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
