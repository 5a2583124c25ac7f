"""`pretrain submit`: a job file to the cluster, checked first; and, if wanted, its progress to the end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pretrain_api.errors import EXIT_OK
from pretrain_cli.cluster.options import connection_options
from pretrain_cli.standard_error import say

if TYPE_CHECKING:
    from pretrain_cli.cluster.connection import Connection, Json


@click.command(
    epilog="""\b
Examples:
  pretrain submit job.yaml
  pretrain submit job.yaml --set spec.training.steps=100 --watch
  pretrain submit job.yaml --dry-run=server
  pretrain submit job.yaml --dry-run=client -o yaml"""
)
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))
@click.option("--set", "sets", metavar="PATH=VALUE", multiple=True, help="Change a field of FILE. May be given again.")
@click.option(
    "--dry-run",
    type=click.Choice(["client", "server"]),
    help="Change nothing. client: ask no server; server: let it check and fill in defaults.",
)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json", "yaml", "name"]), default="text", help="Form of the result."
)
@click.option("--force-conflicts", is_flag=True, help="Overwrite fields that others have changed since.")
@click.option("--wait", is_flag=True, help="Return when the job has ended; print only what happens.")
@click.option(
    "-w", "--watch", is_flag=True, help="Return when the job has ended; show its progress as `pretrain run` does."
)
@connection_options
def command(
    file: str,
    sets: tuple[str, ...],
    dry_run: str | None,
    output: str,
    force_conflicts: bool,
    wait: bool,
    watch: bool,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> int:
    """Check the job in FILE ("-": standard input) and make it, or change it, in the cluster.

    With --wait and --watch the exit code is 0 when the job succeeded and 1 when it failed; Ctrl-C leaves the job alone.
    """
    if wait and watch:
        raise click.UsageError("Write either --wait or --watch.")
    if dry_run and (wait or watch):
        raise click.UsageError("--dry-run makes no job to wait for.")
    from pretrain_api.parse import load
    from pretrain_api.remarks import remarks

    job = load(file, sets)
    origin = "standard input" if file == "-" else file
    for remark in remarks(job):
        say(f"{origin}: note: {remark}")

    from pretrain_cli.cluster import submission

    if dry_run == "client":
        place = submission.namespace(job, namespace or "", "", origin)
        _print(submission.manifest(job, place), "valid (client dry run)", output)
        return EXIT_OK
    from pretrain_cli.cluster.applying import applied
    from pretrain_cli.cluster.options import connected

    connection = connected(kubeconfig, context, namespace)
    place = submission.namespace(job, namespace or "", connection.namespace, origin)
    connection = connection.of(place)
    made, verb = applied(connection, submission.manifest(job, place), origin, dry_run == "server", force_conflicts)
    _print(made, verb, output)
    if wait or watch:
        sys.stdout.flush()  # who reads this through a pipe waits for it now, not at the job's end
        from pretrain_cli.cluster.progress import followed

        return followed(connection, made, quiet=wait)
    if not dry_run:
        _what_next(made, connection, namespace)
    return EXIT_OK


def _print(job: Json, verb: str, form: str) -> None:
    from pretrain_cli.cluster import output

    if form == "text":
        click.echo(f"{output.name(job)} {verb}")
    else:
        output.Printer(form, all_namespaces=False).show([job], as_list=False)


def _what_next(job: Json, connection: Connection, given: str | None) -> None:
    name = job["metadata"]["name"]
    where = f" -n {connection.namespace}" if given else ""
    say(f"Follow it: pretrain logs {name}{where} -f")
    say(f"See it:    pretrain describe {name}{where}")
