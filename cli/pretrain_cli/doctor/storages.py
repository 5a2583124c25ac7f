"""The run's storage as the trainer's program finds it, with the keys that the job's pods would have."""

from __future__ import annotations

from collections.abc import Iterator

from pretrain_api import cluster
from pretrain_api.errors import UserError
from pretrain_api.findings import Finding, Level
from pretrain_api.types.storage import Storage
from pretrain_cli import trainer_program
from pretrain_cli.cluster import job_storage
from pretrain_cli.cluster.connection import Connection


def findings(spec: Storage, connection: Connection | None) -> Iterator[Finding]:
    """`connection`: None where the run is on this machine."""
    if connection is not None and not job_storage.is_within_reach(spec):
        what = f"{spec.uri} is a folder of the pods' own volumes, which cannot be looked at from here."
        yield _finding(
            "reached", "skipped", what, f"In a pod: python -m pretrain_trainer.diagnosing storage {spec.uri}"
        )
        return
    environment: dict[str, str] = {}
    if connection is not None and spec.secret_ref is not None:
        try:
            environment = job_storage.variables(connection, spec)
        except UserError as error:
            yield _finding("credentials", "failure", f"{error.where}: {error.what}", error.instead)
            return
        if missing := [key for key in cluster.CREDENTIAL_KEYS if key not in environment]:
            what = f"Secret {spec.secret_ref.name} has no key {' and no '.join(missing)}."
            yield _finding("credentials", "failure", what, "manifests/samples/s3-credentials.yaml shows its form.")
            return
    yield from trainer_program.findings("storage", spec.uri, "--endpoint-url", spec.endpoint_url, **environment)


def _finding(check: str, level: Level, message: str, advice: str = "") -> Finding:
    return Finding("Storage", check, level, message, advice)
