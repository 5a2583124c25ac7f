"""What keeps a job from going on until somebody mends it, as one condition."""

from datetime import datetime

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_operator.brain import conditions, stages
from pretrain_operator.brain.observed import Observed, StageRun

_WAITING = "WaitingForRepair"
_DOUBT_SECONDS = 60.0
"""A program that has worked so long after vain tries has found what they missed."""


def stated(recorded: PretrainJobStatus, stage: Stage, run: StageRun | None, observed: Observed) -> PretrainJobStatus:
    """The status with the STALLED condition as things stand: the first trouble, or what a program waits for."""
    now, kind, last = observed.now, conditions.STALLED, recorded.recovery.last_failure
    if observed.troubles:
        first, others = observed.troubles[0], len(observed.troubles) - 1
        message = first.message + (f" ({others} more like it.)" if others else "")
        return conditions.stated(recorded, kind, "True", first.reason, message, now)
    is_tried = stages.entry(recorded, stage).state == "Running" and run and not seconds_of_doubt(recorded, run, now)
    if recorded.recovery.waits and last and not is_tried:
        message = (
            f"{last.stage}: {last.message} It is tried again at least every 30 s, also without a change of the job."
        )
        return conditions.stated(recorded, kind, "True", _WAITING, message, now)
    if conditions.condition(recorded, kind).status == "True":
        message = "What was missing is there; nothing needs to be done."
        return conditions.stated(recorded, kind, "False", "Mended", message, now)
    return recorded


def seconds_of_doubt(recorded: PretrainJobStatus, run: StageRun | None, now: datetime) -> float:
    """Seconds until a program that was started after vain tries counts as working; 0 when it does."""
    if not recorded.recovery.waits or run is None:
        return 0.0
    return max(0.0, _DOUBT_SECONDS - (now - run.started).total_seconds())
