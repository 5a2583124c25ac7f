"""Where the time of a job goes: every second of its life belongs to exactly one item of an account. Pure.

The operator and `pretrain run` keep the account in `status.goodput`. Two sources fill it: the job's state, for whole
stretches of time, and the trainer's own totals, for what happens between two steps. Those totals are part of the state of
training, so that going back to an earlier state takes back the time of the steps since: the time that no step which stands
accounts for is what was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from pretrain_api.types.status import Activity, Goodput, TimeSpent

_MILLISECOND = timedelta(milliseconds=1)
_SLACK = 100
"""Milliseconds by which the clock of the steps may differ from that of the reports."""


class Item(NamedTuple):
    """An entry of the account; rung and phase are those of a recovery."""

    activity: Activity
    rung: str = ""
    phase: str = ""


PRODUCTIVE, COMPILATION = Item("Productive"), Item("Compilation")
DATA_WAIT, CHECKPOINT_STALL, EVALUATION = Item("DataWait"), Item("CheckpointStall"), Item("Evaluation")
QUEUED, STARTING, SUSPENDED = Item("Queued"), Item("Starting"), Item("Suspended")
OTHER_STAGES, LOST = Item("OtherStages"), Item("Lost")
WAIT = "wait"
"""Phase of a recovery before whoever carries it out has told of its own phases."""
STEP = "step"
"""Phase of a recovery that is a step already, and counted as one."""

FIGURES: Mapping[str, Item] = {
    "productiveSeconds": PRODUCTIVE,
    "dataWaitSeconds": DATA_WAIT,
    "checkpointStallSeconds": CHECKPOINT_STALL,
    "evaluationSeconds": EVALUATION,
    "compilationSeconds": COMPILATION,
}
"""The trainer's totals, by the names of `pretrain_api.events.ProgressEvent.figures`."""
SINCE = "sinceTime"
"""The figure that says when the process which tells of them began to train, in seconds since 1970."""


def recovering(rung: str, phase: str = WAIT) -> Item:
    """The entry of a phase of a recovery."""
    return Item("Recovery", rung, phase)


@dataclass(frozen=True)
class Account:
    """Milliseconds by item, from the job's start until `until`; all of them add up to that time."""

    until: datetime
    spent: Mapping[Item, int] = field(default_factory=dict)
    stood: Mapping[Item, int] | None = None
    """The trainer's totals as last told; None before there were any."""

    @property
    def total(self) -> int:
        return sum(self.spent.values())

    @property
    def ratio(self) -> float | None:
        """Share of the time that turned into steps which stand. Suspensions and the stages around training do not count;
        None before there is any other time."""
        counted = self.total - self.spent.get(SUSPENDED, 0) - self.spent.get(OTHER_STAGES, 0)
        return self.spent.get(PRODUCTIVE, 0) / counted if counted > 0 else None

    def passed(self, now: datetime, item: Item) -> Account:
        """With the time until now, all of it spent on one thing."""
        window = max(0, (now - self.until) // _MILLISECOND)
        return replace(
            self, until=self.until + window * _MILLISECOND, spent=_with(self.spent, {item: window} if window else {})
        )

    def trained(self, figures: Mapping[str, float], time: datetime, meanwhile: Item) -> Account:
        """With what a trainer told at `time`. Until its process began to train the time goes to `meanwhile`.

        From then on its totals say what the time was spent on, and the rest is lost. Where they have grown by more than
        that time, they hold steps that nobody had told of before a break: these take their time back out of what
        seemed lost. Where they have grown by less, training went on from an earlier state, and the difference is lost.
        """
        totals = {item: round(1000 * figures[name]) for name, item in FIGURES.items()}
        begun = round(1000 * (time.timestamp() - figures[SINCE]))
        window = max(0, (time - self.until) // _MILLISECOND)
        own = max(0, min(window, begun))
        stood = _before_this_life(totals, own, begun) if self.stood is None else self.stood
        change = {item: max(total - stood.get(item, 0), _least(item, self.spent)) for item, total in totals.items()}
        spent = _with(self.spent, {**change, meanwhile: window - own})
        unexplained = own - sum(change.values())
        if unexplained >= 0:
            spent = _with(spent, {LOST: unexplained})
        else:
            spent = _taken(spent, -unexplained, (LOST, meanwhile, *_waits(spent), STARTING, SUSPENDED))
        return Account(self.until + window * _MILLISECOND, spent, totals)

    def recovered(self, rung: str, phases: Mapping[str, float]) -> Account:
        """With the seconds of a recovery's phases, which until now were taken for time lost or spent waiting for it."""
        own = {recovering(rung, name): round(1000 * seconds) for name, seconds in phases.items() if name != STEP}
        sources = (*_waits(self.spent), LOST)
        there = sum(self.spent.get(item, 0) for item in sources)
        for item, amount in own.items():
            own[item] = min(amount, there)
            there -= own[item]
        return replace(self, spent=_taken(_with(self.spent, own), sum(own.values()), sources))


def account_of(goodput: Goodput, start: datetime) -> Account:
    """The account as it is recorded, of a job that began at `start`."""
    stood = _read(goodput.stood) if goodput.stood else None
    return Account(goodput.until or start, _read(goodput.spent), stood)


def recorded(account: Account) -> Goodput:
    """The account as a part of the status."""
    return Goodput(until=account.until, spent=_written(account.spent), stood=_written(account.stood or {}))


def seconds(spent: Iterable[TimeSpent]) -> dict[Activity, float]:
    """Seconds by activity, of those that took any."""
    found: dict[Activity, float] = {}
    for each in spent:
        found[each.activity] = found.get(each.activity, 0.0) + float(each.seconds)
    return found


def _read(entries: Iterable[TimeSpent]) -> dict[Item, int]:
    return {Item(each.activity, each.rung, each.phase): round(1000 * float(each.seconds)) for each in entries}


def _written(spent: Mapping[Item, int]) -> list[TimeSpent]:
    return [
        TimeSpent(activity=item.activity, rung=item.rung, phase=item.phase, seconds=f"{amount / 1000:.3f}")
        for item, amount in sorted(spent.items())
        if amount
    ]


def _before_this_life(totals: Mapping[Item, int], own: int, begun: int) -> dict[Item, int]:
    """What training had taken before the account began: nothing, or what a checkpoint of an earlier job held. How that
    splits is not told, so the first figures behind it count as productive."""
    if sum(totals.values()) <= begun + _SLACK:
        return {}
    return {**totals, PRODUCTIVE: totals[PRODUCTIVE] - own}


def _least(item: Item, spent: Mapping[Item, int]) -> int:
    """How little an item may change by. The time of a checkpoint is not taken back: the state before it does not know of
    it, and nobody makes it again."""
    return 0 if item == CHECKPOINT_STALL else -spent.get(item, 0)


def _waits(spent: Mapping[Item, int]) -> list[Item]:
    return [item for item in spent if item.phase == WAIT]


def _with(spent: Mapping[Item, int], more: Mapping[Item, int]) -> dict[Item, int]:
    return {**spent, **{item: spent.get(item, 0) + amount for item, amount in more.items()}}


def _taken(spent: Mapping[Item, int], amount: int, sources: Iterable[Item]) -> dict[Item, int]:
    """Without so much: of the sources in their order, then, should clocks disagree that far, of whatever there is."""
    left = dict(spent)
    for item in (*sources, *sorted(left, key=left.__getitem__, reverse=True)):
        part = min(amount, left.get(item, 0))
        if part:
            left[item], amount = left[item] - part, amount - part
    return left
