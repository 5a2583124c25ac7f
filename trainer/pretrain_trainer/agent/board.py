"""What ranks are at, in memory that they share with their agent: written by a rank in a microsecond, readable after its
death.
"""

from __future__ import annotations

import contextlib
import mmap
import time
from collections.abc import Iterator
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Phase(IntEnum):
    """What a rank is at. It comes to the first three after its fork, one after the other."""

    JOINING = 0
    LOADING = 1
    READING = 2
    """Waiting for a batch."""
    WARMING = 3
    """Computing something for the first time, which may mean compiling it."""
    COMPUTING = 4
    TOGETHER = 5
    """Waiting for the other ranks, in a collective."""
    SAVING = 6
    """Writing to storage, or to memory that outlives the rank."""


_SLOT = np.dtype(
    [
        ("step", np.int64),
        ("resumed", np.int64),
        ("stepped", np.float64),
        ("first", np.float64, (len(Phase),)),
        ("phase", np.int64),
        ("moves", np.int64),
        ("since", np.float64),
        ("longest", np.float64, (len(Phase),)),
    ]
)
_UNKNOWN = -1
_FADE = 0.98
"""What is left of the longest stay at a phase after each further one: after a hundred, hardly anything."""


class Board:
    """One slot for each rank of the machine: steps done, what it is at, and when it came to each phase first. Times are
    seconds of the monotonic clock, which all processes of a machine share."""

    def __init__(self, ranks: int) -> None:
        # A shared mapping without a file: it lives as long as any process that was forked with it.
        self._slots = np.frombuffer(mmap.mmap(-1, ranks * _SLOT.itemsize), _SLOT)
        self._slots["step"] = self._slots["resumed"] = _UNKNOWN
        # Looking fields up by name costs more than all the rest of a mark.
        self._phase, self._moves, self._since = (self._slots[name] for name in ("phase", "moves", "since"))
        self._first, self._longest = self._slots["first"], self._slots["longest"]
        self._wishes = mmap.mmap(-1, 1)

    def mark(self, local: int, phase: Phase, step: int | None = None) -> Phase:
        """Tell that a rank is at a phase now, and how many steps it has done; the phase that it was at."""
        now, before = time.monotonic(), int(self._phase[local])
        if self._moves[local]:
            stay = now - self._since[local]
            self._longest[local, before] = max(stay, _FADE * self._longest[local, before])
        if not self._first[local, phase]:
            self._first[local, phase] = now
        self._phase[local], self._since[local] = phase, now
        self._moves[local] += 1
        if step is not None:
            slot = self._slots[local]
            if slot["resumed"] == _UNKNOWN:
                slot["resumed"] = step
            elif step > slot["step"] and not slot["stepped"]:
                slot["stepped"] = now
            slot["step"] = step
        return Phase(before)

    @property
    def moves(self) -> NDArray[np.int64]:
        """How often each rank has told what it is at: int64 [ranks]."""
        return self._moves.copy()

    def phase(self, local: int) -> Phase:
        """What a rank is at."""
        return Phase(int(self._phase[local]))

    def longest(self, local: int) -> float:
        """Seconds of a rank's longest stay of late at what it is at now; those of long ago fade."""
        return float(self._longest[local, self._phase[local]])

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


def mark(phase: Phase, step: int | None = None) -> Phase:
    """Tell the agent, where there is one, what this rank is at and how many steps it has done; what it was at."""
    return _own[0].mark(_own[1], phase, step) if _own is not None else phase


def moved() -> None:
    """Tell the agent that this rank is still at the same phase, and has come further in it."""
    if _own is not None:
        _own[0].mark(_own[1], _own[0].phase(_own[1]))


@contextlib.contextmanager
def at(phase: Phase) -> Iterator[None]:
    """Tell that this rank is at a phase for as long as the block runs."""
    before = mark(phase)
    try:
        yield
    finally:
        mark(before)


def is_called_together() -> bool:
    """Whether this rank's agent wants all to leave for another world."""
    return _own is not None and _own[0].calls_together
