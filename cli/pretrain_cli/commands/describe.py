"""`pretrain describe`: everything about a job in the cluster, its pods and what happened to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
  pretrain describe gpt-small -n research
  pretrain describe gpt-small -o yaml"""
)
@names_argument(required=True)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "yaml"]),
    default="text",
    help="Form of the result; json and yaml: a List of the job, its pods and its events.",
)
@connection_options
def command(
    names: tuple[str, ...], output: str, namespace: str | None, context: str | None, kubeconfig: str | None
) -> int:
    """Show everything about jobs by NAME: spec, stages, conditions, training, failures, pods, and a timeline.

    `pretrain status` shows a run on this machine.
    """
    from pretrain_cli.cluster.options import connected, each

    connection = connected(kubeconfig, context, namespace)
    seen: list[_Seen] = []
    errors = each(names, lambda name: seen.append(_look(connection, name)))
    if output != "text":
        from pretrain_cli.cluster.output import text

        objects = [each for one in seen for each in _objects(one)]
        click.echo(text({"apiVersion": "v1", "kind": "List", "items": objects}, output))
    else:
        click.echo("\n\n\n".join("\n".join(_lines(one)) for one in seen), nl=bool(seen))
    return EXIT_USER_ERROR if errors else EXIT_OK


@dataclass(frozen=True)
class _Seen:
    """A job and what surrounds it, as the API server shows them."""

    job: Json
    pods: list[Json]
    events: list[Json]
    notes: list[str]
    """What could not be looked at."""


def _look(connection: Connection, name: str) -> _Seen:
    from pretrain_api import cluster
    from pretrain_cli.cluster import jobs, timeline

    job = jobs.read(connection, name)
    place = f"/api/v1/namespaces/{connection.namespace}"
    notes: list[str] = []

    def items(kind: str, **query: object) -> list[Json]:
        return _allowed(
            lambda: [i for page in connection.pages(f"{place}/{kind}", query) for i in page["items"]], notes
        )

    pods = items("pods", labelSelector=f"{cluster.LABEL_JOB}={name}")
    events = [m for m in items("events") if timeline.is_of(name, m.get("involvedObject") or {})]
    return _Seen(job, pods, events, notes)


def _lines(seen: _Seen) -> Iterator[str]:
    from pretrain_cli.cluster import description, jobs, timeline
    from pretrain_cli.cluster.pods import pod

    events = [event for event in map(timeline.event, seen.events) if event]
    pods = [pod(manifest) for manifest in seen.pods]
    return description.lines(seen.job, jobs.status(seen.job), pods, events, seen.notes, datetime.now(UTC))


def _objects(seen: _Seen) -> Iterator[Json]:
    """The job, its pods and its events, each with its kind, as `kubectl get -o json` lists them."""
    from pretrain_cli.cluster.output import plain

    yield plain(seen.job)
    for kind, objects in (("Pod", seen.pods), ("Event", seen.events)):
        for each in objects:
            yield {"apiVersion": "v1", "kind": kind, **plain(each)}


def _allowed(look: Callable[[], list[Json]], notes: list[str]) -> list[Json]:
    """What is there; a note when one may not look. The job itself is shown all the same."""
    from pretrain_cli.cluster.connection import ApiRefusal

    try:
        return look()
    except ApiRefusal as refusal:
        notes.append(f"note: {refusal.what}")
        return []
