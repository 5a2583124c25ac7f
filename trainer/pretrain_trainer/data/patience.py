"""A read that is asked for again: after a pause when it failed, beside itself when it is late. Decides nothing on its bytes."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pretrain_api import jitter
from pretrain_trainer.data.waits import Waits
from pretrain_trainer.documents import faults
from pretrain_trainer.storage_faults import StorageUnavailable

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """How long, and how often."""

    seconds: float = 120.0
    """After the first fault; then the fault is told."""
    attempt_seconds: float = 30.0
    """One request; then it counts as failed."""
    first_pause_seconds: float = 0.1
    most_pause_seconds: float = 10.0
    hedge_quantile: float = 0.95
    least_hedge_seconds: float = 0.05
    hedge_after: int = 20
    """Reads that must have been measured before one can be called late."""

    def pause(self, attempt: int) -> float:
        """Seconds before the attempt after the `attempt`-th one, drawn from all of the interval ("full jitter": Brooker
        2015, Exponential Backoff And Jitter), so that workers that failed together do not come back together."""
        return jitter.between(0, min(self.most_pause_seconds, self.first_pause_seconds * 2**attempt))


@dataclass
class Counts:
    """What reading has cost."""

    requests: int = 0
    hedges: int = 0
    faults: int = 0
    bytes: int = 0
    """Of shards that a store sent."""
    reads: Waits = field(default_factory=Waits)
    """Durations of requests that succeeded."""


_RECENT = 4096
"""Reads after which older ones count half."""


class PatientReads:
    """Repeats requests. For the coroutines of one event loop."""

    def __init__(self, patience: Patience = Patience()) -> None:
        self._patience = patience
        self._recent = Waits()
        self.counts = Counts()

    async def read(self, what: str, ask: Callable[[], Awaitable[Result]]) -> Result:
        """The result of `ask`, which asks for `what`, told with the field that names its place. Faults that do not pass are raised as they are, StorageUnavailable when one stays."""
        began, attempt = time.monotonic(), 0
        while True:
            try:
                return await self._hedged(ask)
            except Exception as error:
                self.counts.faults += 1
                attempt += 1
                if not may_pass(error):
                    raise
                if (taken := time.monotonic() - began) > self._patience.seconds:
                    raise StorageUnavailable(
                        f"{what} could not be read in {attempt} attempts over {taken:.0f} s, "
                        f"last: {type(error).__name__}: {error}. Training goes on from the newest checkpoint once it can."
                    ) from error
            await asyncio.sleep(self._patience.pause(attempt))

    async def _hedged(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """The first answer: of a second request, too, once the first one takes longer than nearly all before it."""
        tasks = {asyncio.ensure_future(self._timed(ask))}
        try:
            if (late := self._late_after()) is not None:
                done, _ = await asyncio.wait(tasks, timeout=late)
                if not done:
                    self.counts.hedges += 1
                    tasks.add(asyncio.ensure_future(self._timed(ask)))
            failed: BaseException | None = None
            while tasks:
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if (failed := task.exception()) is None:
                        return task.result()
            assert failed is not None
            raise failed
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(Exception, asyncio.CancelledError):
                    await task

    async def _timed(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        self.counts.requests += 1
        began = time.monotonic()
        async with asyncio.timeout(self._patience.attempt_seconds):
            result = await ask()
        seconds = time.monotonic() - began
        self.counts.reads.add(seconds)
        self._recent.add(seconds)
        if self._recent.count >= _RECENT:
            self._recent.halve()
        return result

    def _late_after(self) -> float | None:
        if self._recent.count < self._patience.hedge_after:
            return None
        return max(self._patience.least_hedge_seconds, self._recent.quantile(self._patience.hedge_quantile))


def may_pass(error: Exception) -> bool:
    """Whether a request to a store may succeed a little later."""
    return not faults.is_refused(error) and (faults.is_unreachable(error) or faults.may_pass(error))
