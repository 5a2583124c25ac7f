"""The agents of a world agree on starting their ranks again: all of them together, by the word of the leader's.

An agent says that it is ready for an attempt, and the leader, once all are, says where its ranks meet. When ranks end as
they should not, their agents say so, and the leader decides: if one was killed, all begin again; if not, everybody is on
its own, and the operator sees how each ends. Once the leader has lost an agent, or an agent the leader, nothing is begun
again in this world: membership is the operator's to change, and those that are left wait for another world.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Protocol

from pretrain_trainer.agent.link import Link
from pretrain_trainer.agent.place import Place
from pretrain_trainer.agent.restarts import Loss

_LOGGER = logging.getLogger(__name__)
_SETTLE_SECONDS = 2.0
"""How long the news that a rank was killed may take, from when others first feel its loss."""
_DECIDE_SECONDS = 20.0
"""How long the leader's decision is waited for."""
_JOIN_SECONDS = 600.0
"""How long the others may take to be there."""
_RETRY_SECONDS = 0.2


class Calls(Protocol):
    """What ends every waiting for peers: a stop that was asked for, another world."""

    def descriptors(self) -> list[int]:
        """What becomes readable when there may be one."""

    def have_come(self) -> bool:
        """Whether there is one."""


@dataclass(frozen=True)
class Begun:
    """What all of a world know of an attempt that begins."""

    port: int
    """At which the ranks meet."""
    breaks: int
    """How often training was broken off before: one count for all, as the leader has it."""
    meeting: socket.socket | None = None
    """On the first machine the socket that is bound there."""


class Peers(Protocol):
    """The other agents of the world, as this one sees them. It has a loop of its own: nothing here waits unasked."""

    @property
    def has_lost_one(self) -> bool:
        """Whether one of them went without a word, so that this world is over."""

    def descriptors(self) -> list[int]:
        """What becomes readable when one of them has something to say."""

    def asks_for(self, world: str) -> int:
        """How many other machines have asked here whether that world has begun: so many are ready for it."""

    def begin(self, attempt: int, breaks: int) -> Begun | None:
        """Wait until all are ready for an attempt; `breaks`: how many this agent knows of. None when there will be no
        such attempt."""

    def call(self, attempt: int) -> bool:
        """Hear what they say; whether this attempt's ranks have to end for another one."""

    def decision(self, attempt: int, own: Loss | None) -> Loss | None:
        """After ranks of this machine have ended: the loss for which all begin again; None when nobody does."""

    def close(self) -> None:
        """Leave them."""


class Alone:
    """A world of one machine."""

    has_lost_one = False

    def __init__(self, place: Place, may_go_on: Callable[[], bool]) -> None:
        """`may_go_on`: whether one more attempt may follow."""
        self._place, self._may_go_on = place, may_go_on

    def descriptors(self) -> list[int]:
        return []

    def asks_for(self, world: str) -> int:
        return 0

    def begin(self, attempt: int, breaks: int) -> Begun | None:
        family = socket.AF_INET6 if ":" in self._place.address else socket.AF_INET
        meeting = socket.create_server((self._place.address, 0), family=family)
        return Begun(meeting.getsockname()[1], breaks, meeting)

    def call(self, attempt: int) -> bool:
        return False

    def decision(self, attempt: int, own: Loss | None) -> Loss | None:
        return own if self._may_go_on() else None

    def close(self) -> None:
        pass


class Leader:
    """The first machine's agent: it decides."""

    def __init__(self, place: Place, calls: Calls, may_go_on: Callable[[], bool]) -> None:
        """`may_go_on`: whether one more attempt may follow."""
        self._place, self._calls, self._may_go_on = place, calls, may_go_on
        self._door = _listening(place.port)
        self._strangers: list[Link] = []
        self._links: dict[int, Link] = {}
        self._ready: dict[int, int] = {}
        self._felt: float | None = None
        """When somebody first told of ranks that had ended, in this attempt."""
        self._loss: Loss | None = None
        self._askers: set[tuple[str, int]] = set()
        """World and place of those that are ahead of this one."""
        self.has_lost_one = False

    def descriptors(self) -> list[int]:
        links = [*self._strangers, *self._links.values()]
        return [self._door.fileno(), *(link.fileno() for link in links if link.is_open)]

    def asks_for(self, world: str) -> int:
        self._hear()
        return sum(name == world for name, _ in self._askers)

    def begin(self, attempt: int, breaks: int) -> Begun | None:
        others, until = self._place.nodes - 1, time.monotonic() + _JOIN_SECONDS
        while sum(ready == attempt for ready in self._ready.values()) < others:
            left = until - time.monotonic()
            if left <= 0 or self._calls.have_come() or self.has_lost_one:
                return None
            self._wait(left)
        self._felt = self._loss = None
        meeting = _listening(0)
        port = meeting.getsockname()[1]
        self._tell({"begin": attempt, "port": port, "breaks": breaks})
        return Begun(port, breaks, meeting)

    def call(self, attempt: int) -> bool:
        self._hear()
        if self._loss is not None and not self._may_begin_again():
            self._tell_of_the_end(attempt)
            return False
        return self._loss is not None

    def decision(self, attempt: int, own: Loss | None) -> Loss | None:
        self._loss = self._loss or own
        until = (self._felt or time.monotonic()) + _SETTLE_SECONDS
        while self._loss is None and self._may_begin_again() and (left := until - time.monotonic()) > 0:
            self._wait(left)
        if self._loss is None or not self._may_begin_again():
            self._tell_of_the_end(attempt)
            return None
        self._tell({"again": attempt, "loss": asdict(self._loss)})
        return self._loss

    def close(self) -> None:
        for link in (*self._strangers, *self._links.values()):
            link.close()
        self._door.close()

    def _may_begin_again(self) -> bool:
        return not self.has_lost_one and not self._calls.have_come() and self._may_go_on()

    def _tell_of_the_end(self, attempt: int) -> None:
        """Of the whole training, or of this world alone."""
        another_may_follow = self.has_lost_one or self._calls.have_come()
        self._tell({"lost": attempt} if another_may_follow else {"end": attempt})

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

    def _take_in(self, node: int, message: dict[str, object]) -> None:
        if "ready" in message:
            self._ready[node] = int(str(message["ready"]))
        elif "ended" in message:
            self._felt = self._felt or time.monotonic()
            loss = message.get("loss")
            if isinstance(loss, dict):
                self._loss = self._loss or Loss(int(loss["rank"]), int(loss["code"]), node)

    def _tell(self, message: dict[str, object]) -> None:
        for link in self._links.values():
            if link.is_open:
                link.send(message)


