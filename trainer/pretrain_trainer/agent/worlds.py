"""The worlds that an agent is told of, one after the other: who trains together, and what its own place among them is.

Whoever started the agent tells, over a pipe: JSON, a world a line. The newest counts; those between are skipped.
"""

from __future__ import annotations

import logging
import os
import select
from typing import Protocol

from pydantic import ValidationError

from pretrain_api.world import World
from pretrain_trainer.agent.place import Place
from pretrain_trainer.stopping import Stop

_LOGGER = logging.getLogger(__name__)
_AT_ONCE = 1 << 16


def name_of(world: World) -> str:
    """What its members call it to each other."""
    return f"{world.generation}-{world.token}"


def is_next(place: Place, world: World) -> bool:
    """Whether that place's members can change over to the world by themselves. Where one in between was missed, nobody
    knows whether all still train."""
    return world.planned and world.generation == place.generation + 1


class Worlds(Protocol):
    """Where an agent's places come from."""

    def descriptors(self) -> list[int]:
        """What becomes readable when there is news."""

    def next(self, before: Place | None, stop: Stop) -> Place | None:
        """Wait for a world behind the one of that place which has this machine in it; the place there. None when there
        will be none, or a stop was asked for."""

    def newer(self, than: Place) -> World | None:
        """The newest world there is behind the one of that place."""

    @property
    def may_change(self) -> bool:
        """Whether another world may follow."""


class One:
    """A single world that never changes."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def descriptors(self) -> list[int]:
        return []

    def next(self, before: Place | None, stop: Stop) -> Place | None:
        return self._place if before is None else None

    def newer(self, than: Place) -> World | None:
        return None

    @property
    def may_change(self) -> bool:
        return False


class Told:
    """The worlds of a start of training, as they are written into a pipe."""

    may_change = True

    def __init__(self, pipe: int, uid: str, attempt: int, ranks: int) -> None:
        """`uid`: what this machine is called in rosters; `ranks`: on each machine."""
        self._pipe, self._uid, self._attempt, self._ranks = pipe, uid, attempt, ranks
        self._rest, self._newest = b"", None
        self._is_open = True
        os.set_blocking(pipe, False)

    _newest: World | None

    def descriptors(self) -> list[int]:
        return [self._pipe] if self._is_open else []

    def next(self, before: Place | None, stop: Stop) -> Place | None:
        told = False
        while not stop.was_asked:
            world = self._behind(before)
            if world and world.attempt > self._attempt:
                _LOGGER.info("attempt %d of training has begun, without this machine", world.attempt)
                return None
            if world and world.rank_of(self._uid) is not None:
                return self._place(world)
            if not self._is_open:
                return None
            if not told:
                behind = f" behind {before.generation}" if before else ""
                _LOGGER.info("waiting for a world of attempt %d%s", self._attempt, behind)
                told = True
            select.select([*self.descriptors(), *stop.descriptors()], [], [])
        return None

    def newer(self, than: Place) -> World | None:
        return self._behind(than)

    def _behind(self, before: Place | None) -> World | None:
        self._hear()
        world = self._newest
        if world is None or world.attempt < self._attempt or (before and world.generation <= before.generation):
            return None
        return world

    def _place(self, world: World) -> Place:
        node = world.rank_of(self._uid)
        assert node is not None
        return Place(
            self._ranks,
            len(world.roster),
            node,
            world.leader,
            world.port,
            name_of(world),
            world.generation,
            tuple(member.pod for member in world.roster),
        )

    def _hear(self) -> None:
        try:
            while content := os.read(self._pipe, _AT_ONCE):
                *lines, self._rest = (self._rest + content).split(b"\n")
                for line in lines:
                    self._take_in(line)
            self._is_open = False
        except BlockingIOError:
            pass

    def _take_in(self, line: bytes) -> None:
        try:
            world = World.model_validate_json(line)
        except ValidationError as error:
            _LOGGER.warning("a world that was told of cannot be read: %s", error)
            return
        if self._newest is None or world.generation > self._newest.generation:
            self._newest = world
