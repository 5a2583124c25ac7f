"""The newest state in memory that outlives the rank: what ranks that are started again in place go on from.

The agent holds the memory (a `memfd`, which has no name and goes with the agent) and hands it to each rank that it
forks. Two slots take turns, so that one is whole whenever the process dies. Where every rank holds the same state, the
machine keeps it once. A copy is made at a step boundary as often as costs half a percent of the time: at every step of a
small model, every few seconds of a large one.

When the roster changes, ranks that have no such state, or one that the others do not share, get it from a replica that
has: from the memory of another machine.
"""

from __future__ import annotations

import logging
import mmap
import os
import pickle
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from pretrain_api.commits import Commit
from pretrain_trainer.agent.place import ENV_MEMORY
from pretrain_trainer.machine_memory import available_bytes
from pretrain_trainer.training.checkpoints import Position
from pretrain_trainer.training.history import StepFigures
from pretrain_trainer.training.world import World

_LOGGER = logging.getLogger(__name__)
_MOST_OF_THE_TIME = 0.005
"""Share of the time that copying may take. More would cost more than the steps that are lost with an older copy, at the rate at
which thousands of machines fail (benchmarks/elastic/goodput.py)."""
_MOST_OF_THE_MEMORY = 0.5
"""Share of the memory that is free at the start that the slots may take."""
_PAGE = 4096
_HEADER = struct.Struct("<qqq")
"""Of a slot: whether it is whole, its step, and the bytes of what belongs to it beside the tensors."""
_NOTES_BYTES = 64 << 20
"""Room for that. Memory that is never written costs nothing."""
_Name = tuple[int, int]
"""What a state is called: the start of training that came to it, and its step."""


@dataclass(frozen=True)
class Notes:
    """What belongs to a state beside the tensors."""

    position: Position
    figures: tuple[StepFigures, ...]
    """Of the steps that no commit was known to hold."""
    start: int
    """The start of training that came to this state. Two of the same step may differ in the last bits when the starts
    before them were of different sizes."""
    part: tuple[int, int]
    """Which part of the state it is, and of how many."""


