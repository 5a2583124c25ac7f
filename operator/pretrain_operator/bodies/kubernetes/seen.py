"""Children of a job as the API server shows them, reduced to what is read of them. Parsing only; no judgement."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from pretrain_api import cluster
from pretrain_api.events import Outcome
from pretrain_api.stages import Stage
from pretrain_operator.bodies.kubernetes.client import Manifest

OVERDUE = timedelta(seconds=30)
"""A pod that should have left so long ago is on a node that does not answer."""
_TAKEN_AWAY = ("Evicted", "NodeLost", "NodeShutdown", "Preempting", "Terminated", "UnexpectedAdmissionError")
"""Reasons in a failed pod's status that say that its node gave it up."""
_STAGES = {stage.lower(): stage for stage in Stage}


@dataclass(frozen=True)
class Pod:
    """A pod of a job."""

    name: str
    uid: str
    owner: str
    """UID of what made it: the PretrainJob itself, or a Job."""
    stage: Stage | None
    attempt: int
    phase: str
    """Of the stage; empty for training."""
    worker: int
    """-1: not a training worker."""
    state: str
    """Pending, Running, Succeeded, Failed or Unknown, in Kubernetes' words."""
    created: datetime
    leave_by: datetime | None = None
    """When it should be gone, after somebody deleted it."""
    address: str = ""
    node: str = ""
    is_running: bool = False
    """Whether its container runs."""
    began: datetime | None = None
    """When its container began to run."""
    exit_code: int | None = None
    ended: datetime | None = None
    reason: str = ""
    """Why its container ended, or what took it away."""
    said: str = ""
    """Its termination message: an Outcome, or the last lines of its log."""
    taken_away: str = ""
    """What took it away from outside: preemption, eviction, a lost node ..."""
    waits_for: str = ""
    """Why its container does not run: ImagePullBackOff ..."""
    waits_message: str = ""
    unschedulable: str = ""
    """The scheduler's message when no node fits."""
    unschedulable_since: datetime | None = None
    is_gated: bool = False
    """Whether a queue has not admitted it yet (spec.schedulingGates)."""
    made_with: str = ""
    """What the operator made it with (annotation)."""
    image: str = ""

    @property
    def is_over(self) -> bool:
        return self.state in ("Succeeded", "Failed")

    def is_alive(self, now: datetime) -> bool:
        """Whether anything of it may still run. One whose node does not answer was fenced off by the commit log."""
        return not self.is_over and not (self.leave_by and now > self.leave_by + OVERDUE)

    @property
    def outcome(self) -> Outcome | None:
        """What its program said about its end."""
        try:
            return Outcome.model_validate_json(self.said) if self.said.startswith("{") else None
        except ValidationError:
            return None


@dataclass(frozen=True)
class BatchJob:
    """An Indexed Job: one phase of one attempt."""

    name: str
    uid: str
    owner: str
    stage: Stage | None
    attempt: int
    phase: str
    created: datetime
    is_complete: bool = False
    is_failed: bool = False
    reason: str = ""
    message: str = ""
    is_leaving: bool = False
    is_suspended: bool = False
    """Held back by a queue: nothing of ours suspends a Job."""
    active: int = 0
    made_with: str = ""


@dataclass(frozen=True)
class Config:
    """A ConfigMap."""

    name: str
    uid: str
    owner: str
    version: str
    """Its resourceVersion, as the precondition of a write."""
    data: dict[str, str] = field(default_factory=dict)


def pod(manifest: Manifest) -> Pod:
    """A pod."""
    metadata, status = manifest["metadata"], manifest.get("status", {})
    labels = metadata.get("labels", {})
    container: Manifest = next(iter(status.get("containerStatuses", [])), {})
    state = container.get("state", {})
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated") or {}
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    target = conditions.get("DisruptionTarget", {})
    taken_away = target.get("reason", "Disrupted") if target.get("status") == "True" else ""
    if status.get("reason") in _TAKEN_AWAY:
        taken_away = taken_away or status["reason"]
    scheduled = conditions.get("PodScheduled", {})
    is_stuck = scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"
    return Pod(
        **_common(metadata, labels),
        worker=_number(labels.get(cluster.LABEL_WORKER), -1),
        state=status.get("phase", "Pending"),
        leave_by=_time(metadata.get("deletionTimestamp")),
        address=status.get("podIP", ""),
        node=manifest.get("spec", {}).get("nodeName", ""),
        is_running="running" in state,
        began=_time(state.get("running", {}).get("startedAt") or ended.get("startedAt")),
        exit_code=ended.get("exitCode"),
        ended=_time(ended.get("finishedAt")),
        reason=ended.get("reason", "") or status.get("reason", ""),
        said=ended.get("message", "") or status.get("message", ""),
        taken_away=taken_away,
        waits_for=state.get("waiting", {}).get("reason", ""),
        waits_message=state.get("waiting", {}).get("message", ""),
        unschedulable=scheduled.get("message", "") if is_stuck else "",
        unschedulable_since=_time(scheduled.get("lastTransitionTime")) if is_stuck else None,
        is_gated=bool(manifest.get("spec", {}).get("schedulingGates")),
        image="".join(c["image"] for c in manifest.get("spec", {}).get("containers", [])[:1]),
    )


def batch_job(manifest: Manifest) -> BatchJob:
    """A Job."""
    metadata, status = manifest["metadata"], manifest.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", []) if c.get("status") == "True"}
    failed = conditions.get("Failed", {})
    return BatchJob(
        **_common(metadata, metadata.get("labels", {})),
        is_complete="Complete" in conditions,
        is_failed=bool(failed),
        reason=failed.get("reason", ""),
        message=failed.get("message", ""),
        is_leaving="deletionTimestamp" in metadata,
        is_suspended=bool(manifest.get("spec", {}).get("suspend")),
        active=status.get("active", 0),
    )


def config(manifest: Manifest) -> Config:
    """A ConfigMap."""
    metadata = manifest["metadata"]
    return Config(
        name=metadata["name"],
        uid=metadata["uid"],
        owner=_owner(metadata),
        version=metadata["resourceVersion"],
        data=manifest.get("data", {}),
    )


def _common(metadata: Manifest, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "name": metadata["name"],
        "uid": metadata["uid"],
        "owner": _owner(metadata),
        "stage": _STAGES.get(labels.get(cluster.LABEL_STAGE, "")),
        "attempt": _number(labels.get(cluster.LABEL_ATTEMPT), 0),
        "phase": labels.get(cluster.LABEL_PHASE, ""),
        "created": _time(metadata["creationTimestamp"]) or datetime.now(UTC),
        "made_with": metadata.get("annotations", {}).get(cluster.ANNOTATION_MADE_WITH, ""),
    }


def _owner(metadata: Manifest) -> str:
    return next((str(o["uid"]) for o in metadata.get("ownerReferences", []) if o.get("controller")), "")


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() else default


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
