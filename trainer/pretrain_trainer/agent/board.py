"""What ranks are at, in memory that they share with their agent: written by a rank in a microsecond, readable after its
death.
"""

from __future__ import annotations

import mmap
import time
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Phase(IntEnum):
    """What a rank comes to after its fork, one after the other."""

    JOINING = 0
    LOADING = 1
    READING = 2
    """Waiting for a batch."""


_SLOT = np.dtype(
    [
        ("step", np.int64),
        ("resumed", np.int64),
        ("stepped", np.float64),
        ("first", np.float64, (len(Phase),)),
    ]
)
_UNKNOWN = -1


class Board:
    """One slot for each rank of the machine: steps done, and when it came to each phase first. Times are seconds of the
    monotonic clock, which all processes of a machine share."""

    def __init__(self, ranks: int) -> None:
        # A shared mapping without a file: it lives as long as any process that was forked with it.
        self._slots = np.frombuffer(mmap.mmap(-1, ranks * _SLOT.itemsize), _SLOT)
        self._slots["step"] = self._slots["resumed"] = _UNKNOWN
        self._wishes = mmap.mmap(-1, 1)

    def mark(self, local: int, phase: Phase, step: int | None = None) -> None:
        """Tell that a rank is at a phase now, and how many steps it has done."""
        slot, now = self._slots[local], time.monotonic()
        if not slot["first"][phase]:
            slot["first"][phase] = now
        if step is not None:
            if slot["resumed"] == _UNKNOWN:
                slot["resumed"] = step
            elif step > slot["step"] and not slot["stepped"]:
                slot["stepped"] = now
            slot["step"] = step

    def call_together(self) -> None:
        """Ask the ranks to keep their state in memory and leave at the end of a step: they are to train in another
        world. They agree on it; ranks of other machines come along."""
        self._wishes[0] = 1

    @property
    def calls_together(self) -> bool:
        """Whether the ranks were asked to."""
        return bool(self._wishes[0])

    @property
    def step(self) -> int:
        """Steps done by the rank that is furthest; -1 while none has told."""
        return int(self._slots["step"].max())

    @property
    def resumed(self) -> int:
        """The step that training began at; -1 while that is not known."""
        return int(self._slots["resumed"].max())

    @property
    def stepped(self) -> float | None:
        """When all ranks had made a step; None while one has not."""
        return _last(self._slots["stepped"])

    def came_to(self, phase: Phase) -> float | None:
        """When the last rank came to a phase first; None while one has not."""
        return _last(self._slots["first"][:, phase])


def _last(times: NDArray[np.float64]) -> float | None:
    """The latest; None while one is missing."""
    return float(times.max()) if times.all() else None


_own: tuple[Board, int] | None = None
"""Where this process is a rank of an agent: the board and its slot."""


def write_to(board: Board, local: int) -> None:
    """From here on this process is the rank with this number on its machine."""
    global _own
    _own = board, local


def mark(phase: Phase, step: int | None = None) -> None:
    """Tell the agent, where there is one, what this rank is at and how many steps it has done."""
    if _own is not None:
        _own[0].mark(_own[1], phase, step)


def is_called_together() -> bool:
    """Whether this rank's agent wants all to leave for another world."""
    return _own is not None and _own[0].calls_together
