"""Children of a job as the API server shows them, reduced to what is read of them. Parsing only; no judgement."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import ValidationError

from pretrain_api import cluster
from pretrain_api.events import Outcome
from pretrain_api.stages import Stage
from pretrain_operator.bodies.kubernetes import manifests
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


@dataclass(frozen=True)
class Node:
    """A machine, as far as it says that it goes."""

    name: str
    uid: str
    taints: tuple[str, ...] = ()
    """Their keys."""
    conditions: tuple[str, ...] = ()
    """Types of those that are true."""


Value = TypeVar("Value", Pod, BatchJob, Config, Node)


@dataclass(frozen=True)
class Kind(Generic[Value]):
    """How objects of one kind are read."""

    content: type[manifests.Object]
    """What is read of an object; whatever else is in it costs nothing."""
    reduced: Callable[[Any], Value]
    """From an object of that type."""
    label: str = cluster.LABEL_JOB
    """The label that names the job that it belongs to; empty: it belongs to none, and all of them are followed."""

    def of(self, manifest: Manifest) -> Value:
        """The object, where all of it was read."""
        return self.reduced(msgspec.convert(manifest, self.content))


def _pod(found: manifests.Pod) -> Pod:
    metadata, status = found.metadata, found.status
    labels = metadata.labels
    container = next(iter(status.container_statuses), manifests.ContainerStatus())
    state = container.state
    ended = state.terminated or container.last_state.terminated or manifests.Terminated()
    conditions = {c.type: c for c in status.conditions}
    target, scheduled = conditions.get("DisruptionTarget"), conditions.get("PodScheduled")
    taken_away = (target.reason or "Disrupted") if target and target.status == "True" else ""
    if status.reason in _TAKEN_AWAY:
        taken_away = taken_away or status.reason
    stuck = scheduled if scheduled and (scheduled.status, scheduled.reason) == ("False", "Unschedulable") else None
    return Pod(
        **_common(metadata),
        worker=_number(labels.get(cluster.LABEL_WORKER), -1),
        state=status.phase,
        leave_by=metadata.deletion_timestamp,
        address=status.pod_ip,
        node=found.spec.node_name,
        is_running=state.running is not None,
        began=(state.running.started_at if state.running else None) or ended.started_at,
        exit_code=ended.exit_code,
        ended=ended.finished_at,
        reason=ended.reason or status.reason,
        said=ended.message or status.message,
        taken_away=taken_away,
        waits_for=state.waiting.reason if state.waiting else "",
        waits_message=state.waiting.message if state.waiting else "",
        unschedulable=stuck.message if stuck else "",
        unschedulable_since=stuck.last_transition_time if stuck else None,
        is_gated=bool(found.spec.scheduling_gates),
        image="".join(container.image for container in found.spec.containers[:1]),
    )


def _batch_job(found: manifests.Job) -> BatchJob:
    conditions = {c.type: c for c in found.status.conditions if c.status == "True"}
    failed = conditions.get("Failed")
    return BatchJob(
        **_common(found.metadata),
        is_complete="Complete" in conditions,
        is_failed=failed is not None,
        reason=failed.reason if failed else "",
        message=failed.message if failed else "",
        is_leaving=found.metadata.deletion_timestamp is not None,
        is_suspended=found.spec.suspend,
        active=found.status.active,
    )


def _config(found: manifests.ConfigMap) -> Config:
    metadata = found.metadata
    return Config(metadata.name, metadata.uid, _owner(metadata), metadata.resource_version, found.data)


def _node(found: manifests.Node) -> Node:
    taints = tuple(taint.key for taint in found.spec.taints)
    true = tuple(condition.type for condition in found.status.conditions if condition.status == "True")
    return Node(found.metadata.name, found.metadata.uid, taints, true)


POD = Kind(manifests.Pod, _pod)
BATCH_JOB = Kind(manifests.Job, _batch_job)
CONFIG = Kind(manifests.ConfigMap, _config)
NODE = Kind(manifests.Node, _node, label="")


def _common(metadata: manifests.Metadata) -> dict[str, Any]:
    return {
        "name": metadata.name,
        "uid": metadata.uid,
        "owner": _owner(metadata),
        "stage": _STAGES.get(metadata.labels.get(cluster.LABEL_STAGE, "")),
        "attempt": _number(metadata.labels.get(cluster.LABEL_ATTEMPT), 0),
        "phase": metadata.labels.get(cluster.LABEL_PHASE, ""),
        "created": metadata.creation_timestamp or datetime.now(UTC),
        "made_with": metadata.annotations.get(cluster.ANNOTATION_MADE_WITH, ""),
    }


def _owner(metadata: manifests.Metadata) -> str:
    return next((owner.uid for owner in metadata.owner_references if owner.controller), "")


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() else default
