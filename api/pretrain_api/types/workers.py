"""The workers (pods) that train, and how they are scheduled."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from pretrain_api.types.base import ApiModel, OptionalDnsLabel, ShortText, StringMap

_QuantityText = Annotated[
    str, StringConstraints(pattern=r"^[+-]?[0-9]+(\.[0-9]*)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$", max_length=64)
]
ResourceList = Annotated[
    dict[Annotated[str, StringConstraints(max_length=317)], int | _QuantityText], Field(max_length=64)
]
"""Kubernetes resources by name, with quantities: 8, 500m, 16Gi."""


class Resources(ApiModel):
    """Resources of one worker, as in a container."""

    limits: ResourceList = {}
    """Greatest amounts: {nvidia.com/gpu: 8, memory: 512Gi}."""
    requests: ResourceList = {}
    """Reserved amounts. Omitted: the limits."""


class WorkerTemplate(ApiModel):
    """What is laid over the pods that the operator makes."""

    node_selector: StringMap = {}
    """Labels that a node must have."""
    tolerations: Annotated[list[dict[str, Any]], Field(max_length=64)] = []
    """Taints that are tolerated, as in a pod."""
    affinity: dict[str, Any] = {}
    """Affinity, as in a pod."""
    env: Annotated[list[dict[str, Any]], Field(max_length=256)] = []
    """Further environment variables, as in a container."""
    volumes: Annotated[list[dict[str, Any]], Field(max_length=64)] = []
    """Further volumes, as in a pod."""
    volume_mounts: Annotated[list[dict[str, Any]], Field(max_length=64)] = []
    """Where the volumes appear, as in a container."""
    labels: StringMap = {}
    """Further labels of the pods."""
    annotations: StringMap = {}
    """Further annotations of the pods."""


class Workers(ApiModel):
    """How many workers train."""

    min: Annotated[int, Field(ge=1, le=65536)] = 1
    """Fewest workers to train with."""
    max: Annotated[int, Field(ge=1, le=65536)] = 1
    """Most workers to train with."""
    spares: Annotated[int, Field(ge=0, le=1024)] = 0
    """Workers beside those that train, which run and wait to take a lost one's place at once. Not in a queue or a gang."""
    processes_per_worker: Annotated[int, Field(ge=1, le=64)] = 1
    """Ranks in a worker, usually one per GPU."""
    resources: Resources = Resources()
    """Resources of one worker."""
    template: WorkerTemplate = WorkerTemplate()
    """What is laid over the pods that the operator makes."""


class NativeGang(ApiModel):
    """The PodGroup of scheduling.k8s.io."""


class VolcanoGang(ApiModel):
    """Volcano's PodGroup."""


class CoschedulingGang(ApiModel):
    """The PodGroup of the coscheduling plugin."""


class Gang(ApiModel):
    """Gang scheduling: exactly one of the fields below."""

    native: NativeGang | None = None
    """The PodGroup of scheduling.k8s.io."""
    volcano: VolcanoGang | None = None
    """Volcano."""
    coscheduling: CoschedulingGang | None = None
    """The coscheduling plugin."""


class Scheduling(ApiModel):
    """Queueing and gang scheduling."""

    queue_name: OptionalDnsLabel = ""
    """Kueue's local queue."""
    gang: Gang | None = None
    """How all workers are placed together."""
    priority_class_name: ShortText = ""
    """PriorityClass of the pods."""
