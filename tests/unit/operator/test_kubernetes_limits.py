"""Turns come at the rate that was set, and the urgent ones first."""

import asyncio
from collections.abc import Awaitable, Callable

from pretrain_operator.bodies.kubernetes.limits import Limiter, Urgency


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time jumps to whatever it waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.jumped = 0.0

    def time(self) -> float:
        return 1000.0 + self.jumped

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.jumped = max(self.jumped, self._scheduled[0].when() - 1000.0)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def played(story: Callable[[Clock], Awaitable[None]]) -> None:
    loop = Clock()
    try:
        loop.run_until_complete(story(loop))  # type: ignore[arg-type]
    finally:
        loop.close()


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    async def story(loop: Clock) -> None:
        limiter, begin = Limiter(rate=10, burst=5), loop.time()
        for _ in range(5):
            await limiter.turn()
        assert loop.time() == begin
        for _ in range(10):
            await limiter.turn()
        assert 0.9 < loop.time() - begin < 1.2

    played(story)


def test_the_urgent_go_first() -> None:
    async def story(loop: Clock) -> None:
        limiter, order = Limiter(rate=10, burst=1), list[str]()
        await limiter.turn()

        async def one(name: str, urgency: Urgency) -> None:
            await limiter.turn(urgency)
            order.append(name)

        await asyncio.gather(one("event", Urgency.LAST), one("pod", Urgency.USUAL), one("status", Urgency.FIRST))
        assert order == ["status", "pod", "event"]

    played(story)


def test_a_caller_that_gave_up_costs_no_turn() -> None:
    async def story(loop: Clock) -> None:
        limiter = Limiter(rate=1, burst=1)
        await limiter.turn()
        waiting = asyncio.ensure_future(limiter.turn())
        await asyncio.sleep(0)
        waiting.cancel()
        begin = loop.time()
        await limiter.turn()
        assert loop.time() - begin < 1.5
        assert limiter.waiting == 0

    played(story)


def test_who_takes_a_turn_only_if_there_is_one_waits_for_none_and_passes_nobody() -> None:
    async def story(loop: Clock) -> None:
        limiter = Limiter(rate=1, burst=2)
        assert [limiter.take() for _ in range(3)] == [True, True, False]
        waiting = asyncio.ensure_future(limiter.turn())
        await asyncio.sleep(1.5)
        assert waiting.done()
        assert not limiter.take()
        await asyncio.sleep(1)
        assert limiter.take()

    played(story)
