"""Which rank is slower than the others at its own work, without the waiting for each other: all wait for it at each step."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

WINDOW_STEPS = 20
"""Steps over which own work is added up, and after which it is compared."""
LEAST_RANKS = 3
"""Of fewer none is slower than most."""
_DEVIATIONS = 5.0
_LEAST_TIMES = 1.2
"""Times the median; whoever is nearer costs too little to be worth a word."""


@dataclass(frozen=True)
class Slow:
    """The slowest rank, where it stands out."""

    rank: int
    times: float
    """Its time as a multiple of the median."""


def slowest(seconds: Sequence[float]) -> Slow | None:
    """The rank whose own work takes longest, given each rank's seconds per sample, if it is above the median by 5 median
    absolute deviations and by a fifth."""
    if len(seconds) < LEAST_RANKS:
        return None
    median = statistics.median(seconds)
    deviation = statistics.median(abs(each - median) for each in seconds)
    rank = max(range(len(seconds)), key=seconds.__getitem__)
    if seconds[rank] <= max(median + _DEVIATIONS * deviation, _LEAST_TIMES * median):
        return None
    return Slow(rank, seconds[rank] / median)


class OwnWork:
    """This rank's time for forward and backward passes, per sample."""

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._seconds, self._samples = 0.0, 0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextlib.contextmanager
    def measured(self, samples: int) -> Iterator[None]:
        """Of so many samples; on an accelerator without waiting for it."""
        self._samples += samples
        if self._is_cuda:
            # PyTorch gives the constructor of its events no types.
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begin.record()
            yield
            end.record()
            self._events.append((begin, end))
            return
        began = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - began

    def per_sample(self) -> float:
        """Seconds per sample since the last call. Every measured step must be over."""
        seconds = self._seconds + sum(float(begin.elapsed_time(end)) / 1000 for begin, end in self._events)
        found = seconds / max(self._samples, 1)
        self._seconds, self._samples, self._events = 0.0, 0, []
        return found
