"""The run's storage as the trainer's program finds it, with the keys that the job's pods would have."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from pretrain_api import cluster
from pretrain_api.errors import UserError
from pretrain_api.findings import Finding, Level
from pretrain_api.types.storage import Storage
from pretrain_cli import trainer_program
from pretrain_cli.cluster.connection import Connection


def findings(spec: Storage, connection: Connection | None) -> Iterator[Finding]:
    """`connection`: None where the run is on this machine."""
    if connection is not None and "://" not in spec.uri:
        what = f"{spec.uri} is a folder of the pods' own volumes, which cannot be looked at from here."
        yield _finding(
            "reached", "skipped", what, f"In a pod: python -m pretrain_trainer.diagnosing storage {spec.uri}"
        )
        return
    environment: dict[str, str] = {}
    if connection is not None and spec.secret_ref is not None:
        try:
            environment = _variables(connection, spec.secret_ref.name)
        except UserError as error:
            yield _finding("credentials", "failure", f"{error.where}: {error.what}", error.instead)
            return
        if missing := [key for key in cluster.CREDENTIAL_KEYS if key not in environment]:
            what = f"Secret {spec.secret_ref.name} has no key {' and no '.join(missing)}."
            yield _finding("credentials", "failure", what, "manifests/samples/s3-credentials.yaml shows its form.")
            return
    yield from trainer_program.findings("storage", spec.uri, "--endpoint-url", spec.endpoint_url, **environment)


def _variables(connection: Connection, name: str) -> dict[str, str]:
    """What the Secret becomes in every pod."""
    data = connection.read(f"/api/v1/namespaces/{connection.namespace}/secrets/{name}").get("data") or {}
    known = (*cluster.CREDENTIAL_KEYS, *cluster.OPTIONAL_CREDENTIAL_KEYS)
    return {key: base64.b64decode(value).decode() for key, value in data.items() if key in known}


def _finding(check: str, level: Level, message: str, advice: str = "") -> Finding:
    return Finding("Storage", check, level, message, advice)
