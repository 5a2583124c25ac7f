"""Which stage is next, what its inputs are, and what a stage's status becomes.

The order is that of `pretrain_api.stages.Stage`; one stage runs at a time.
"""

from datetime import datetime
from typing import Any

from pretrain_api.stages import NO_FLOW, Flow, Stage, planned, upstream_of
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.status import StageStatus
from pretrain_operator.brain.observed import Finished

_PLACES = {stage: place for place, stage in enumerate(Stage)}


def listed(recorded: PretrainJobStatus, spec: PretrainJobSpec) -> PretrainJobStatus:
    """The status with an entry for every stage that the job has, in order."""
    known, wanted = {s.name: s for s in recorded.stages}, planned(spec)
    if list(known) == [stage.value for stage in wanted]:
        return recorded
    stages = [known.get(stage.value) or StageStatus(name=stage.value) for stage in wanted]
    return recorded.model_copy(update={"stages": stages})


def entry(recorded: PretrainJobStatus, stage: Stage) -> StageStatus:
    """The recorded status of a stage."""
    place = _PLACES[stage]
    if place < len(recorded.stages) and (usual := recorded.stages[place]).name == stage:
        return usual  # as `listed` leaves them; a decision asks for some twenty
    return next((s for s in recorded.stages if s.name == stage), None) or StageStatus(name=stage.value)


def changed(recorded: PretrainJobStatus, stage: Stage, **changes: Any) -> PretrainJobStatus:
    """The status with some fields of one stage replaced."""
    stages = [s.model_copy(update=changes) if s.name == stage.value else s for s in recorded.stages]
    return recorded.model_copy(update={"stages": stages})


def next_stage(recorded: PretrainJobStatus, spec: PretrainJobSpec) -> Stage | None:
    """The first stage that is not complete; None when all are."""
    return next((s for s in planned(spec) if entry(recorded, s).state != "Complete"), None)


def upstream(recorded: PretrainJobStatus, stage: Stage, spec: PretrainJobSpec) -> dict[Stage, str]:
    """Identities of the stages whose results `stage` reads. They are all complete when `stage` is next."""
    return {u: entry(recorded, u).fingerprint for u in upstream_of(stage, spec)}


def completed(
    recorded: PretrainJobStatus,
    stage: Stage,
    fingerprint: str,
    started: datetime,
    now: datetime,
    message: str = "",
    flow: Flow = NO_FLOW,
) -> PretrainJobStatus:
    """The stage as complete. `started`: when the attempt that completed it did. `flow`: what went through it.

    One that was complete before with the same identity keeps its times; with another, its clock began with the attempt.
    """
    before = entry(recorded, stage)
    same = before.fingerprint == fingerprint and before.completion_time is not None
    return changed(
        recorded,
        stage,
        state="Complete",
        phase="",
        fingerprint=fingerprint,
        start_time=before.start_time if same or not before.fingerprint else started,
        completion_time=before.completion_time if same else now,
        message=message or before.message,
        **flow.model_dump(),
    )


def found(recorded: PretrainJobStatus, stage: Stage, finished: Finished) -> PretrainJobStatus:
    """The stage as complete because its record is in storage."""
    return changed(
        recorded,
        stage,
        state="Complete",
        phase="",
        fingerprint=finished.fingerprint,
        start_time=finished.started,
        completion_time=finished.completed,
        message=finished.message,
        **finished.flow.model_dump(),
    )
