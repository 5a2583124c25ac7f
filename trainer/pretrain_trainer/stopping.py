"""Programs that have others at work and are asked to stop: SIGTERM and SIGINT, heard by one and passed on."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from pretrain_trainer import early
from pretrain_trainer.process import HEEDED, end_leftovers


class Stop:
    """SIGTERM and SIGINT: remembered, one that came early too, and passed on once to whoever is at work. A second one
    ends everything at once."""

    def __init__(self) -> None:
        self._pass_on: Callable[[], object] = lambda: None
        self._wakeup, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.was_asked = False
        for number in HEEDED:
            signal.signal(number, self._on_signal)
        self.was_asked = self.was_asked or early.was_asked_to_stop()

    def descriptors(self) -> list[int]:
        """What becomes readable when a stop is asked for, until it was."""
        return [] if self.was_asked else [self._wakeup]

    @contextlib.contextmanager
    def passed_on(self, action: Callable[[], object]) -> Iterator[None]:
        """Inside the block a stop is answered by the action, also one that came before."""
        self._pass_on = action
        try:
            if self.was_asked:
                action()
            yield
        finally:
            self._pass_on = lambda: None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.was_asked:
            end_leftovers()
            os._exit(128 + number)
        self.was_asked = True
        os.write(self._writer, b"s")
        self._pass_on()
