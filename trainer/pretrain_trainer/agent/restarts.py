"""When training is broken off and goes on, in place or in another roster, and what it cost: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pretrain_api import exits
from pretrain_api.events import SIGNAL, Outcome
from pretrain_api.recoveries import Kind, Recovery
from pretrain_trainer.agent.board import Board, Phase
from pretrain_trainer.agent.place import Place

MOST_IN_VAIN = 3
"""So many deaths in a row with no new step in between are left to the operator."""
_PHASES = (("start", Phase.JOINING), ("join", Phase.LOADING), ("load", Phase.READING))
"""Each with the phase that ends it."""


@dataclass(frozen=True)
class Loss:
    """A rank that was killed, or has to be."""

    rank: int
    code: int
    node: int
    hang: str = ""
    """How it hangs, where nothing else has killed it."""
    stood: float = 0.0
    """For how many seconds it had before anybody noticed."""

    @property
    def cause(self) -> str:
        """For people."""
        return self.hang or exits.in_words(self.code)


@dataclass(frozen=True)
class Deaths:
    """The deaths so far."""

    count: int = 0
    """With the changes of the roster, which break training off as well."""
    in_vain: int = 0
    """Of the last ones, those with no new step before them."""
    furthest: int = -1
    """The furthest step before them."""

    def and_one(self, step: int) -> Deaths:
        """With one more, at so many steps."""
        in_vain = 0 if step > self.furthest else self.in_vain + 1
        return Deaths(self.count + 1, in_vain, max(self.furthest, step))

    def and_a_change(self, step: int) -> Deaths:
        """With a change of the roster, which nobody died of here."""
        return Deaths(self.count + 1, self.in_vain, max(self.furthest, step))

    @property
    def are_too_many(self) -> bool:
        return self.in_vain >= MOST_IN_VAIN


def is_recoverable(outcome: Outcome | None) -> bool:
    """Whether a new start in place can help: a rank was killed. What a program says of its own end is for the operator
    to judge."""
    return outcome is not None and outcome.outcome == "failed" and outcome.kind == SIGNAL


@dataclass(frozen=True)
class Break:
    """Something for which all ranks begin again, and what followed."""

    kind: Kind
    cause: str
    deaths: Deaths
    """With this one."""
    at: float
    """When it was noticed, of a hang when that began, in seconds of the monotonic clock."""
    time: datetime
    reached: int
    """Steps done before it, or before an earlier break that training had not come back from; -1 for none."""
    stopped: float
    """When every rank of this machine was gone and a new start decided, on the same clock."""
    rank: int = -1
    """The rank that was killed, where it was one."""
    node: int = 0
    worker: str = ""
    """The machine that was lost or came, by its name, where it was one."""


def changed(before: Place, after: Place) -> tuple[Kind, str]:
    """What a new world is after the one before: its kind, and the first machine that was lost, or else came."""
    lost = [name for name in before.machines if name not in after.machines]
    came = [name for name in after.machines if name not in before.machines]
    if not lost:
        return "Grow", ", ".join(came[:1])
    return "Shrink" if len(after.machines) < len(before.machines) else "Replace", lost[0]


def recovery(past: Break, board: Board) -> Recovery | None:
    """What the recovery cost, once every rank has made a step; None before."""
    if board.stepped is None:
        return None
    marks = [
        ("stop", past.stopped),
        *((name, board.came_to(phase)) for name, phase in _PHASES),
        ("step", board.stepped),
    ]
    return Recovery(
        number=past.deaths.count,
        kind=past.kind,
        rank=past.rank,
        node=past.node,
        worker=past.worker,
        cause=past.cause,
        time=past.time,
        seconds=round(board.stepped - past.at, 3),
        lost_steps=max(0, past.reached - board.resumed),
        phases=_spans(past.at, marks),
    )


def _spans(begin: float, marks: Sequence[tuple[str, float | None]]) -> dict[str, float]:
    """Seconds between each mark and the one before."""
    spans = {}
    for name, at in marks:
        if at is not None:
            spans[name], begin = round(at - begin, 3), at
    return spans
