"""The ranks that train together: process groups, device, the mesh of replicas and shards, agreement between ranks.

Numbers that ranks agree on travel over Gloo on the CPU, so that no agreement waits for a GPU.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from pretrain_api.errors import UserError
from pretrain_api.nouns import noun
from pretrain_trainer.agent.board import Phase, at
from pretrain_trainer.training import rendezvous

_COLLECTIVE_TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True)
class World:
    """This rank's place among the others."""

    rank: int
    size: int
    device: torch.device
    mesh: DeviceMesh | None
    """[replicas, shards] when the model is sharded, else None."""
    control: dist.ProcessGroup
    """Gloo group for agreement."""
    saving: dist.ProcessGroup
    """Gloo group for the thread that writes checkpoints; collectives of two threads must not share a group."""

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def replicas(self) -> int:
        """How many ranks hold the same state."""
        return self.size // (self.mesh.size(1) if self.mesh else 1)

    def sum(self, values: Sequence[float]) -> list[float]:
        """Element-wise sums over the ranks, in float64."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        with at(Phase.TOGETHER):
            dist.all_reduce(tensor, group=self.control)
        return tensor.tolist()

    def gather(self, value: Any) -> list[Any]:
        """Everybody's value, by rank."""
        values: list[Any] = [None] * self.size
        with at(Phase.TOGETHER):
            dist.all_gather_object(values, value, group=self.control)
        return values

    def from_first(self, value: Any) -> Any:
        """Rank 0's value."""
        return self.from_rank(0, value)

    def from_rank(self, rank: int, value: Any) -> Any:
        """The value of that rank."""
        values = [value]
        with at(Phase.TOGETHER):
            dist.broadcast_object_list(values, src=rank, group=self.control)
        return values[0]


def ranks_of_machine(world: World) -> range:
    """The ranks that were started on this rank's machine; they are neighbours."""
    first = world.rank - int(os.environ.get("LOCAL_RANK", "0"))
    return range(first, first + int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@contextlib.contextmanager
def join(shard: int) -> Iterator[World]:
    """Join the ranks that the agent or torchrun started, or stand alone where neither did. Raises UserError when `shard` does not fit."""
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if size % shard:
        raise UserError(
            "shard-not-dividing-world",
            "spec.training.parallelism.shard",
            f"shard is {shard}, but {size} {noun(size, 'rank trains', 'ranks train')}.",
            "Write a number that divides workers x processesPerWorker.",
        )
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
    store = rendezvous.store(rank, size)
    dist.init_process_group(backend, timeout=_COLLECTIVE_TIMEOUT, store=store, rank=rank, world_size=size)
    try:
        mesh = None
        if shard > 1:
            mesh = init_device_mesh(device.type, (size // shard, shard), mesh_dim_names=("replicate", "shard"))
        yield World(rank, size, device, mesh, _gloo(), _gloo())
    finally:
        dist.destroy_process_group()


def _gloo() -> dist.ProcessGroup:
    group = dist.new_group(backend="gloo")
    assert isinstance(group, dist.ProcessGroup)
    return group