class Snapshots:
    """This rank's view of the memory. Every rank makes one and calls the same methods in the same order."""

    def __init__(self, descriptor: int | None, tensors: Sequence[Tensor], world: World, *, is_shared: bool) -> None:
        """`tensors`: the state itself, the same ones in the same order at every start; of a DTensor the local part is
        kept. `is_shared`: whether all ranks of the machine hold the same state, so that the first one writes for all."""
        self._world = world
        self._writes = not is_shared or os.environ.get("LOCAL_RANK", "0") == "0"
        self._tensors = [t.to_local() if isinstance(t, DTensor) else t for t in tensors]
        self._slot_bytes = -(-sum(t.nbytes for t in self._tensors) // _PAGE) * _PAGE
        self._part = (world.mesh.get_local_rank("shard"), world.mesh.size(1)) if world.mesh else (0, 1)
        self._due, self._last_seconds = 0.0, float("inf")
        self._turn = 0
        writers = 1 if is_shared else int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        needed = 2 * self._slot_bytes * writers
        self._memory: mmap.mmap | None = None
        if descriptor is not None:
            self._memory = _mapped(descriptor, 2 * (_PAGE + self._slot_bytes + _NOTES_BYTES))
            held = os.fstat(descriptor).st_blocks * 512  # from the start before
            has_room = needed <= _MOST_OF_THE_MEMORY * (available_bytes() + held)
            if world.sum([not has_room])[0]:
                self._memory = None
                if world.is_first:
                    _LOGGER.info(
                        "no copies of the state in memory: their %d MiB are most of what is free", needed >> 20
                    )

    def is_due(self) -> bool:
        """Whether the time since the last copy is worth another."""
        return self._memory is not None and time.monotonic() >= self._due

    def keep(self, position: Position, figures: Sequence[StepFigures], start: int) -> None:
        """Copy the state at this position into the older slot. `start`: number of this start of training."""
        if self._memory is None or not self._writes:
            return
        began = time.monotonic()
        notes = pickle.dumps(Notes(position, tuple(figures), start, self._part))
        if len(notes) <= _NOTES_BYTES:
            self._write(notes, position.step)
        ended = time.monotonic()
        # One copy may have been held up by something else, and seconds of it would be minutes without the next.
        before, self._last_seconds = self._last_seconds, ended - began
        self._due = ended + min(before, self._last_seconds) / _MOST_OF_THE_TIME

    def holds(self, step: int) -> bool:
        """Whether this rank has written the state of a step, where it writes any."""
        if not self._writes:
            return True
        return self._memory is not None and any(self._read_header(slot)[:2] == (1, step) for slot in (0, 1))

    def _write(self, notes: bytes, step: int) -> None:
        assert self._memory is not None
        slot, self._turn = self._turn, 1 - self._turn
        self._write_header(slot, 0, 0, 0)
        for tensor, place in zip(self._tensors, self._places(slot), strict=True):
            place.copy_(tensor)
        begin = self._notes_begin(slot)
        self._memory[begin : begin + len(notes)] = notes
        self._write_header(slot, 1, step, len(notes))

    def newest(self, commit: Commit | None) -> Notes | None:
        """Load the newest state that every part of is held by some rank, with the figures of every step behind the
        newest commit's. Ranks that do not hold theirs receive it. None where there is no such state."""
        mine = dict(self._usable(commit))
        told: list[tuple[int, set[_Name]]] = self._world.gather((self._part[0], set(mine)))
        name = newest_common(told, self._part[1])
        if name is None:
            return None
        notes: Notes | None = None
        self._turn = 0
        if name in mine:
            slot, notes = mine[name]
            for tensor, place in zip(self._tensors, self._places(slot), strict=True):
                tensor.copy_(place)
            self._turn = 1 - slot
        holders = [rank for rank, (part, names) in enumerate(told) if part == self._part[0] and name in names]
        replicas = [rank for rank, (part, _) in enumerate(told) if part == self._part[0]]
        if len(holders) < len(replicas):
            group = self._world.mesh.get_group("replicate") if self._world.mesh else None
            for tensor in (each for each in self._tensors if each.numel()):
                dist.broadcast(tensor, src=holders[0], group=group)
        first = min(rank for rank, (_, names) in enumerate(told) if name in names)
        found: Notes = self._world.from_rank(first, notes)
        return found

    def _usable(self, commit: Commit | None) -> Iterator[tuple[_Name, tuple[int, Notes]]]:
        """Slots and notes by the state's name. A state whose figures leave a gap behind the commit would leave one in the
        ledger; one that is older than it, or of a start before the one that committed, is of another course."""
        committed, committer = (commit.step, commit.generation) if commit else (0, 0)
        for slot in (0, 1) if self._memory else ():
            is_whole, step, length = self._read_header(slot)
            if is_whole and step >= committed:
                assert self._memory is not None
                begin = self._notes_begin(slot)
                notes: Notes = pickle.loads(self._memory[begin : begin + length])
                behind = tuple(figures for figures in notes.figures if figures.step > committed)
                is_gapless = [figures.step for figures in behind] == list(range(committed + 1, step + 1))
                if is_gapless and notes.start >= committer and notes.part == self._part:
                    yield (notes.start, step), (slot, replace(notes, figures=behind))

    def _places(self, slot: int) -> Iterator[Tensor]:
        """The slot's memory as tensors like the state's."""
        assert self._memory is not None
        offset = 2 * _PAGE + slot * self._slot_bytes
        for tensor in self._tensors:
            if tensor.numel():
                flat = torch.frombuffer(self._memory, dtype=tensor.dtype, count=tensor.numel(), offset=offset)
                yield flat.view(tensor.shape)
            else:
                yield torch.empty_like(tensor, device="cpu")
            offset += tensor.nbytes

    def _notes_begin(self, slot: int) -> int:
        return 2 * _PAGE + 2 * self._slot_bytes + slot * _NOTES_BYTES

    def _read_header(self, slot: int) -> tuple[int, int, int]:
        assert self._memory is not None
        is_whole, step, length = _HEADER.unpack_from(self._memory, slot * _PAGE)
        return is_whole, step, length

    def _write_header(self, slot: int, is_whole: int, step: int, length: int) -> None:
        assert self._memory is not None
        _HEADER.pack_into(self._memory, slot * _PAGE, is_whole, step, length)


def newest_common(told: Sequence[tuple[int, set[_Name]]], parts: int) -> _Name | None:
    """The newest state of which every part is held by some rank, given each rank's part and what it holds."""
    held = [set[_Name]().union(*(names for part, names in told if part == wanted)) for wanted in range(parts)]
    return max(set[_Name].intersection(*held), default=None)


def of_agent(tensors: Sequence[Tensor], world: World, *, is_shared: bool) -> Snapshots:
    """The memory that this rank's agent holds for it; without an agent nothing is kept."""
    held = [int(number) for number in os.environ.get(ENV_MEMORY, "").split(",") if number]
    local = 0 if is_shared else int(os.environ.get("LOCAL_RANK", "0"))
    return Snapshots(held[local] if held else None, tensors, world, is_shared=is_shared)


def _mapped(descriptor: int, size: int) -> mmap.mmap:
    if os.fstat(descriptor).st_size < size:
        os.ftruncate(descriptor, size)
    return mmap.mmap(descriptor, size)
