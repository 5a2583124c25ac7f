"""The checks of a cluster in their order: each reads a little and gives what it means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pretrain_api import clocks, crd
from pretrain_api.errors import PretrainError, UserError
from pretrain_api.findings import Finding
from pretrain_api.types import PretrainJob
from pretrain_cli.cluster import jobs
from pretrain_cli.cluster.connection import NOT_FOUND, ApiRefusal, Connection, Json
from pretrain_cli.doctor import access, definitions, nodes, operators

_AREA = "Cluster"
_OLDEST = (1, 31)
"""The chart's kubeVersion."""
_ANSWER_SECONDS = 10.0


def findings(connection: Connection, job: PretrainJob | None) -> Iterator[Finding]:
    """What there is to say about the cluster, about the namespace, and about what the job wants of them."""
    try:
        version, now = _version(connection)
    except PretrainError as error:
        yield failure("reached", error)
        return
    yield from version
    here = datetime.now(UTC)
    yield clocks.finding(_AREA, "the API server", now, here)
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("crd", lambda: _definition(connection)),
        ("access", lambda: access.findings(connection)),
        ("operator", lambda: operators.findings(connection, now)),
        ("nodes", lambda: nodes.findings(_items(connection, "/api/v1/nodes"), job)),
    )
    for name, check in checks:
        yield from _guarded(name, check)


def failure(check: str, error: PretrainError) -> Finding:
    """An error as a finding."""
    if isinstance(error, UserError):
        return Finding(_AREA, check, "failure", f"{error.where}: {error.what}", error.instead)
    return Finding(_AREA, check, "failure", str(error))


def _guarded(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What one may not look at is said, and keeps nobody from the other checks."""
    try:
        yield from check()
    except ApiRefusal as refusal:
        if refusal.code == "forbidden":
            yield Finding(_AREA, name, "skipped", refusal.what, "Somebody with that permission sees more.")
        else:
            yield failure(name, refusal)
    except PretrainError as error:
        yield failure(name, error)


def _version(connection: Connection) -> tuple[list[Finding], datetime]:
    """The server's version, and its time."""
    answer = connection.stream("/version", _ANSWER_SECONDS)
    told: Json = json.loads(answer.data)
    date = answer.headers.get("Date")
    now = parsedate_to_datetime(date) if date else datetime.now(UTC)
    number = (int(told["major"]), int("".join(filter(str.isdigit, told["minor"])) or 0))
    what = f"Kubernetes {told['gitVersion']} at {connection.server}."
    if number >= _OLDEST:
        return [Finding(_AREA, "reached", "ok", what)], now
    instead = f"Update the cluster: the operator needs {'.'.join(map(str, _OLDEST))} or newer."
    return [Finding(_AREA, "reached", "failure", what, instead)], now


def _definition(connection: Connection) -> Iterator[Finding]:
    place = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd.PLURAL}.{crd.GROUP}"
    try:
        found = connection.read(place)
    except ApiRefusal as refusal:
        if refusal.status == NOT_FOUND:
            yield definitions.judged(None)
            return
        if refusal.code != "forbidden":
            raise
        connection.read(
            jobs.path(connection.namespace), limit=1
        )  # what everybody who uses it may do tells whether it is there
        yield Finding(_AREA, "crd", "skipped", "it is there; its version may not be read by this user.")
        return
    yield definitions.judged(found)


def _items(connection: Connection, path: str) -> list[Json]:
    return [item for page in connection.pages(path, {}) for item in page["items"]]
