"""The agents of a world agree on starting their ranks again: all of them together, by the word of the leader's.

An agent says that it is ready for an attempt, and the leader, once all are, says where its ranks meet. When ranks end as
they should not, their agents say so, and the leader decides: if one was killed, all begin again; if not, everybody is on
its own, and the operator sees how each ends. Once the leader has lost an agent, or an agent the leader, nothing is begun
again in this world: membership is the operator's to change, and those that are left wait for another world.

Ranks that make no progress are a matter for all as well. Whoever has some says so, the leader asks everybody what its
ranks are at, and from the answers it follows which rank hangs, and then all begin again without it. An agent that does
not answer is not there: its machine is frozen, or cut off.

An agent that leaves, however its training ended, says so before. Whose connection ends without a word was killed, and the
operator is told at once: that it will see for itself comes seconds later.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pretrain_trainer.agent import hangs
from pretrain_trainer.agent.hangs import Seen
from pretrain_trainer.agent.place import Place
from pretrain_trainer.agent.restarts import Loss

SETTLE_SECONDS = 2.0
"""How long the news that a rank was killed may take, from when others first feel its loss."""
JOIN_SECONDS = 600.0
"""How long the others may take to be there."""
AGAIN_SECONDS = 20.0
"""And how long until all who were there are ready again; whoever is not by then is not there any more."""
ANSWER_SECONDS = 3.0
"""How long an agent may take to say what its ranks are at."""
LOOK_AGAIN_SECONDS = 10.0
"""How long after it was found that nothing hangs nobody is asked again."""
LEAVING = {"leaving": True}
"""The last word of an agent that is not killed."""


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
        """Whether one of them is gone, so that this world is over."""

    @property
    def silent(self) -> frozenset[int]:
        """Machines, by their places in the world, that answer no more although nobody has seen them end."""

    @property
    def gone(self) -> frozenset[int]:
        """Machines whose agent was killed: they have ended the connection, and it had not said that it leaves."""

    @property
    def given_up(self) -> Loss | None:
        """The hang for which all end and nothing is begun again."""

    def descriptors(self) -> list[int]:
        """What becomes readable when one of them has something to say."""

    def asks_for(self, world: str) -> int:
        """How many other machines have asked here whether that world has begun: so many are ready for it."""

    def begin(self, attempt: int, breaks: int) -> Begun | None:
        """Wait until all are ready for an attempt; `breaks`: how many this agent knows of. None when there will be no
        such attempt."""

    def call(self, attempt: int) -> bool:
        """Hear what they say; whether this attempt's ranks have to end."""

    def stuck(self, attempt: int) -> None:
        """Say that ranks of this machine make no progress. It may be said again and again."""

    @property
    def wants_a_look(self) -> bool:
        """Whether somebody wants to know what the ranks of this machine are at."""

    def saw(self, attempt: int, seen: Sequence[Seen]) -> None:
        """Say what they are at."""

    def decision(self, attempt: int, own: Loss | None) -> Loss | None:
        """After ranks of this machine have ended: the loss for which all begin again; None when nobody does."""

    def close(self) -> None:
        """Leave them."""


class Alone:
    """A world of one machine."""

    has_lost_one = False
    silent: frozenset[int] = frozenset()
    gone: frozenset[int] = frozenset()

    def __init__(self, place: Place, may_go_on: Callable[[], bool]) -> None:
        """`may_go_on`: whether one more attempt may follow."""
        self._place, self._may_go_on = place, may_go_on
        self._hang: Loss | None = None
        self._not_before = 0.0
        self.given_up: Loss | None = None
        self.wants_a_look = False

    def descriptors(self) -> list[int]:
        return []

    def asks_for(self, world: str) -> int:
        return 0

    def begin(self, attempt: int, breaks: int) -> Begun | None:
        family = socket.AF_INET6 if ":" in self._place.address else socket.AF_INET
        meeting = socket.create_server((self._place.address, 0), family=family)
        self._hang = None
        return Begun(meeting.getsockname()[1], breaks, meeting)

    def call(self, attempt: int) -> bool:
        return self._hang is not None

    def stuck(self, attempt: int) -> None:
        self.wants_a_look = time.monotonic() >= self._not_before

    def saw(self, attempt: int, seen: Sequence[Seen]) -> None:
        self.wants_a_look, self._not_before = False, time.monotonic() + LOOK_AGAIN_SECONDS
        self._hang = hangs.verdict(seen)

    def decision(self, attempt: int, own: Loss | None) -> Loss | None:
        loss = self._hang or own
        if self._may_go_on():
            return loss
        self.given_up = self._hang
        return None

    def close(self) -> None:
        pass