class Follower:
    """Every other machine's agent: it asks the leader."""

    def __init__(self, place: Place, calls: Calls) -> None:
        self._place, self._calls = place, calls
        self._link: Link | None = None
        self._begun: tuple[int, Begun] | None = None
        self._again: tuple[int, Loss] | None = None
        self._ended = -1
        self._was_told_of_a_loss = False

    @property
    def has_lost_one(self) -> bool:
        is_gone = self._link is not None and not self._link.is_open
        return self._was_told_of_a_loss or (is_gone and self._ended < 0)

    def descriptors(self) -> list[int]:
        return [self._link.fileno()] if self._link and self._link.is_open else []

    def asks_for(self, world: str) -> int:
        return 0

    def begin(self, attempt: int, breaks: int) -> Begun | None:
        until = time.monotonic() + _JOIN_SECONDS
        self._ask_to_begin(attempt, until)
        while self._begun is None or self._begun[0] < attempt:
            if self._calls.have_come() or self._ended >= attempt or self._was_told_of_a_loss:
                return None
            if not self.descriptors():
                if self._begun or time.monotonic() >= until:
                    return None
                # Who answered was still of the world before: a leader that stays opens its door anew.
                select.select(self._calls.descriptors(), [], [], _RETRY_SECONDS)
                self._link = None
                self._ask_to_begin(attempt, until)
            else:
                self._wait(until - time.monotonic())
        return self._begun[1] if self._begun[0] == attempt else None

    def call(self, attempt: int) -> bool:
        self._hear()
        return self._again is not None and self._again[0] == attempt

    def decision(self, attempt: int, own: Loss | None) -> Loss | None:
        self._send({"ended": attempt, "loss": asdict(own) if own else None})
        until = time.monotonic() + _DECIDE_SECONDS
        while (left := until - time.monotonic()) > 0 and self.descriptors() and not self._calls.have_come():
            if self._again is not None and self._again[0] == attempt:
                return self._again[1]
            if self._ended >= attempt or self._was_told_of_a_loss:
                break
            self._wait(left)
        return None

    def close(self) -> None:
        if self._link:
            self._link.close()

    def _ask_to_begin(self, attempt: int, until: float) -> None:
        if self._link is None:
            self._join(until)
        self._send({"ready": attempt})

    def _join(self, until: float) -> None:
        told = ""
        while self._link is None and time.monotonic() < until and not self._calls.have_come():
            try:
                connection = socket.create_connection((self._place.address, self._place.port), timeout=5)
            except OSError as error:
                if str(error) != told:
                    _LOGGER.info("waiting for the leader at %s: %s", self._place.address, error)
                told = str(error)
                select.select(self._calls.descriptors(), [], [], _RETRY_SECONDS)
                continue
            self._link = Link(connection)
            self._send({"world": self._place.world, "node": self._place.node})

    def _send(self, message: dict[str, object]) -> None:
        if self._link and self._link.is_open:
            self._link.send(message)

    def _wait(self, seconds: float) -> None:
        select.select([*self.descriptors(), *self._calls.descriptors()], [], [], max(0.0, seconds))
        self._hear()

    def _hear(self) -> None:
        if self._link is None or not self._link.is_open:
            return
        for message in self._link.received():
            if "begin" in message:
                self._begun = int(message["begin"]), Begun(int(message["port"]), int(message["breaks"]))
            elif "again" in message:
                self._again = int(message["again"]), Loss(**message["loss"])
            elif "end" in message:
                self._ended = int(message["end"])
            elif "lost" in message:
                self._was_told_of_a_loss = True


def _listening(port: int) -> socket.socket:
    """A socket bound at all addresses of this machine."""
    if socket.has_dualstack_ipv6():
        door = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        door = socket.create_server(("", port))
    door.setblocking(False)
    return door
