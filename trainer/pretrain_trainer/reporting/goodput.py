"""Where the time of the job went, as the report shows it: the account of its status, with what is still open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pretrain_api import goodput
from pretrain_api.goodput import Account
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import Activity, TimeSpent
from pretrain_trainer.reporting import plots

_NAMES: dict[Activity, str] = {
    "Productive": "Steps that stand",
    "DataWait": "Waiting for data",
    "CheckpointStall": "Held up by checkpoints",
    "Evaluation": "Evaluation",
    "Compilation": "First steps, with compilation",
    "Recovery": "Recovery",
    "Queued": "Queued",
    "Starting": "Programs starting and ending",
    "Suspended": "Suspended",
    "OtherStages": "Stages around training",
    "Lost": "Lost: made again, or for nothing",
}


@dataclass(frozen=True)
class Share:
    """One row of the table, one part of the bar."""

    name: str
    seconds: float
    share: float
    """Of all time."""
    colour: str
    detail: str
    """Of a recovery: seconds by rung and phase."""


def account_of(status: PretrainJobStatus, now: datetime) -> Account | None:
    """The account of a run, up to now where its last stage writes this, else up to what was told last: what it has been at
    since then, or whether it was at anything, is not known here. None where no status is known, as in a cluster."""
    if status.start_time is None or not status.goodput.spent:
        return None
    account = goodput.account_of(status.goodput, status.start_time)
    is_at_its_end = status.completion_time is None and status.stage == Stage.REPORT
    return account.passed(now, goodput.OTHER_STAGES) if is_at_its_end else account


def shares(spent: Sequence[TimeSpent]) -> list[Share]:
    """The activities that took any time, in the order of the API."""
    by_activity = goodput.seconds(spent)
    total = sum(by_activity.values())
    return [
        Share(name, seconds, seconds / total, plots.colour(place), _detail(spent) if activity == "Recovery" else "")
        for place, (activity, name) in enumerate(_NAMES.items())
        if (seconds := by_activity.get(activity, 0.0)) > 0
    ]


def _detail(spent: Sequence[TimeSpent]) -> str:
    parts = [f"{each.rung} {each.phase} {float(each.seconds):.1f} s" for each in spent if each.activity == "Recovery"]
    return ", ".join(parts)
