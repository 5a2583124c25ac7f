"""Recoveries as recorded status: those within a start of training, which cost no budget by themselves since the stage went on,
and those by a new start. And all that are over, told from what was recorded."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import RecoveryRecord
from pretrain_operator.brain import conditions
from pretrain_operator.brain.observed import StageRun

RESTORE = "Restore"
"""The rung of a recovery by a new start."""
RESTORE_PHASES = ("wait", "start")
"""Until the stage was started again, and until it made a step."""
_SAME = timedelta(seconds=1)
"""Two that are nearer are the same one: statuses may hold whole seconds."""
_TEXT = 256
"""As long as a short text of the status may be."""


def taken_in(recorded: PretrainJobStatus, train: StageRun | None) -> PretrainJobStatus:
    """The status with the newest recovery of the running attempt. Those that were not seen one by one are counted by
    its number; where another leader counts from the beginning, as one."""
    found = train.recovery if train else None
    if train is None or found is None:
        return recorded
    last = recorded.recovery.last_recovery
    known = last.number if last and last.attempt == train.attempt else 0
    if known and last and last.time and found.number <= known and found.time < last.time + _SAME:
        return recorded
    more = max(1, found.number - known)
    record = RecoveryRecord(
        kind=found.kind,
        worker=(found.worker or train.recovered or train.worker)[:_TEXT],
        rank=found.rank,
        cause=found.cause[:_TEXT],
        seconds=f"{found.seconds:.3f}",
        phases=_in_words(found.phases.items()),
        lost_steps=found.lost_steps,
        time=found.time,
        attempt=train.attempt,
        number=found.number,
    )
    if known and last and record.model_copy(update={"time": last.time}) == last:
        return recorded  # told again, by a clock that was set meanwhile
    changes = {"restarts": recorded.recovery.restarts + more, "last_recovery": record}
    return recorded.model_copy(update={"recovery": recorded.recovery.model_copy(update=changes)})


def restored(before: PretrainJobStatus, after: PretrainJobStatus, train: StageRun | None) -> PretrainJobStatus:
    """The status with a recovery by a new start, where that is what is over between two statuses. What it cost is known as
    far as it was told: a step that was never told of is not missed."""
    lost, mended = (conditions.condition(status, conditions.RECOVERING) for status in (before, after))
    is_over = lost.status == "True" and mended.status == "False" and lost.reason == conditions.RESTARTING
    if train is None or not (is_over and lost.last_transition_time and mended.last_transition_time):
        return after
    began, ended = lost.last_transition_time, mended.last_transition_time
    running = conditions.condition(after, conditions.RUNNING).last_transition_time or began
    waited, seconds = (max(began, running) - began).total_seconds(), (ended - began).total_seconds()
    parts = [(name, span) for name, span in zip(RESTORE_PHASES, (waited, seconds - waited), strict=True) if span > 0]
    record = RecoveryRecord(
        kind=RESTORE,
        cause=(lost.message.splitlines() or [""])[0][:_TEXT],
        seconds=f"{seconds:.3f}",
        phases=_in_words(parts),
        lost_steps=max(0, before.progress.step - int(train.figures.get("resumedStep", before.progress.step))),
        time=began,
        attempt=train.attempt,
    )
    return after.model_copy(update={"recovery": after.recovery.model_copy(update={"last_recovery": record})})


def _in_words(parts: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {seconds:.3f}" for name, seconds in parts)


def phases(record: RecoveryRecord) -> Iterator[tuple[str, float]]:
    """The phases of a recorded recovery by name, in seconds."""
    for part in filter(None, record.phases.split(", ")):
        name, seconds = part.split(" ")
        yield name, float(seconds)


@dataclass(frozen=True)
class Recovered:
    """A recovery that is over: from the loss to the next step."""

    rung: str
    began: datetime
    seconds: float
    phases: tuple[tuple[str, float], ...]
    """What the seconds were spent on, one after the other."""
    described: Mapping[str, str | int] = field(default_factory=dict)
    """Who, why and what it cost, by snake_case names."""


def between(before: PretrainJobStatus, after: PretrainJobStatus) -> Iterator[Recovered]:
    """Those that ended between two recorded statuses of a job: the newest, as it is recorded."""
    last = after.recovery.last_recovery
    if last and last.time and last != before.recovery.last_recovery:
        described: dict[str, str | int] = {
            "worker": last.worker, "rank": last.rank, "cause": last.cause, "lost_steps": last.lost_steps,
            "attempt": last.attempt, "number": last.number,
        }  # fmt: skip
        yield Recovered(last.kind, last.time, float(last.seconds or 0), tuple(phases(last)), described)
