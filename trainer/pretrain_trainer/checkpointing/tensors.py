"""Whole checkpoints in memory, and how two of them differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pretrain_api.storage import Storage
from pretrain_trainer.checkpointing.catalogue import Entry
from pretrain_trainer.training.payload_files import read_chunk, read_manifest


@dataclass(frozen=True)
class Difference:
    """Of one tensor between two checkpoints, in float64."""

    name: str
    elements: int
    changed: int
    greatest: float
    """Greatest absolute difference of an element."""
    relative: float
    """L2 norm of the difference over that of the first tensor; infinite where the first one is zero."""


def manifest_of(storage: Storage, entry: Entry) -> dict[str, Any]:
    """Raises CorruptCheckpoint."""
    return read_manifest(storage, entry.commit.data, entry.commit.manifest_sha256)


def read_tensor(storage: Storage, entry: Entry, manifest: dict[str, Any], name: str) -> Tensor:
    """A tensor put together from its chunks. Raises CorruptCheckpoint."""
    described = manifest["tensors"][name]
    dtype = getattr(torch, described["dtype"])
    whole = torch.empty(described["shape"], dtype=dtype)
    for chunk in described["chunks"]:
        content = read_chunk(storage, entry.commit.data, chunk)
        part = whole
        for dimension, (start, size) in enumerate(zip(chunk["offsets"], chunk["sizes"], strict=True)):
            part = part.narrow(dimension, start, size)
        if content:
            part.copy_(torch.frombuffer(bytearray(content), dtype=dtype).reshape(chunk["sizes"]))
    return whole


def differences(storage: Storage, first: Entry, second: Entry) -> Iterator[Difference | str]:
    """Of every tensor that both have and that differs, by name; a sentence for each that only one has, or of another shape."""
    one, other = manifest_of(storage, first), manifest_of(storage, second)
    for name in sorted(one["tensors"].keys() | other["tensors"].keys()):
        if name not in one["tensors"] or name not in other["tensors"]:
            owner = first if name in one["tensors"] else second
            yield f"{name} is in step {owner.commit.step} alone"
        elif one["tensors"][name]["shape"] != other["tensors"][name]["shape"]:
            yield f"{name} has shape {one['tensors'][name]['shape']} and {other['tensors'][name]['shape']}"
        elif found := _difference(
            name, read_tensor(storage, first, one, name), read_tensor(storage, second, other, name)
        ):
            yield found


def _difference(name: str, first: Tensor, second: Tensor) -> Difference | None:
    if torch.equal(first.view(-1).view(torch.uint8), second.view(-1).view(torch.uint8)):
        return None
    before, after = first.to(torch.float64), second.to(torch.float64)
    apart = (after - before).abs()
    norm = float(before.norm())
    relative = float(apart.norm()) / norm if norm else float("inf")
    return Difference(name, first.numel(), int((apart != 0).sum()), float(apart.max()), relative)
