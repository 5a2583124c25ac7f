"""`pretrain describe`: everything about a job in the cluster, its pods and what happened to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pretrain_api.errors import EXIT_OK, EXIT_USER_ERROR
from pretrain_cli.cluster.options import connection_options, names_argument

if TYPE_CHECKING:
    from pretrain_cli.cluster.connection import Connection, Json


@click.command(
    epilog="""\b
Examples:
  pretrain describe gpt-small
  pretrain describe gpt-small -n research"""
)
@names_argument(required=True)
@connection_options
def command(names: tuple[str, ...], namespace: str | None, context: str | None, kubeconfig: str | None) -> int:
    """Show everything about jobs by NAME: spec, stages, conditions, training, failures, pods, events.

    `pretrain status` shows a run on this machine.
    """
    from pretrain_cli.cluster.options import connected, each

    connection = connected(kubeconfig, context, namespace)
    later = False

    def describe(name: str) -> None:
        nonlocal later
        for line in _lines(connection, name):
            click.echo(f"\n\n{line}" if later else line)
            later = False
        later = True

    return EXIT_USER_ERROR if each(names, describe) else EXIT_OK


def _lines(connection: Connection, name: str) -> Iterator[str]:
    from pretrain_api import cluster
    from pretrain_cli.cluster import description, jobs
    from pretrain_cli.cluster.pods import pod

    job = jobs.read(connection, name)
    place = f"/api/v1/namespaces/{connection.namespace}"
    notes: list[str] = []

    def items(kind: str, **query: object) -> list[Json]:
        return _allowed(
            lambda: [i for page in connection.pages(f"{place}/{kind}", query) for i in page["items"]], notes
        )

    pods = [pod(manifest) for manifest in items("pods", labelSelector=f"{cluster.LABEL_JOB}={name}")]
    found = [m for m in items("events") if description.is_of(name, m.get("involvedObject") or {})]
    events = [event for event in map(description.event, found) if event]
    return description.lines(job, jobs.status(job), pods, events, notes, datetime.now(UTC))


def _allowed(look: Callable[[], list[Json]], notes: list[str]) -> list[Json]:
    """What is there; a note when one may not look. The job itself is shown all the same."""
    from pretrain_cli.cluster.connection import ApiRefusal

    try:
        return look()
    except ApiRefusal as refusal:
        notes.append(f"note: {refusal.what}")
        return []
