"""Queues and gangs: what lets the workers of one start be admitted and placed together. Pure.

A new scheduler is one more adapter. Nothing is sent from here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.workers import Gang
from pretrain_operator.bodies.kubernetes.client import Manifest, Resource

_QUEUE = "kueue.x-k8s.io/queue-name"


@dataclass(frozen=True)
class Group:
    """The object that a scheduler wants before the pods, and how a pod says that it belongs to it."""

    resource: Resource
    spec: Manifest
    asked_by: str
    """Field of the PretrainJob."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    pod_spec: Manifest = field(default_factory=dict)


def group(spec: PretrainJobSpec, name: str, workers: int) -> Group | None:
    """The group of a start with so many workers; None when the pods are placed one by one.

    It is placed once the fewest workers that can train fit, `workers.min`.
    """
    gang = spec.scheduling.gang
    if gang is None:
        return None
    (adapter,) = [make for kind, make in _ADAPTERS.items() if getattr(gang, kind) is not None]
    return adapter(name, min(spec.workers.min, workers), spec.scheduling.priority_class_name)


def queue_labels(spec: PretrainJobSpec) -> dict[str, str]:
    """Of a Job that Kueue admits, and with it its pods."""
    return {_QUEUE: spec.scheduling.queue_name} if spec.scheduling.queue_name else {}


def queued(spec: PretrainJobSpec, name: str, workers: int) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations of a training pod by which Kueue admits all workers at once or none (KEP 976).

    A worker that fails is not replaced in its group: the next start has a group of its own.
    """
    if not spec.scheduling.queue_name:
        return {}, {}
    labels = {**queue_labels(spec), "kueue.x-k8s.io/pod-group-name": name}
    return labels, {
        "kueue.x-k8s.io/pod-group-total-count": str(workers),
        "kueue.x-k8s.io/retriable-in-group": "false",
    }


def _native(name: str, fewest: int, priority_class: str) -> Group:
    """KEP 4671: gang scheduling in kube-scheduler, with the feature gate GenericWorkload."""
    spec: Manifest = {"schedulingPolicy": {"gang": {"minCount": fewest}}}
    return Group(
        Resource("scheduling.k8s.io/v1beta1", "PodGroup", "podgroups"),
        spec | ({"priorityClassName": priority_class} if priority_class else {}),
        "spec.scheduling.gang.native",
        pod_spec={"schedulingGroup": {"podGroupName": name}},
    )


def _volcano(name: str, fewest: int, priority_class: str) -> Group:
    spec: Manifest = {"minMember": fewest}
    return Group(
        Resource("scheduling.volcano.sh/v1beta1", "PodGroup", "podgroups"),
        spec | ({"priorityClassName": priority_class} if priority_class else {}),
        "spec.scheduling.gang.volcano",
        annotations={"scheduling.k8s.io/group-name": name},
        pod_spec={"schedulerName": "volcano"},
    )


def _coscheduling(name: str, fewest: int, priority_class: str) -> Group:
    """The coscheduling plugin, under the name that its chart gives the scheduler. Priority is the pods' own."""
    return Group(
        Resource("scheduling.x-k8s.io/v1alpha1", "PodGroup", "podgroups"),
        {"minMember": fewest},
        "spec.scheduling.gang.coscheduling",
        labels={"scheduling.x-k8s.io/pod-group": name},
        pod_spec={"schedulerName": "scheduler-plugins-scheduler"},
    )


_ADAPTERS: Mapping[str, Callable[[str, int, str], Group]] = {
    "native": _native,
    "volcano": _volcano,
    "coscheduling": _coscheduling,
}
assert set(_ADAPTERS) == set(Gang.model_fields)
