"""What this user may do in the namespace, as the API server itself answers (SelfSubjectAccessReview)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pretrain_api import cluster
from pretrain_api.findings import Finding, Level
from pretrain_cli.cluster.connection import Connection

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True)
class Need:
    """Something that commands do."""

    resource: str
    verbs: tuple[str, ...]
    purpose: str
    group: str = ""

    @property
    def name(self) -> str:
        """As kubectl writes it: pods/log, pretrainjobs.pretrain.dev."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


SEEING = Need(cluster.PLURAL, ("get", "list", "watch"), "see jobs", cluster.GROUP)
CHANGING = Need(cluster.PLURAL, ("create", "patch", "delete"), "submit, suspend and delete jobs", cluster.GROUP)
LOOKING = (
    Need("pods", ("list", "watch"), "see the pods of jobs"),
    Need("pods/log", ("get",), "read logs"),
    Need("events", ("list",), "see events in `pretrain describe`"),
    Need("configmaps", ("get",), "see live figures in `pretrain submit --watch`"),
)


def findings(connection: Connection) -> Iterator[Finding]:
    """One finding about jobs, one about what surrounds them."""
    where = f"in namespace {connection.namespace}"
    if refused := _refused(connection, SEEING):
        yield _finding("failure", f"may not {', '.join(refused)} {SEEING.name} {where}.", _role("view"))
        return
    if refused := _refused(connection, CHANGING):
        yield _finding("warning", f"may not {', '.join(refused)} {CHANGING.name} {where}.", _role("edit"))
    else:
        yield _finding("ok", f"may {SEEING.purpose}, {CHANGING.purpose} {where}.")
    for need in LOOKING:
        if refused := _refused(connection, need):
            what = f"may not {', '.join(refused)} {need.name} {where}: it cannot {need.purpose}."
            yield _finding("warning", what, _role("view"))


def _refused(connection: Connection, need: Need) -> list[str]:
    return [verb for verb in need.verbs if not _may(connection, need, verb)]


def _may(connection: Connection, need: Need, verb: str) -> bool:
    resource, _, below = need.resource.partition("/")
    asked = {"namespace": connection.namespace, "verb": verb, "group": need.group, "resource": resource}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked | ({"subresource": below} if below else {})},
    }
    answer, _ = connection.send("POST", _REVIEWS, body, "application/json")
    return bool(answer["status"]["allowed"])


def _role(name: str) -> str:
    return f"Ask for the ClusterRole {name} there, into which the chart adds PretrainJobs (rbac.aggregate)."


def _finding(level: Level, message: str, advice: str = "") -> Finding:
    return Finding("Cluster", "access", level, message, advice)
