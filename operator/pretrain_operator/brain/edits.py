"""Edits of a spec while its job is at work: what is followed, what is refused, and what has to start again.

What is learned cannot change once training began; how it is done can, and so can the weights of the sources: what was
learned until then stays, and the order goes on with the new ones.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from pretrain_api import changes
from pretrain_api.changes import Change
from pretrain_api.once import once_per_object
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJob, PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.job import Metadata
from pretrain_operator.brain import conditions, failures, stages

_OPERATOR_S_OWN = {"suspend", "recovery", "active_deadline_seconds", "ttl_seconds_after_finished"}
"""Read by the rules alone; no program looks at them."""
_TRAINING_ONLY = (
    "spec.workers.min",
    "spec.workers.max",
    "spec.workers.processesPerWorker",
    "spec.checkpoint",
    "spec.evaluation.everySteps",
    "spec.data.sources",
)
_EVERY_PROGRAM = (
    "spec.storage",
    "spec.workers.resources",
    "spec.workers.template",
    "spec.scheduling.priorityClassName",
)


@dataclass(frozen=True)
class Edits:
    """What becomes of the spec as it stands."""

    spec: PretrainJobSpec
    """What is followed: the wanted spec without what may not change any more."""
    digest: str = ""
    followed: tuple[Change, ...] = ()
    refused: tuple[Change, ...] = ()


@once_per_object
def digest(spec: PretrainJobSpec) -> str:
    """Identity of what programs read of a spec."""
    return hashlib.sha256(spec.model_dump_json(by_alias=True, exclude=_OPERATOR_S_OWN).encode()).hexdigest()[:16]


def taken(wanted: PretrainJobSpec, accepted: PretrainJobSpec | None, recorded: PretrainJobStatus) -> Edits:
    """What to follow of the wanted spec."""
    wanted_digest = digest(wanted)
    if accepted is None or accepted is wanted or digest(accepted) == wanted_digest:
        return Edits(wanted, wanted_digest)
    found = compared(_job(wanted), _job(accepted), recorded)
    followed = tuple(c for c in found.differing if c not in found.refused)
    spec = changes.with_changes(found.before, found.after, followed).spec if found.refused else found.after.spec
    return Edits(spec, digest(spec), followed, found.refused)


@dataclass(frozen=True)
class Compared:
    """Two versions of a job in a form in which what differs between them is what an edit means."""

    before: PretrainJob
    after: PretrainJob
    differing: tuple[Change, ...]
    refused: tuple[Change, ...] = ()
    """Of these, what may not change any more."""


def compared(wanted: PretrainJob, accepted: PretrainJob, recorded: PretrainJobStatus) -> Compared:
    """The wanted job beside the accepted one. Once training began both have initial weights if a weight was edited ever
    since, so that the run stays the same one."""
    if not _began(recorded):
        return Compared(accepted, wanted, tuple(changes.changed_fields(accepted, wanted)))
    is_trained = stages.entry(recorded, Stage.TRAIN).state == "Complete"
    differing = tuple(changes.changed_fields(accepted, wanted))
    has_moved = any(source.initial_weight is not None for source in accepted.spec.data.sources)
    if has_moved or (not is_trained and any(c.is_weight for c in differing)):
        accepted, wanted = (changes.with_initial_weights(job, accepted) for job in (accepted, wanted))
        differing = tuple(changes.changed_fields(accepted, wanted))
    refused = tuple(c for c in differing if not c.mutable or (c.is_weight and is_trained))
    return Compared(accepted, wanted, differing, refused)


def followed(recorded: PretrainJobStatus, edits: Edits, accepted: PretrainJobSpec | None) -> PretrainJobStatus:
    """The status once the edits are followed: stages whose result would differ are asked anew."""
    if recorded.accepted_job != edits.digest:
        recorded = recorded.model_copy(update={"accepted_job": edits.digest})
    if accepted is None or not edits.followed:
        return recorded
    again = set(changes.stages_to_rerun(_job(accepted), _job(edits.spec)))
    if any(c.path.startswith("spec.storage") for c in edits.followed):
        again = set(Stage)
    for stage in again:
        if stages.entry(recorded, stage).state != "Running":
            recorded = stages.changed(recorded, stage, state="Pending", phase="")
    return failures.waited_enough(recorded)


def concerns(edits: Edits, stage: Stage) -> bool:
    """Whether a program of the stage that runs already has to start again to follow the edits."""
    places = (*_EVERY_PROGRAM, *(_TRAINING_ONLY if stage is Stage.TRAIN else ()))
    return any(stage in c.stages or c.path.startswith(places) for c in edits.followed)


def stated(recorded: PretrainJobStatus, edits: Edits, invalid: str, now: datetime) -> PretrainJobStatus:
    """The status with the ACCEPTED condition; it is shown once something was refused."""
    kind = conditions.ACCEPTED
    if invalid:
        message = f"{invalid} The job goes on with the spec as it was before."
        return conditions.stated(recorded, kind, "False", "Invalid", message[:30000], now)
    if edits.refused:
        fields = "; ".join(str(change) for change in edits.refused)
        message = (
            f"These fields cannot change once training began: {fields}. The job goes on without the change: write the "
            "old value again, or make a job with another name and storage.uri."
        )
        return conditions.stated(recorded, kind, "False", "Immutable", message[:30000], now)
    if conditions.condition(recorded, kind).status == "False":
        message = "The spec is followed as it stands; nothing needs to be done."
        return conditions.stated(recorded, kind, "True", "Accepted", message, now)
    return recorded


def unreadable(recorded: PretrainJobStatus, problem: str, now: datetime) -> PretrainJobStatus:
    """The status of a job whose spec could never be followed; it begins once the spec is right."""
    message = f"{problem} Nothing was started; correct the spec."[:30000]
    recorded = conditions.stated(recorded, conditions.ACCEPTED, "False", "Invalid", message, now)
    recorded = conditions.stated(recorded, conditions.STALLED, "True", "Invalid", message, now)
    recorded = conditions.stated(recorded, conditions.SUCCEEDED, "Unknown", "Invalid", message, now)
    return recorded.model_copy(update={"state": "Stalled"})


def _began(recorded: PretrainJobStatus) -> bool:
    return recorded.progress.step > 0 or recorded.checkpoint is not None


def _job(spec: PretrainJobSpec) -> PretrainJob:
    return PretrainJob(metadata=Metadata(name="job"), spec=spec)
