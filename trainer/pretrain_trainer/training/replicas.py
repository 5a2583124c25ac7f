"""Whether replicas that should hold the same state do, bit for bit: silent data corruption, and whose it is.

Replicas begin alike, add the same gradients and take the same steps, so any difference is a fault of a machine. A bit that
flips spreads over all replicas with the next gradients, so nothing after it can be trusted, whoever is to blame; what was
compared and saved before can.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from pretrain_trainer.training.world import World

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By the size of an element in bytes."""
_MODULUS = 1 << 64


@dataclass(frozen=True)
class Held:
    """What a rank holds."""

    part: int
    """Of the sharded state."""
    digest: int
    host: str


def digest(tensors: Iterable[Tensor]) -> int:
    """A number that another value of any single bit would change: the sums of the elements' bits as whole numbers, of
    each tensor times its place from 1. Of DTensors the local part."""
    sums = []
    for tensor in tensors:
        local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
        bits = local.detach().contiguous().reshape(-1).view(_BITS[local.element_size()])
        sums.append(bits.sum(dtype=torch.int64).cpu())
    return sum(place * int(each) for place, each in enumerate(sums, 1)) % _MODULUS


def odd_ones(held: Sequence[Held]) -> list[int]:
    """The ranks whose part is another than that of most of their replicas; all replicas of a part where there is no most;
    nobody where all are alike."""
    odd: list[int] = []
    for part in sorted({each.part for each in held}):
        ranks = [rank for rank, each in enumerate(held) if each.part == part]
        counts = Counter(held[rank].digest for rank in ranks)
        (most, count), *others = counts.most_common()
        if others:
            odd += ranks if 2 * count <= len(ranks) else [rank for rank in ranks if held[rank].digest != most]
    return odd


def corrupted(tensors: Iterable[Tensor], world: World) -> str:
    """Whose state differs, in words; empty where all replicas are alike. All ranks call it together."""
    if world.replicas == 1:
        return ""
    part = world.mesh.get_local_rank("shard") if world.mesh else 0
    held = world.gather(Held(part, digest(tensors), socket.gethostname()))
    odd = odd_ones(held)
    return ", ".join(f"rank {rank} on {held[rank].host}" for rank in odd)
