"""The job as a whole: its first start, being run again, suspension, the deadline and its end."""

from datetime import datetime, timedelta

from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.status import Goodput, RecoveryStatus
from pretrain_operator.brain import failures, goodput

TERMINAL = ("Succeeded", "Failed")
STOP_GRACE_SECONDS = 300.0
"""How long a program may take to save and leave before it is killed."""
LEFTOVER_GRACE_SECONDS = 30.0
"""How long what is left of a disrupted start may take to save and leave."""
DELETION_GRACE_SECONDS = 60.0
"""How long the programs of a job that somebody deleted may take to leave."""


def opened(recorded: PretrainJobStatus, now: datetime, generation: int) -> PretrainJobStatus:
    """The status at the first look: the clock of the job runs."""
    update = {"start_time": recorded.start_time or now, "observed_generation": generation}
    return recorded.model_copy(update=update)


def run_again(recorded: PretrainJobStatus, now: datetime) -> PretrainJobStatus:
    """The status when a person runs the job again, after whatever end.

    Every stage is asked anew: its program finds its record and leaves at once unless its inputs changed. A stage
    that was running went down with its body, which is a disruption. The budget starts anew, and after a terminal
    state the job's clock as well.
    """
    if any(s.state == "Running" for s in recorded.stages):
        recorded = goodput.unwatched(failures.disrupted(recorded), now)
    before = recorded.recovery
    recovery = RecoveryStatus(
        failures=before.failures,
        disruptions=before.disruptions,
        restarts=before.restarts,
        last_recovery=before.last_recovery,
    )
    listed = [s.model_copy(update={"state": "Pending"}) for s in recorded.stages]
    status = recorded.model_copy(update={"stages": listed, "stage": "", "recovery": recovery})
    if recorded.state not in TERMINAL:
        return status
    fresh = {
        "state": "Pending",
        "start_time": now,
        "completion_time": None,
        "suspended_seconds": 0,
        "suspend_time": None,
        "goodput": Goodput(),
        "goodput_ratio": "",
    }
    return status.model_copy(update={**fresh, "conditions": []})


def redefined(recorded: PretrainJobStatus) -> PretrainJobStatus:
    """The status after a change of what is learned: how far training was no longer counts."""
    return recorded.model_copy(update={"checkpoint": None, "progress": PretrainJobStatus().progress})


def suspended_since(recorded: PretrainJobStatus, now: datetime) -> PretrainJobStatus:
    """The status from the moment nothing runs any more."""
    return recorded if recorded.suspend_time else recorded.model_copy(update={"suspend_time": now})


def resumed(recorded: PretrainJobStatus, now: datetime) -> PretrainJobStatus:
    """The status after a suspension; its time is put down so that the deadline does not count it."""
    if recorded.suspend_time is None:
        return recorded
    pause = max(0.0, (now - recorded.suspend_time).total_seconds())  # the clock may have been set back meanwhile
    seconds = recorded.suspended_seconds + round(pause)
    return recorded.model_copy(update={"suspend_time": None, "suspended_seconds": seconds})


def seconds_to_deadline(spec: PretrainJobSpec, recorded: PretrainJobStatus, now: datetime) -> float | None:
    """Seconds of work left; None without a deadline or while suspended."""
    if not spec.active_deadline_seconds or recorded.start_time is None or recorded.suspend_time is not None:
        return None
    end = recorded.start_time + timedelta(seconds=spec.active_deadline_seconds + recorded.suspended_seconds)
    return (end - now).total_seconds()


def seconds_to_live(spec: PretrainJobSpec, recorded: PretrainJobStatus, now: datetime) -> float | None:
    """Seconds until a finished job is deleted; None: it is not."""
    if spec.ttl_seconds_after_finished is None or recorded.completion_time is None:
        return None
    return (recorded.completion_time + timedelta(seconds=spec.ttl_seconds_after_finished) - now).total_seconds()


def deadline_message(spec: PretrainJobSpec) -> str:
    """The terminal message when the deadline has passed."""
    return (
        f"The job worked longer than spec.activeDeadlineSeconds ({spec.active_deadline_seconds}). "
        "Everything is saved; raise it or write 0, and run the job again to go on."
    )


def ended(recorded: PretrainJobStatus, state: str, now: datetime) -> PretrainJobStatus:
    """The status in a terminal state."""
    return recorded.model_copy(update={"state": state, "completion_time": now})
