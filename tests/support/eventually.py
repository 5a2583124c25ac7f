"""Waiting in tests: until something holds, with a limit, and with the last state in the message when it does not."""

import time
from collections.abc import Callable
from typing import TypeVar

State = TypeVar("State")


def eventually(
    look: Callable[[], State],
    holds: Callable[[State], bool] = bool,
    within_seconds: float = 30.0,
    every_seconds: float = 0.05,
) -> State:
    """The first state that holds. Fails with the last state seen when none did in time."""
    end = time.monotonic() + within_seconds
    while True:
        state = look()
        if holds(state):
            return state
        if time.monotonic() > end:
            raise AssertionError(f"did not hold within {within_seconds} s; last seen: {state!r}")
        time.sleep(every_seconds)  # noqa: TID251 - the one place where tests wait
