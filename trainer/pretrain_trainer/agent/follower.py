"""Every other machine's agent among its peers: it asks the leader."""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from pretrain_api import jitter
from pretrain_trainer.agent.hangs import Seen
from pretrain_trainer.agent.link import Link
from pretrain_trainer.agent.peers import (
    AGAIN_SECONDS,
    ANSWER_SECONDS,
    JOIN_SECONDS,
    LEAVING,
    LOOK_AGAIN_SECONDS,
    Begun,
    Calls,
)
from pretrain_trainer.agent.place import Place
from pretrain_trainer.agent.restarts import Loss

_LOGGER = logging.getLogger(__name__)
_DECIDE_SECONDS = 20.0
"""How long the leader's decision is waited for."""
_RETRY_SECONDS = 0.2
"""Between two knocks at the leader's door, and more where there are very many to knock."""
_KNOCKS_PER_SECOND = 1000.0


class Follower:
    """Peers as the others have them: one link, to the leader."""

    def __init__(self, place: Place, calls: Calls) -> None:
        self._place, self._calls = place, calls
        self._link: Link | None = None
        self._begun: tuple[int, Begun] | None = None
        self._again: tuple[int, Loss] | None = None
        self._ended = -1
        self._was_told_of_a_loss = self._leader_leaves = False
        self._asked: float | None = None
        """Since when the leader has not answered that ranks make no progress here."""
        self._ask_not_before = 0.0
        self.silent: frozenset[int] = frozenset()
        self.given_up: Loss | None = None
        self.wants_a_look = False

    @property
    def has_lost_one(self) -> bool:
        is_gone = self._link is not None and not self._link.is_open
        return self._was_told_of_a_loss or bool(self.silent) or (is_gone and self._ended < 0)

    @property
    def gone(self) -> frozenset[int]:
        # Before the world has begun, whoever ended the connection may have been its leader in the one before.
        is_gone = self._begun is not None and self._link is not None and self._link.has_ended
        return frozenset([0] if is_gone and not self._leader_leaves else [])

    def descriptors(self) -> list[int]:
        return [self._link.fileno()] if self._link and self._link.is_open else []

    def asks_for(self, world: str) -> int:
        return 0

    def begin(self, attempt: int, breaks: int) -> Begun | None:
        # Longer than the leader waits for others, so that it is not blamed for them.
        until = time.monotonic() + (AGAIN_SECONDS + 2 * ANSWER_SECONDS if attempt else JOIN_SECONDS)
        self._asked, self.wants_a_look = None, False
        self._ask_to_begin(attempt, breaks, until)
        while self._begun is None or self._begun[0] < attempt:
            if self._calls.have_come() or self._ended >= attempt or self._was_told_of_a_loss or self.silent:
                return None
            if not self.descriptors():
                if self._begun or time.monotonic() >= until:
                    return None
                # Who answered was still of the world before: a leader that stays opens its door anew.
                self._pause()
                self._link = None
                self._ask_to_begin(attempt, breaks, until)
            elif time.monotonic() >= until:
                self.silent = frozenset([0])
            else:
                self._wait(until - time.monotonic())
        return self._begun[1] if self._begun[0] == attempt else None

    def call(self, attempt: int) -> bool:
        self._hear()
        if self._asked is not None and time.monotonic() > self._asked + ANSWER_SECONDS:
            self.silent = frozenset([0])
        has_begun_again = self._again is not None and self._again[0] == attempt
        return has_begun_again or bool(self.silent) or self.given_up is not None

    def stuck(self, attempt: int) -> None:
        if self._asked is None and time.monotonic() >= self._ask_not_before:
            self._asked = time.monotonic()
            self._send({"stuck": attempt})

    def saw(self, attempt: int, seen: Sequence[Seen]) -> None:
        self.wants_a_look = False
        self._send({"seen": [asdict(each) for each in seen]})

    def decision(self, attempt: int, own: Loss | None) -> Loss | None:
        self._send({"ended": attempt, "loss": asdict(own) if own else None})
        until = time.monotonic() + _DECIDE_SECONDS
        while (left := until - time.monotonic()) > 0 and self.descriptors() and not self._calls.have_come():
            if self._again is not None and self._again[0] == attempt:
                return self._again[1]
            if self._ended >= attempt or self._was_told_of_a_loss or self.silent:
                break
            self._wait(left)
        return None

    def close(self) -> None:
        self._send(LEAVING)
        if self._link:
            self._link.close()

    def _ask_to_begin(self, attempt: int, breaks: int, until: float) -> None:
        if self._link is None:
            self._join(until)
        self._send({"ready": attempt, "breaks": breaks})

    def _join(self, until: float) -> None:
        told = ""
        while self._link is None and time.monotonic() < until and not self._calls.have_come():
            try:
                connection = socket.create_connection((self._place.address, self._place.port), timeout=5)
            except OSError as error:
                if str(error) != told:
                    _LOGGER.info("waiting for the leader at %s: %s", self._place.address, error)
                told = str(error)
                self._pause()
                continue
            self._link = Link(connection)
            self._send({"world": self._place.world, "node": self._place.node})

    def _pause(self) -> None:
        """Before the next knock. All followers together must not keep the leader from anything else."""
        longest = max(_RETRY_SECONDS, 2 * self._place.nodes / _KNOCKS_PER_SECOND)
        select.select(self._calls.descriptors(), [], [], jitter.between(_RETRY_SECONDS, longest))

    def _send(self, message: Mapping[str, object]) -> None:
        if self._link and self._link.is_open:
            self._link.send(message)

    def _wait(self, seconds: float) -> None:
        select.select([*self.descriptors(), *self._calls.descriptors()], [], [], max(0.0, seconds))
        self._hear()

    def _hear(self) -> None:
        if self._link is None:
            return
        for message in self._link.received() if self._link.is_open else []:
            if "begin" in message:
                self._begun = int(message["begin"]), Begun(int(message["port"]), int(message["breaks"]))
            elif "again" in message:
                self._again = int(message["again"]), Loss(**message["loss"])
            elif "end" in message:
                self._ended = int(message["end"])
                self.given_up = Loss(**message["hang"]) if message["hang"] else None
            elif "lost" in message:
                self._was_told_of_a_loss = True
            elif "leaving" in message:
                self._leader_leaves = True
            elif "look" in message:
                self.wants_a_look = True
            elif "heard" in message:
                self._asked, self._ask_not_before = None, time.monotonic() + LOOK_AGAIN_SECONDS
        if self._link.is_silent:
            self.silent = frozenset([0])
