"""`pretrain doctor`: whether what jobs need is there and works, with advice where it does not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, PretrainError, UserError
from pretrain_cli.cluster.options import connection_options

if TYPE_CHECKING:
    from pretrain_api.findings import Finding
    from pretrain_api.types import PretrainJob
    from pretrain_api.types.storage import Storage
    from pretrain_cli.cluster.connection import Connection


@click.command(
    epilog="""\b
Examples:
  pretrain doctor
  pretrain doctor job.yaml -n research
  pretrain doctor s3://bucket/run
  pretrain doctor job.yaml --local
  pretrain doctor -o json"""
)
@click.argument("target", metavar="[FILE|STORAGE_URI]", required=False)
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
@click.option("--local", is_flag=True, help="Look at this machine, as for `pretrain run`, and at no cluster.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", help="Form of the result.")
@connection_options
def command(
    target: str | None,
    sets: tuple[str, ...],
    local: bool,
    output: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> int:
    """Check the cluster: version, CRD, your permissions, the operator, GPUs of the nodes, clocks.

    With a job FILE or a STORAGE_URI its store as well: access, clock, conditional writes, bandwidth; 64 MiB are written
    beside the run and removed. Without a kubeconfig, and with --local, this machine instead: libraries, memory, GPUs,
    collectives (NCCL, or Gloo on CPUs). Exit codes: 0 no failure, 1 there is one, 2 something you wrote is wrong.
    """
    if local and (namespace or context or kubeconfig):
        raise click.UsageError("--local looks at no cluster: leave -n, --context and --kubeconfig out.")
    from pretrain_cli.cluster.output import text
    from pretrain_cli.doctor import showing

    job, storage = _meant(target, sets)
    found = list(_findings(job, storage, local, (kubeconfig, context, namespace)))
    if output == "text":
        for line in showing.lines(found, sys.stdout.isatty() and "NO_COLOR" not in os.environ):
            click.echo(line)
    else:
        click.echo(text(showing.document(found), output))
    return EXIT_FAILURE if any(finding.level == "failure" for finding in found) else EXIT_OK


def _meant(target: str | None, sets: tuple[str, ...]) -> tuple[PretrainJob | None, Storage | None]:
    """The job in the file, if one is given, and the storage."""
    from pretrain_api.types.storage import Storage
    from pretrain_cli.target import given_job

    if target is None:
        if sets:
            raise click.UsageError("--set goes with a job file.")
        return None, None
    if job := given_job(target, sets):
        return job, job.spec.storage
    return None, Storage(uri=target)


def _findings(
    job: PretrainJob | None, storage: Storage | None, local: bool, chosen: tuple[str | None, str | None, str | None]
) -> Iterator[Finding]:
    from pretrain_api.findings import Finding
    from pretrain_cli import trainer_program
    from pretrain_cli.doctor import cluster, storages

    connection: Connection | None = None
    if not local:
        try:
            connection = _connection(job, chosen)
        except UserError as error:
            if error.code != "no-kubeconfig" or any(chosen) or "KUBECONFIG" in os.environ:
                raise
            advice = "Give --kubeconfig, or write --local."
            yield Finding("Cluster", "reached", "skipped", "no kubeconfig, so this machine is looked at.", advice)
    if connection is not None:
        yield from cluster.findings(connection, job)
    else:
        yield from trainer_program.findings("machine")
    if storage is None:
        advice = "pretrain doctor job.yaml tries it."
        yield Finding("Storage", "reached", "skipped", "no job file and no address was given.", advice)
        return
    try:
        yield from storages.findings(storage, connection)
    except PretrainError as error:
        yield Finding("Storage", "reached", "failure", str(error))


def _connection(job: PretrainJob | None, chosen: tuple[str | None, str | None, str | None]) -> Connection:
    """The cluster, in the namespace that the job would be submitted to."""
    from pretrain_cli.cluster import submission
    from pretrain_cli.cluster.options import connected

    connection = connected(*chosen)
    if job is None:
        return connection
    return connection.of(submission.namespace(job, chosen[2] or "", connection.namespace, "job"))
