"""The first machine's agent among its peers: it decides."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from pretrain_trainer.agent import hangs
from pretrain_trainer.agent.hangs import Seen
from pretrain_trainer.agent.link import Link
from pretrain_trainer.agent.peers import (
    AGAIN_SECONDS,
    ANSWER_SECONDS,
    JOIN_SECONDS,
    LEAVING,
    LOOK_AGAIN_SECONDS,
    SETTLE_SECONDS,
    Begun,
    Calls,
)
from pretrain_trainer.agent.place import Place
from pretrain_trainer.agent.restarts import Loss


class Leader:
    """Peers as the leader has them: a link from each."""

    def __init__(self, place: Place, calls: Calls, may_go_on: Callable[[], bool]) -> None:
        """`may_go_on`: whether one more attempt may follow."""
        self._place, self._calls, self._may_go_on = place, calls, may_go_on
        self._door = _listening(place.port)
        self._strangers: list[Link] = []
        self._links: dict[int, Link] = {}
        self._left: set[int] = set()
        """Those that said that they leave."""
        self._ready: dict[int, int] = {}
        self._breaks: dict[int, int] = {}
        """As far as each of the others knows, who may have been there longer."""
        self._felt: float | None = None
        """When somebody first told of ranks that had ended, in this attempt."""
        self._loss: Loss | None = None
        self._askers: set[tuple[str, int]] = set()
        """World and place of those that are ahead of this one."""
        self._look: float | None = None
        """Since when all are asked what their ranks are at."""
        self._seen: dict[int, list[Seen]] = {}
        self._no_look_before = 0.0
        self.has_lost_one = False
        self.silent: frozenset[int] = frozenset()
        self.given_up: Loss | None = None

    @property
    def gone(self) -> frozenset[int]:
        return frozenset(node for node, link in self._links.items() if link.has_ended and node not in self._left)

    def descriptors(self) -> list[int]:
        links = [*self._strangers, *self._links.values()]
        return [self._door.fileno(), *(link.fileno() for link in links if link.is_open)]

    def asks_for(self, world: str) -> int:
        self._hear()
        return sum(name == world for name, _ in self._askers)

    def begin(self, attempt: int, breaks: int) -> Begun | None:
        until = time.monotonic() + (AGAIN_SECONDS if attempt else JOIN_SECONDS)
        while missing := {
            n for n in range(self._place.nodes) if n != self._place.node and self._ready.get(n) != attempt
        }:
            left = until - time.monotonic()
            if left <= 0 and attempt:
                self._miss(frozenset(missing))
            if left <= 0 or self._calls.have_come() or self.has_lost_one:
                return None
            self._wait(left)
        self._felt = self._loss = self._look = None
        breaks = max([breaks, *self._breaks.values()])
        meeting = _listening(0)
        port = meeting.getsockname()[1]
        self._tell({"begin": attempt, "port": port, "breaks": breaks})
        return Begun(port, breaks, meeting)

    def call(self, attempt: int) -> bool:
        self._hear()
        self._judge()
        if self.silent:
            return True
        if self._loss is not None and not self._may_begin_again():
            self._tell_of_the_end(attempt)
            return bool(self._loss.hang)  # such ranks do not end by themselves
        return self._loss is not None

    def stuck(self, attempt: int) -> None:
        if self._look is None and time.monotonic() >= self._no_look_before:
            self._look, self._seen = time.monotonic(), {}
            self._tell({"look": attempt})

    @property
    def wants_a_look(self) -> bool:
        return self._look is not None and self._place.node not in self._seen

    def saw(self, attempt: int, seen: Sequence[Seen]) -> None:
        self._seen[self._place.node] = list(seen)

    def decision(self, attempt: int, own: Loss | None) -> Loss | None:
        self._loss = self._loss or own
        until = (self._felt or time.monotonic()) + SETTLE_SECONDS
        while self._loss is None and self._may_begin_again() and (left := until - time.monotonic()) > 0:
            self._wait(left)
        if self._loss is None or not self._may_begin_again():
            self._tell_of_the_end(attempt)
            return None
        self._tell({"again": attempt, "loss": asdict(self._loss)})
        return self._loss

    def close(self) -> None:
        self._tell(LEAVING)
        for link in (*self._strangers, *self._links.values()):
            link.close()
        self._door.close()

    def _may_begin_again(self) -> bool:
        return not self._world_is_over() and self._may_go_on()

    def _world_is_over(self) -> bool:
        return self.has_lost_one or self._calls.have_come()

    def _tell_of_the_end(self, attempt: int) -> None:
        """Of the whole training, or of this world alone."""
        if self._world_is_over():
            self._tell({"lost": attempt})
            return
        self.given_up = self._loss if self._loss and self._loss.hang else None
        self._tell({"end": attempt, "hang": asdict(self.given_up) if self.given_up else None})

    def _judge(self) -> None:
        """Once all have said what their ranks are at, or have had the time to."""
        if self._look is None:
            return
        missing = frozenset(range(self._place.nodes)) - set(self._seen)
        if missing and time.monotonic() < self._look + ANSWER_SECONDS:
            return
        self._look, self._no_look_before = None, time.monotonic() + LOOK_AGAIN_SECONDS
        if missing:
            self._miss(missing)
        else:
            self._loss = self._loss or hangs.verdict([each for node in sorted(self._seen) for each in self._seen[node]])

    def _miss(self, nodes: frozenset[int]) -> None:
        """Those machines are not there any more, without having ended."""
        self.has_lost_one, self.silent = True, self.silent | nodes

    def _wait(self, seconds: float) -> None:
        select.select([*self.descriptors(), *self._calls.descriptors()], [], [], seconds)
        self._hear()

    def _hear(self) -> None:
        while True:
            try:
                connection, _ = self._door.accept()
            except BlockingIOError:
                break
            self._strangers.append(Link(connection))
        for link in [*self._strangers]:
            first, *others = link.received() or [{}]
            if first.get("world") == self._place.world:
                self._links[node := int(first["node"])] = link
                for message in others:
                    self._take_in(node, message)
            elif "world" in first and "node" in first:
                self._askers.add((str(first["world"]), int(first["node"])))
            if first or not link.is_open:
                self._strangers.remove(link)
            if first and link not in self._links.values():
                link.close()
        for node, link in self._links.items():
            if link.is_open:
                for message in link.received():
                    self._take_in(node, message)
            self.has_lost_one |= not link.is_open
            if link.is_silent and node not in self.silent:
                self._miss(frozenset([node]))

    def _take_in(self, node: int, message: dict[str, object]) -> None:
        if "leaving" in message:
            self._left.add(node)
        elif "ready" in message:
            self._ready[node] = int(str(message["ready"]))
            self._breaks[node] = int(str(message["breaks"]))
        elif "ended" in message:
            self._felt = self._felt or time.monotonic()
            loss = message.get("loss")
            if isinstance(loss, dict):
                self._loss = self._loss or Loss(int(loss["rank"]), int(loss["code"]), node)
        elif "stuck" in message:
            attempt = int(str(message["stuck"]))
            self.stuck(attempt)
            self._links[node].send({"heard": attempt})
        elif "seen" in message and isinstance(seen := message["seen"], list):
            self._seen[node] = [Seen(**each) for each in seen]

    def _tell(self, message: Mapping[str, object]) -> None:
        for link in self._links.values():
            if link.is_open:
                link.send(message)


def _listening(port: int) -> socket.socket:
    """A socket bound at all addresses of this machine."""
    if socket.has_dualstack_ipv6():
        door = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        door = socket.create_server(("", port))
    door.setblocking(False)
    return door
