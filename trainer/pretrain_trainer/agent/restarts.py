"""When ranks are started again in place, and what it cost: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pretrain_api import exits
from pretrain_api.events import SIGNAL, Outcome
from pretrain_api.recoveries import Recovery
from pretrain_trainer.agent.board import Board, Phase

MOST_IN_VAIN = 3
"""So many deaths in a row with no new step in between are left to the operator."""
_PHASES = (("start", Phase.JOINING), ("join", Phase.LOADING), ("load", Phase.READING))
"""Each with the phase that ends it."""


@dataclass(frozen=True)
class Loss:
    """A rank that was killed."""

    rank: int
    code: int
    node: int


@dataclass(frozen=True)
class Deaths:
    """The deaths so far."""

    count: int = 0
    in_vain: int = 0
    """Of the last ones, those with no new step before them."""
    furthest: int = -1
    """The furthest step before them."""

    def and_one(self, step: int) -> Deaths:
        """With one more, at so many steps."""
        in_vain = 0 if step > self.furthest else self.in_vain + 1
        return Deaths(self.count + 1, in_vain, max(self.furthest, step))

    @property
    def are_too_many(self) -> bool:
        return self.in_vain >= MOST_IN_VAIN


def is_recoverable(outcome: Outcome | None) -> bool:
    """Whether a new start in place can help: a rank was killed. What a program says of its own end is for the operator
    to judge."""
    return outcome is not None and outcome.outcome == "failed" and outcome.kind == SIGNAL


@dataclass(frozen=True)
class Death:
    """A rank that was killed, and what followed."""

    loss: Loss
    deaths: Deaths
    """With this one."""
    at: float
    """When it was noticed, in seconds of the monotonic clock."""
    time: datetime
    stopped: float
    """When every rank of this machine was gone and a new start decided, on the same clock."""


def recovery(death: Death, board: Board) -> Recovery | None:
    """What the recovery cost, once every rank has made a step; None before."""
    if board.stepped is None:
        return None
    marks = [
        ("stop", death.stopped),
        *((name, board.came_to(phase)) for name, phase in _PHASES),
        ("step", board.stepped),
    ]
    return Recovery(
        number=death.deaths.count,
        kind="Restart",
        rank=death.loss.rank,
        node=death.loss.node,
        cause=exits.in_words(death.loss.code),
        time=death.time,
        seconds=round(board.stepped - death.at, 3),
        lost_steps=max(0, death.deaths.furthest - board.resumed),
        phases=_spans(death.at, marks),
    )


def _spans(begin: float, marks: Sequence[tuple[str, float | None]]) -> dict[str, float]:
    """Seconds between each mark and the one before."""
    spans = {}
    for name, at in marks:
        if at is not None:
            spans[name], begin = round(at - begin, 3), at
    return spans
