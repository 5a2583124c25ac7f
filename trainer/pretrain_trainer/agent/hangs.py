"""Ranks that live and make no progress: when that is a hang, and whose: pure, but for reading the board.

One rank that hangs holds up all, since they wait for each other at every step. So whoever notices asks all machines what
their ranks are at, and who is to blame is told from all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pretrain_trainer.agent.board import Board, Phase
from pretrain_trainer.agent.restarts import Loss

LEAST_SECONDS = 10.0
"""No shorter stay at a phase is a hang."""
TIMES_LONGEST = 5.0
"""Nor one of fewer times the longest stay of late at the same phase."""
MOST_SECONDS = 600.0
"""Any longer one is."""
MEET_SECONDS = 300.0
"""So is any longer one of ranks that look for each other,"""
PATIENCE_SECONDS = 1800.0
"""and any longer one at a phase that is not expected to end soon."""
_LONGEST_LOOK_SECONDS = 2.0
"""Of the time between two looks no more counts: an agent that was held up itself, with its machine, saw nothing."""
_RESTLESS = (Phase.COMPUTING, Phase.TOGETHER)
"""Phases that end soon by themselves. The others wait for storage, which has a patience of its own, or for a compiler."""


class Watch:
    """Looks at the board again and again."""

    def __init__(self, board: Board, hang_seconds: int) -> None:
        """`hang_seconds`: of no progress in a phase that ends soon are a hang; 0: learned from the board."""
        self._board, self._moves, self._at = board, board.moves, 0.0
        self._hang_seconds = hang_seconds
        self._idle = np.zeros(len(self._moves))

    def look(self, now: float) -> bool:
        """Whether a rank of this machine has made no progress for too long; `now` in seconds of the monotonic clock."""
        moves = self._board.moves
        passed = min(now - self._at, _LONGEST_LOOK_SECONDS) if self._at else 0.0
        self._idle = np.where(moves == self._moves, self._idle + passed, 0.0)
        self._moves, self._at = moves, now
        return any(idle > self._limit(local) for local, idle in enumerate(self._idle))

    def seconds(self, local: int) -> float:
        """For how long a rank has been seen to make no progress."""
        return float(self._idle[local])

    def _limit(self, local: int) -> float:
        if self._board.phase(local) not in _RESTLESS:
            return _patience(self._board.phase(local))
        if self._hang_seconds:
            return self._hang_seconds
        return min(max(LEAST_SECONDS, TIMES_LONGEST * self._board.longest(local)), MOST_SECONDS)


@dataclass(frozen=True)
class Seen:
    """What a rank was at when its agent looked."""

    rank: int
    node: int
    phase: int
    seconds: float
    """For how long it had made no progress."""
    where: str
    """Innermost place in its program; empty for a process that does not run."""


def verdict(seen: Sequence[Seen]) -> Loss | None:
    """Whose hang it is, given what all ranks are at; None where none has hung: some wait for storage, or one moves."""
    frozen = [each for each in seen if not each.where]
    if frozen:
        return _of(frozen, seen, "does not run")
    if any(each.seconds < _patience(each.phase) for each in seen):
        return None
    working = [each for each in seen if each.phase != Phase.TOGETHER]
    culprits = working if 0 < len(working) < len(seen) else _odd(seen) or seen
    return _of(culprits, seen, "")


def _patience(phase: int) -> float:
    """Seconds that a rank may stay there while another one hangs."""
    if phase in _RESTLESS:
        return _LONGEST_LOOK_SECONDS
    return {Phase.JOINING: MEET_SECONDS, Phase.WARMING: MOST_SECONDS}.get(Phase(phase), PATIENCE_SECONDS)


def _odd(seen: Sequence[Seen]) -> list[Seen]:
    """Those that are elsewhere than most; none where there is no most."""
    (where, count), *_ = Counter(each.where for each in seen).most_common(1)
    return [each for each in seen if each.where != where] if 2 * count > len(seen) else []


def _of(culprits: Sequence[Seen], seen: Sequence[Seen], what: str) -> Loss:
    first = culprits[0]
    what = what or f"made no progress for {first.seconds:.0f} s at {first.where}"
    who = (
        f"rank {first.rank}" if len(culprits) == 1 else f"{len(culprits)} of {len(seen)} ranks, {first.rank} the first,"
    )
    return Loss(first.rank, 0, first.node, f"{who} {what}", max(each.seconds for each in culprits))
