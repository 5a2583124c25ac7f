"""How fast an API server is asked: a token bucket whose waiting callers are served by urgency. No requests here."""

import asyncio
import heapq
import itertools
from enum import IntEnum

_LEAST_SECONDS = 0.001


class Urgency(IntEnum):
    """Who goes first when requests have to wait."""

    FIRST = 0
    """Writes of status, world and Lease: others wait for what they say."""
    USUAL = 1
    LAST = 2
    """Events and other things that only people read."""


class Limiter:
    """At most `rate` turns a second on average, `burst` at once."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._filled = float(burst), 0.0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Callers that wait for their turn."""
        return len(self._waiting)

    async def turn(self, urgency: Urgency = Urgency.USUAL) -> None:
        """Wait until it is this caller's turn."""
        if self.take():
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._numbers), turn))
        self._wake_later()
        await turn

    def take(self) -> bool:
        """Take a turn if there is one at once; whoever gets none goes on without."""
        self._refill()
        if self._waiting or self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _refill(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._filled:
            self._tokens = min(float(self._burst), self._tokens + (now - self._filled) * self._rate)
        self._filled = now

    def _wake_later(self) -> None:
        if self._timer is None:
            # Never nothing: a token that lacks a rounding error would be waited for in a tight loop.
            delay = max(_LEAST_SECONDS, (1 - self._tokens) / self._rate)
            self._timer = asyncio.get_running_loop().call_later(delay, self._serve)

    def _serve(self) -> None:
        self._timer = None
        self._refill()
        while self._waiting and self._tokens >= 1:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():  # its caller may have been cancelled
                turn.set_result(None)
                self._tokens -= 1
        if self._waiting:
            self._wake_later()
