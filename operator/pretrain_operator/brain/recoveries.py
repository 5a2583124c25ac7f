"""Recoveries within a start of training, as recorded status. They cost no budget by themselves: the stage went on."""

from collections.abc import Iterator
from datetime import timedelta

from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import RecoveryRecord
from pretrain_operator.brain.observed import StageRun

_SAME = timedelta(seconds=1)
"""Two that are nearer are the same one: statuses may hold whole seconds."""


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
        worker=found.worker or train.recovered or train.worker,
        rank=found.rank,
        cause=found.cause,
        seconds=f"{found.seconds:.3f}",
        phases=", ".join(f"{name} {seconds:.3f}" for name, seconds in found.phases.items()),
        lost_steps=found.lost_steps,
        time=found.time,
        attempt=train.attempt,
        number=found.number,
    )
    changes = {"restarts": recorded.recovery.restarts + more, "last_recovery": record}
    return recorded.model_copy(update={"recovery": recorded.recovery.model_copy(update=changes)})


def phases(record: RecoveryRecord) -> Iterator[tuple[str, float]]:
    """The phases of a recorded recovery by name, in seconds."""
    for part in filter(None, record.phases.split(", ")):
        name, seconds = part.split(" ")
        yield name, float(seconds)
