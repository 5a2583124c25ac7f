"""Facts about a job as Kubernetes conditions, and the one word that people see.

Every message ends in what to do or what happens next.
"""

import functools
from datetime import datetime
from typing import Literal

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import Condition, State

SUCCEEDED = "Succeeded"
"""The one summary: Unknown while the job works."""
RUNNING = "Running"
"""Whether a stage's program is at work. Unknown while it was asked to stop and has not left yet."""
CHECKPOINTED = "Checkpointed"
"""Whether a complete checkpoint exists."""
RECOVERING = "Recovering"
"""From a failure, a disruption or the loss of a worker to the first new step."""
STRAGGLING = "Straggling"
"""Whether one rank is much slower than the others. Shown once one was."""
STALLED = "Stalled"
"""Whether something outside the job keeps it from going on until somebody mends it."""
ACCEPTED = "Accepted"
"""Whether the spec is followed as it stands. Shown once something in it was refused."""
SUSPENDED = "Suspended"
"""Whether the job is suspended and nothing of it runs."""

RESTARTING = "Restarting"
"""Reason of RECOVERING: the stage is started anew, and training goes on from its newest checkpoint."""
SHRINKING = "Shrinking"
"""Reason of RECOVERING: a worker was lost, and fewer go on in the same start."""
REPLACING = "Replacing"
"""Reason of RECOVERING: a worker was lost, and the others go on in the same start once another has its place."""
STORAGE_IN_USE = "StorageInUse"
"""Reason of STALLED, and of RUNNING while the job waits: another job works in its storage, and will leave."""
STOPPING = "Stopping"
"""Reason of RUNNING while a program was asked to leave."""

_AT_WORK: dict[Stage, State] = {
    Stage.COLLECT: "Collecting",
    Stage.PREPARE: "Preparing",
    Stage.TOKENIZER: "Tokenizing",
    Stage.ENCODE: "Encoding",
    Stage.TRAIN: "Training",
    Stage.EVALUATE: "Evaluating",
    Stage.EXPORT: "Exporting",
    Stage.REPORT: "Reporting",
}


def condition(recorded: PretrainJobStatus, kind: str) -> Condition:
    """The recorded condition of a type; Unknown when it was never set."""
    return _found(recorded, kind) or _unknown(kind)


def _found(recorded: PretrainJobStatus, kind: str) -> Condition | None:
    for each in recorded.conditions:  # a loop, which a decision enters some twenty times
        if each.type == kind:
            return each
    return None


@functools.cache
def _unknown(kind: str) -> Condition:
    return Condition(type=kind, status="Unknown")


def stated(
    recorded: PretrainJobStatus,
    kind: str,
    status: Literal["True", "False", "Unknown"],
    reason: str,
    message: str,
    now: datetime,
) -> PretrainJobStatus:
    """The status with one condition set. Its transition time changes only when its status does."""
    before = _found(recorded, kind)
    wanted = status, reason, message, recorded.observed_generation
    if before and (before.status, before.reason, before.message, before.observed_generation) == wanted:
        return recorded
    since = before.last_transition_time if before and before.status == status else now
    stated = Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=since,
        observed_generation=recorded.observed_generation,
    )
    if before:
        conditions = [stated if c.type == kind else c for c in recorded.conditions]
    else:
        conditions = [*recorded.conditions, stated]
    return recorded.model_copy(update={"conditions": conditions})


def is_stopping(recorded: PretrainJobStatus) -> bool:
    """Whether the running program was asked to leave."""
    return condition(recorded, RUNNING).reason == STOPPING


def stopping_seconds(recorded: PretrainJobStatus, now: datetime) -> float:
    """Seconds since the running program was asked to leave."""
    since = condition(recorded, RUNNING).last_transition_time
    return (now - since).total_seconds() if is_stopping(recorded) and since else 0.0


def checkpointed(recorded: PretrainJobStatus, now: datetime) -> PretrainJobStatus:
    """The status with the CHECKPOINTED condition that its newest checkpoint implies."""
    if recorded.checkpoint is None or condition(recorded, CHECKPOINTED).status == "True":
        return recorded
    message = "A complete checkpoint exists; training goes on from the newest one after any interruption."
    return stated(recorded, CHECKPOINTED, "True", "CheckpointCommitted", message, now)


def _waits_for_a_person(recorded: PretrainJobStatus) -> bool:
    stalled = condition(recorded, STALLED)
    return stalled.status == "True" and stalled.reason != STORAGE_IN_USE


def printed(recorded: PretrainJobStatus, stage: Stage, has_stepped: bool, is_queued: bool) -> PretrainJobStatus:
    """The status with the word that people see while `stage` is at work or about to be."""
    state: State = _AT_WORK[stage]
    is_recovering = stage is Stage.TRAIN and condition(recorded, RECOVERING).status == "True"
    is_training = stage is Stage.TRAIN and has_stepped and not is_recovering
    if is_queued:
        state = "Queued"
    elif _waits_for_a_person(recorded) and not is_training:
        state = "Stalled"
    elif is_recovering:
        state = "Recovering"
    elif stage is Stage.TRAIN and not has_stepped:
        state = "Starting"
    return recorded.model_copy(update={"state": state, "stage": stage.value})
