"""PretrainJobs in a cluster: read, watch, apply, change, delete."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from pretrain_api import cluster
from pretrain_api.errors import UserError
from pretrain_api.problems import closest
from pretrain_api.types import PretrainJobStatus
from pretrain_cli.cluster.connection import NOT_FOUND, ApiRefusal, Connection, Json, checked_name, is_name
from pretrain_cli.cluster.watching import Change, watched
from pretrain_cli.display.printable import printable

KIND = f"{cluster.SINGULAR}.{cluster.GROUP}"
"""As kubectl writes it before a name."""
_NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_APPLY, _MERGE, _JSON = "application/apply-patch+yaml", "application/merge-patch+json", "application/json"


def path(namespace: str) -> str:
    """Where jobs are: of one namespace, or of all when it is ""."""
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{cluster.GROUP}/{cluster.VERSION}{within}/{cluster.PLURAL}"


def path_of(namespace: str, name: str) -> str:
    """Where one job is. Raises UserError for what is no name: it would lead to something else, "" to all of them."""
    return f"{path(namespace)}/{checked_name(name, 'NAME')}"


def read(connection: Connection, name: str) -> Json:
    """One job. Raises UserError with a suggestion when there is none of this name."""
    try:
        return connection.read(path_of(connection.namespace, name))
    except ApiRefusal as refusal:
        if refusal.status == NOT_FOUND and refusal.code != "crd-not-installed":
            raise unknown(connection, name) from None
        raise


def find(connection: Connection, name: str) -> Json | None:
    """One job, or None."""
    if name and not is_name(name):
        return None
    try:
        return connection.read(path_of(connection.namespace, name))
    except ApiRefusal as refusal:
        if refusal.status == NOT_FOUND and refusal.code != "crd-not-installed":
            return None
        raise


def listed(connection: Connection, selector: str = "") -> list[Json]:
    """All jobs, by namespace and name."""
    pages = connection.pages(path(connection.namespace), {"labelSelector": selector})
    return [item for page in pages for item in page["items"]]


def names(connection: Connection) -> list[tuple[str, str]]:
    """Namespace and name of every job, and nothing else of it."""
    pages = connection.pages(path(connection.namespace), {}, _NAMES_ONLY)
    return [(item["metadata"]["namespace"], item["metadata"]["name"]) for page in pages for item in page["items"]]


def changes(connection: Connection, name: str = "", selector: str = "", end: float = float("inf")) -> Iterator[Change]:
    """All jobs or one, then their changes until the monotonic time `end`."""
    only = f"metadata.name={name}" if name else ""
    return watched(connection, path(connection.namespace), end, fieldSelector=only, labelSelector=selector)


def apply(connection: Connection, manifest: Json, dry_run: bool, force: bool) -> tuple[Json, bool]:
    """Server-side apply; gives the job as it is now and whether it is new."""
    metadata = manifest["metadata"]
    job, status = connection.send(
        "PATCH",
        path_of(metadata["namespace"], metadata["name"]),
        manifest,
        _APPLY,
        fieldManager=cluster.CLI_MANAGER,
        force=force,
        dryRun="All" if dry_run else "",
    )
    return job, status == 201


def set_suspend(connection: Connection, name: str, suspend: bool) -> Json:
    """Write spec.suspend and nothing else."""
    body = {"spec": {"suspend": suspend}}
    return connection.send(
        "PATCH", path_of(connection.namespace, name), body, _MERGE, fieldManager=cluster.CLI_MANAGER
    )[0]


def delete(connection: Connection, name: str, propagation: str) -> None:
    """Ask for deletion. A job that is gone already is no error."""
    body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
    try:
        connection.send("DELETE", path_of(connection.namespace, name), body, _JSON)
    except ApiRefusal as refusal:
        if refusal.status != NOT_FOUND or refusal.code == "crd-not-installed":
            raise


def is_gone(connection: Connection, job: Json, seconds: float) -> bool:
    """Wait until the job is deleted, not until another of its name is; False when it was not in time."""
    end = time.monotonic() + seconds
    metadata = job["metadata"]
    for change in changes(connection, metadata["name"], end=end):
        same = [o for o in change.objects if o["metadata"]["uid"] == metadata["uid"]]
        if (change.kind == "Listed" and not same) or (change.kind == "Deleted" and same):
            return True
    return False


def unknown(connection: Connection, name: str) -> UserError:
    """There is no job of this name; here is what may have been meant."""
    here = connection.namespace
    return UserError("no-such-job", f"namespace {here}", f"no PretrainJob is called {name}.", _hint(connection, name))


def _hint(connection: Connection, name: str) -> str:
    try:
        known = [job for _, job in names(connection)]
        near = closest(name, known)
        if near:
            return f"Did you mean {near}?"
        places = sorted(namespace for namespace, job in names(connection.of("")) if job == name)
    except UserError:
        return "`pretrain list` shows those there are."
    if places:
        return f"There is one in namespace {places[0]}: add -n {places[0]}."
    return "`pretrain list -A` shows those of all namespaces." if not known else f"There are: {', '.join(known[:10])}."


def status(job: Json) -> PretrainJobStatus:
    """The recorded status, printable. Fields that a newer operator writes and we do not know are left out."""
    value: dict[str, Any] = job.get("status") or {}
    try:
        return printable(PretrainJobStatus.model_validate(value))
    except ValidationError as error:
        for known in error.errors(include_url=False):
            if known["type"] == "extra_forbidden":
                value = _without(value, known["loc"])
    try:
        return printable(PretrainJobStatus.model_validate(value))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = f"status.{'.'.join(str(part) for part in first['loc'])} is of a form that this version does not know."
        instead = "Update pretrain to the operator's version."
        raise UserError("status-unreadable", f"{KIND}/{job['metadata']['name']}", what, instead) from None


def _without(value: Any, location: tuple[int | str, ...]) -> Any:
    """A copy without the entry at the location."""
    key, *below = location
    if isinstance(value, list) and isinstance(key, int):
        return [_without(item, tuple(below)) if at == key else item for at, item in enumerate(value)]
    if not below:
        return {k: v for k, v in value.items() if k != key}
    return {k: _without(v, tuple(below)) if k == key else v for k, v in value.items()}
