"""What TorchX is told about a job: its state, its roles and their replicas. Pure.

A role is a stage that has pods, a replica a worker or a share of the stage. Before there are pods, the role is training.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torchx.schedulers.api import DescribeAppResponse
from torchx.specs import AppState, ReplicaStatus, Role, RoleStatus

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_cli.cluster.pods import JobPod

_APP: Mapping[str, AppState] = {
    "Pending": AppState.PENDING,
    "Queued": AppState.PENDING,
    "Starting": AppState.PENDING,
    "Stalled": AppState.PENDING,
    "Suspended": AppState.CANCELLED,
    "Succeeded": AppState.SUCCEEDED,
    "Failed": AppState.FAILED,
}
"""Of a job's state; in all others it runs. TorchX has no word for a pause: `torchx cancel` suspends."""
_POD: Mapping[str, AppState] = {
    "Pending": AppState.PENDING,
    "Running": AppState.RUNNING,
    "Succeeded": AppState.SUCCEEDED,
    "Failed": AppState.FAILED,
}


def state(status: PretrainJobStatus) -> AppState:
    """The state of the whole job; submitted until the operator has looked at it."""
    if status.observed_generation == 0:
        return AppState.SUBMITTED
    return _APP.get(status.state, AppState.RUNNING)


def described(
    app_id: str, job: Mapping[str, Any], status: PretrainJobStatus, pods: Sequence[JobPod]
) -> DescribeAppResponse:
    """All that TorchX asks for."""
    newest = {(pod.stage, max(0, pod.worker)): pod for pod in sorted(pods, key=lambda pod: (pod.attempt, pod.created))}
    roles = [_role(stage, 1 + max(worker for known, worker in newest if known == stage)) for stage in _stages(newest)]
    statuses = [
        RoleStatus(role.name, [_replica(newest[key]) for key in sorted(newest) if key[0] == role.name])
        for role in roles
    ]
    most = job["spec"].get("workers", {}).get("max", 1)
    return DescribeAppResponse(
        app_id=app_id,
        state=state(status),
        num_restarts=status.recovery.failures + status.recovery.disruptions,
        msg=_message(status),
        roles=roles or [_role(Stage.TRAIN.lower(), most)],
        roles_statuses=statuses,
    )


def _stages(newest: Mapping[tuple[str, int], JobPod]) -> list[str]:
    here = {stage for stage, _ in newest}
    return [stage.lower() for stage in Stage if stage.lower() in here]


def _role(stage: str, replicas: int) -> Role:
    return Role(name=stage, image="", entrypoint="pretrain", num_replicas=replicas)


def _replica(pod: JobPod) -> ReplicaStatus:
    return ReplicaStatus(
        id=max(0, pod.worker), state=_POD.get(pod.state, AppState.UNKNOWN), role=pod.stage, hostname=pod.node
    )


def _message(status: PretrainJobStatus) -> str:
    """Step and loss while it trains, and what the summing condition says."""
    progress = f"step {status.progress.steps}, loss {status.progress.loss or '-'}" if status.progress.steps else ""
    summed = next((condition.message for condition in status.conditions if condition.type == "Succeeded"), "")
    return "; ".join(part for part in (f"{status.state}", progress, summed) if part)
