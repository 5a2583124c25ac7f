"""What is read of the API's objects, field by field, in Kubernetes' words.

Decoded straight from the bytes into these types: most of a pod is spec and managedFields that nobody here reads, and as
dicts they cost seven times as long (`benchmarks/LOG.md`).
"""

from datetime import datetime
from typing import Generic, TypeVar

from msgspec import Raw, Struct, field


class _Part(Struct, rename="camel", frozen=True):
    """A part of an object; unknown fields are passed over."""


class OwnerReference(_Part, frozen=True):
    uid: str
    controller: bool = False


class Metadata(_Part, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()


class Object(_Part, frozen=True):
    """Any object. A watch's bookmark is one with nothing but a resourceVersion."""

    metadata: Metadata = Metadata()


class Condition(_Part, frozen=True):
    type: str
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class Running(_Part, frozen=True):
    started_at: datetime | None = None


class Waiting(_Part, frozen=True):
    reason: str = ""
    message: str = ""


class Terminated(_Part, frozen=True):
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(_Part, frozen=True):
    running: Running | None = None
    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(_Part, frozen=True):
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodStatus(_Part, frozen=True):
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    pod_ip: str = field(default="", name="podIP")
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Container(_Part, frozen=True):
    image: str = ""


class PodSpec(_Part, frozen=True):
    node_name: str = ""
    scheduling_gates: tuple[dict[str, str], ...] = ()
    containers: tuple[Container, ...] = ()


class Pod(Object, frozen=True):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Taint(_Part, frozen=True):
    key: str


class NodeSpec(_Part, frozen=True):
    taints: tuple[Taint, ...] = ()


class NodeStatus(_Part, frozen=True):
    conditions: tuple[Condition, ...] = ()


class Node(Object, frozen=True):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class JobSpec(_Part, frozen=True):
    suspend: bool = False


class JobStatus(_Part, frozen=True):
    active: int = 0
    conditions: tuple[Condition, ...] = ()


class Job(Object, frozen=True):
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class ConfigMap(Object, frozen=True):
    data: dict[str, str] = {}


class ListMetadata(_Part, frozen=True):
    resource_version: str = ""
    following: str = field(default="", name="continue")
    """Leads to the next page."""


Item = TypeVar("Item", bound=Object)


class Page(_Part, Generic[Item], frozen=True):
    """A part of a collection."""

    metadata: ListMetadata
    items: tuple[Item, ...]


class WatchEvent(_Part, frozen=True):
    type: str
    object: Raw
