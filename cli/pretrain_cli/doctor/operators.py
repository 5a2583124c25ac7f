"""Whether an operator runs, leads, hears of changes and looks at the jobs of the namespace."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pretrain_api import cluster
from pretrain_api.errors import PretrainError
from pretrain_api.findings import Finding, Level
from pretrain_api.nouns import counted
from pretrain_cli.cluster import jobs
from pretrain_cli.cluster.connection import ApiRefusal, Connection
from pretrain_cli.cluster.table import moment
from pretrain_operator.metrics.declared import SILENCE

Json = Mapping[str, Any]
_UNSEEN_SECONDS = 30.0
_SILENT_SECONDS = 180.0
"""After which the operator's own health check fails."""
_ANSWER_SECONDS = 10.0
_SILENCE = re.compile(rf"^{SILENCE.name}(?:\{{[^}}]*\}})? (\S+)$".encode(), re.MULTILINE)
_LOGS = "kubectl logs -n {namespace} {name} shows why"


def findings(connection: Connection, now: datetime) -> Iterator[Finding]:
    """What pods, Leases and the operator's own figures say, as far as this user may see them; then what its work says."""
    yield from _processes(connection, now)
    yield unseen(jobs.listed(connection), connection.namespace, now)


def _processes(connection: Connection, now: datetime) -> Iterator[Finding]:
    try:
        pods = _items(connection, "/api/v1/pods", labelSelector=f"{cluster.LABEL_NAME}={cluster.MANAGER}")
        place = "/apis/coordination.k8s.io/v1/leases"
        leases = _items(connection, place, fieldSelector=f"metadata.name={cluster.MANAGER}")
    except ApiRefusal as refusal:
        if refusal.code != "forbidden":
            raise
        yield _finding("operator", "skipped", refusal.what, "An administrator sees whether it runs.")
        return
    found = running(pods, leases, now)
    yield found
    if found.level != "failure":
        yield from _watches(connection, [pod for pod in pods if _is_ready(pod)])


def running(pods: Sequence[Json], leases: Sequence[Json], now: datetime) -> Finding:
    """Whether there is an operator that works: a pod that is ready, or the holder of a fresh Lease."""
    ready = [pod for pod in pods if _is_ready(pod)]
    holders = [lease["spec"]["holderIdentity"] for lease in leases if _is_fresh(lease, now)]
    if holders or ready:
        led = f", led by {', '.join(holders)}" if holders else ""
        what = f"{len(ready)} of {counted(len(pods), 'pod')} ready{led}."
        if leases and not holders:
            stale = f"{what} Nobody renews the Lease {cluster.MANAGER}, so nobody leads."
            return _finding("operator", "failure", stale, _LOGS.format(**_place(ready[0])) + ".")
        if len(ready) < len(pods):
            ill = next(pod for pod in pods if not _is_ready(pod))
            return _finding("operator", "warning", what, _LOGS.format(**_place(ill)) + " the other one is not.")
        return _finding("operator", "ok", what)
    if pods:
        instead = _LOGS.format(**_place(pods[0])) + "; `kubectl describe pod` if it never started."
        return _finding("operator", "failure", f"none of {counted(len(pods), 'pod')} is ready.", instead)
    instead = (
        "Install it: helm install pretrain-operator charts/pretrain-operator -n pretrain-system --create-namespace."
    )
    return _finding(
        "operator", "failure", f"no pod with {cluster.LABEL_NAME}={cluster.MANAGER}, no live Lease.", instead
    )


def unseen(found: Sequence[Json], namespace: str, now: datetime) -> Finding:
    """Whether the jobs of a namespace were looked at since they last changed."""
    late = [job["metadata"]["name"] for job in found if _is_unseen(job, now)]
    if late:
        more = f" and {len(late) - 3} more" if len(late) > 3 else ""
        what = f"nobody has looked at {', '.join(late[:3])}{more} for over {_UNSEEN_SECONDS:.0f} s."
        instead = f"Is the operator allowed to serve {namespace}? (--namespace, rbac.namespaces of the chart)"
        return _finding("jobs", "failure", what, instead)
    return _finding("jobs", "ok", f"{counted(len(found), 'job')} in namespace {namespace}, none overlooked.")


def _is_unseen(job: Json, now: datetime) -> bool:
    metadata = job["metadata"]
    if (job.get("status") or {}).get("observedGeneration", 0) >= metadata["generation"]:
        return False
    written = [moment(entry.get("time")) for entry in metadata.get("managedFields", []) if not entry.get("subresource")]
    newest = max((time for time in [*written, moment(metadata["creationTimestamp"])] if time), default=now)
    return (now - newest).total_seconds() > _UNSEEN_SECONDS


def _watches(connection: Connection, pods: Sequence[Json]) -> Iterator[Finding]:
    """Only the leader watches, and tells how long nothing was heard."""
    told = [seconds for pod in pods if (seconds := _silence(connection, pod)) is not None]
    if not told:
        yield _finding("watch", "skipped", "the operator's metrics cannot be read from here (pods/proxy).")
        return
    what = f"the quietest watch brought something {max(told):.0f} s ago."
    if max(told) < _SILENT_SECONDS:
        yield _finding("watch", "ok", what)
    else:
        yield _finding(
            "watch", "failure", what, "The operator should restart by itself; look at its log if it does not."
        )


def _silence(connection: Connection, pod: Json) -> float | None:
    ports = [p for c in pod["spec"]["containers"] for p in c.get("ports", []) if p.get("name") == "metrics"]
    if not ports:
        return None
    at = f"{pod['metadata']['name']}:{ports[0]['containerPort']}"
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{at}/proxy/metrics"
    try:
        match = _SILENCE.search(connection.stream(path, _ANSWER_SECONDS).data)
    except PretrainError:
        return None  # not allowed, or a network policy keeps the API server out
    return float(match[1]) if match else None


def _is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _is_fresh(lease: Json, now: datetime) -> bool:
    spec = lease.get("spec", {})
    renewed = moment(spec.get("renewTime"))
    if not spec.get("holderIdentity") or renewed is None:
        return False
    # The HTTP date that `now` is from has whole seconds, and the holder's clock is its own.
    return (now - renewed).total_seconds() < 2 * int(spec.get("leaseDurationSeconds") or 0) + 5


def _place(pod: Json) -> dict[str, str]:
    return {"namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"]}


def _items(connection: Connection, path: str, **query: object) -> list[Json]:
    return [item for page in connection.pages(path, query) for item in page["items"]]


def _finding(check: str, level: Level, message: str, advice: str = "") -> Finding:
    return Finding("Cluster", check, level, message, advice)
