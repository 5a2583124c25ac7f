"""What happened between two recorded statuses, for people: the events of a job. Only what was recorded has happened."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pretrain_api.types import PretrainJobStatus
from pretrain_operator.brain import conditions

_BAD = {conditions.STALLED: "True", conditions.SUCCEEDED: "False", conditions.ACCEPTED: "False"}
"""Conditions that warn, by the status in which they do."""
_SHOWN = (
    conditions.STALLED,
    conditions.ACCEPTED,
    conditions.SUSPENDED,
    conditions.RECOVERING,
    conditions.SUCCEEDED,
)


@dataclass(frozen=True)
class Happening:
    """One event."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


def between(before: PretrainJobStatus, after: PretrainJobStatus) -> Iterator[Happening]:
    """The events that lead from one status to the next, in the order of the stages, conditions last."""
    known = {s.name: s for s in before.stages}
    for stage in after.stages:
        old = known.get(stage.name)
        if stage.attempts and (old is None or old.attempts != stage.attempts):
            again = f", attempt {stage.attempts}" if stage.attempts > 1 else ""
            yield Happening("Normal", "StageStarted", f"{stage.name} begins{again}.")
        if old is not None and old.state != stage.state and stage.state in ("Complete", "Failed"):
            kind: Literal["Normal", "Warning"] = "Normal" if stage.state == "Complete" else "Warning"
            yield Happening(kind, f"Stage{stage.state}", f"{stage.name}: {stage.message or stage.state.lower()}")
    recovering = conditions.condition(after, conditions.RECOVERING)
    lost = recovering.message if recovering.reason in (conditions.SHRINKING, conditions.REPLACING) else ""
    if after.recovery.disruptions > before.recovery.disruptions:
        what = next((s.message for s in after.stages if s.message and s.state == "Pending"), lost)
        yield Happening("Normal", "Disrupted", what or "A program was stopped from outside.")
    elif after.recovery.failures > before.recovery.failures and lost:
        yield Happening("Warning", recovering.reason, lost)
    for kind_ in _SHOWN:
        old_condition, condition = conditions.condition(before, kind_), conditions.condition(after, kind_)
        if condition.status == "Unknown" or condition.status == old_condition.status:
            continue
        if kind_ == conditions.RECOVERING and condition.status == "True":
            continue  # the failure or disruption itself is told above
        bad = _BAD.get(kind_) == condition.status
        yield Happening("Warning" if bad else "Normal", condition.reason, condition.message)
