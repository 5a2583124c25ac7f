"""A checkpoint's payload: DCP's storage layer on the run's storage, with checksums and a JSON manifest.

`torch.distributed.checkpoint` plans who writes and reads what, whatever the world size; here its plans become one
file of raw little-endian tensors per rank and an index in `manifest.json`. Nothing is pickled, so a checkpoint from
elsewhere cannot run code, and every chunk has a crc32c that is compared as it is read.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
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

from pretrain_api.storage import Storage
from pretrain_trainer.training.payload_files import VERSION, read_chunk


@dataclass(frozen=True)
class _Extent:
    """Where a chunk of a tensor lies, as its writer saw it."""

    file: str
    start: int
    bytes: int
    crc32c: int


class PayloadWriter(StorageWriter):
    """Writes this rank's chunks into one file; on the coordinator, `manifest` holds the index after the save."""

    def __init__(self, storage: Storage, folder: str, rank: int) -> None:
        self._storage, self._folder = storage, folder
        self._name = f"rank-{rank:05d}.tensors"
        self.manifest: dict[str, Any] = {}
        self.bytes = 0
        """Written by this rank."""

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
        start, results = 0, list[WriteResult]()
        with self._storage.create(f"{self._folder}/{self._name}") as file:
            for item in plan.items:
                if item.type is WriteItemType.BYTE_IO:
                    raise TypeError(f"only tensors are saved, not {item.index.fqn}")
                content = _bytes_of(planner.resolve_data(item))
                file.write(content.data)
                extent = _Extent(self._name, start, len(content), google_crc32c.value(content))
                results.append(WriteResult(item.index, len(content), extent))
                start += len(content)
        self.bytes = start
        done.set_result(results)
        return done

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        extents = {_key(r.index): r.storage_data for rank in results for r in rank}
        tensors = {}
        for name, tensor in metadata.state_dict_metadata.items():
            assert isinstance(tensor, TensorStorageMetadata)
            chunks = []
            for chunk in tensor.chunks:
                extent = extents[name, tuple(chunk.offsets)]
                chunks.append({"offsets": list(chunk.offsets), "sizes": list(chunk.sizes), **asdict(extent)})
            tensors[name] = {
                "dtype": str(tensor.properties.dtype).removeprefix("torch."),
                "shape": list(tensor.size),
                "chunks": chunks,
            }
        self.manifest = {"version": VERSION, "tensors": tensors}

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return False


class PayloadReader(StorageReader):
    """Reads chunks that a manifest lists. CorruptCheckpoint, on every rank, where one is not what was written."""

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
            content = read_chunk(self._storage, self._folder, chunk)
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


def _key(index: MetadataIndex) -> tuple[str, tuple[int, ...]]:
    """A chunk's name. A tensor that is not divided has one chunk, at the origin, which DCP leaves out for scalars."""
    return index.fqn, tuple(index.offset or ())


def _bytes_of(tensor: Any) -> npt.NDArray[np.uint8]:
    """The bytes where they lie: a copy of them took longer than to write them."""
    content: npt.NDArray[np.uint8] = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
    return content
