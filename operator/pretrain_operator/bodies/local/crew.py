"""Several workers of one start of training on this machine: each an agent of its own, which may die alone and is told
over a pipe who trains together. What a cluster's pods are to the operator they are to `pretrain run`."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pretrain_api.report import Report
from pretrain_api.silence import Silence
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobSpec
from pretrain_api.world import World
from pretrain_operator.bodies.local import programs
from pretrain_operator.bodies.local.programs import Follows
from pretrain_operator.bodies.local.started import Started
from pretrain_operator.brain.observed import Worker

_HERE = "127.0.0.1"


def room_here(spec: PretrainJobSpec) -> int:
    """How many workers can train on this machine: one core for each rank. With GPUs it is one worker, as several would not
    share them out among themselves."""
    return 1 if has_gpus() else max(1, programs.cores() // spec.workers.processes_per_worker)


def has_gpus() -> bool:
    """Whether this machine has GPUs of NVIDIA or AMD, by their drivers' devices."""
    return os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/kfd")


@dataclass(frozen=True)
class _Hand:
    """A worker."""

    uid: str
    program: Started
    into: int
    """The end of its pipe that rosters are written into."""


class Crew:
    """The workers of a start of training, and the roster that they were last told of."""

    def __init__(self, attempt: int, job: str, node: str) -> None:
        """`job`: its name, for those of the workers; `node`: this machine's."""
        self.attempt, self._job, self._node = attempt, job, node
        self.world: World | None = None
        self._hands: dict[int, _Hand] = {}
        self._ports: dict[str, int] = {}
        """Where those that lead let the others meet them."""

    @property
    def programs(self) -> list[Started]:
        return [hand.program for hand in self._hands.values()]

    def start(self, number: int, begin: Callable[[Follows], Started]) -> None:
        """Start a worker, unless it was."""
        if number in self._hands:
            return
        uid = str(uuid.uuid4())
        out, into = os.pipe()
        os.set_blocking(into, False)
        try:
            self._hands[number] = _Hand(uid, begin(Follows(out, uid, self.attempt)), into)
        except BaseException:
            os.close(into)
            raise
        finally:
            os.close(out)
        if self.world:
            _write(into, self.world)

    def tell(self, world: World) -> None:
        """Make it the roster, unless it is or a later one was, and tell everyone."""
        if self.world and self.world.generation >= world.generation:
            return
        leader = world.roster[0].uid
        if leader not in self._ports:
            with socket.create_server((_HERE, 0)) as free:
                self._ports[leader] = int(free.getsockname()[1])
        self.world = world.model_copy(update={"port": self._ports[leader]})
        for hand in self._hands.values():
            _write(hand.into, self.world)

    @property
    def silence(self) -> Silence | None:
        """Who does not answer any more, as one of them last said."""
        told = [tail.silence for program in self.programs if (tail := program.events).silence]
        return max(told, key=lambda each: each.generation, default=None)

    @property
    def is_alive(self) -> bool:
        """Whether anything of it may still run."""
        return any(program.exit_code is None for program in self.programs)

    def workers(self) -> tuple[Worker, ...]:
        """As the brain observes them."""
        return tuple(self._seen(number, hand) for number, hand in self._hands.items())

    def _seen(self, number: int, hand: _Hand) -> Worker:
        program = hand.program
        ended = program.exit_code is not None
        seen = Worker(
            worker=number,
            pod=f"{self._job}-w{number}",
            uid=hand.uid,
            state="Ended" if ended else "Running",
            is_alive=not ended,
            started=program.started,
            ended=program.ended,
            address=_HERE,
            node=self._node,
        )
        return program.with_end(seen) if ended else seen

    def report(self) -> Report | None:
        """What the worker that leads tells; nothing before it has told anything."""
        leader = self.world.roster[0] if self.world else None
        hand = self._hands.get(leader.worker) if leader else None
        tail = hand.program.events if hand else None
        if leader is None or tail is None or tail.newest is None:
            return None
        event = tail.newest_step or tail.newest
        return Report.of_event(event, Stage.TRAIN, self.attempt, leader.pod, None, tail.recovery)

    def drop(self, numbers: Iterable[int]) -> None:
        """End workers that are not needed, and forget them."""
        for number in numbers:
            if hand := self._hands.pop(number, None):
                hand.program.end()
                os.close(hand.into)

    def close(self) -> None:
        """Nothing of it is needed any more."""
        self.drop(list(self._hands))


def _write(into: int, world: World) -> None:
    """Tell one of them. Whoever has ended, or reads no more, need not know."""
    with contextlib.suppress(BrokenPipeError, BlockingIOError):
        os.write(into, world.model_dump_json().encode() + b"\n")
