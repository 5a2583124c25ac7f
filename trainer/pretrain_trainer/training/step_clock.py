"""What the parts of a step take, on a processor by its clock and on an accelerator by its own, without waiting for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import torch


class StepClock:
    """Seconds by phase of a step, added up until they are taken."""

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._seconds: dict[str, float] = {}
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextlib.contextmanager
    def at(self, phase: str) -> Iterator[None]:
        """The block is a part of this phase."""
        if self._is_cuda:
            # PyTorch gives the constructor of its events no types.
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begin.record()
            yield
            end.record()
            self._events.append((phase, begin, end))
            return
        began = time.perf_counter()
        yield
        self.add(phase, time.perf_counter() - began)

    def add(self, phase: str, seconds: float) -> None:
        """Measured elsewhere."""
        self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds

    def take(self) -> dict[str, float]:
        """Seconds by phase since the last call, of what is over; what the accelerator is still at comes with the next."""
        running = []
        for phase, begin, end in self._events:
            if end.query():  # type: ignore[no-untyped-call]
                self.add(phase, float(begin.elapsed_time(end)) / 1000)
            else:
                running.append((phase, begin, end))
        seconds, self._seconds, self._events = self._seconds, {}, running
        return seconds
