"""`pretrain delete`: jobs and their pods; what they wrote stays."""

import sys
import time
from typing import Any

import click

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK, EXIT_USER_ERROR
from pretrain_cli.cluster.options import connection_options, duration, many_options, names_argument
from pretrain_cli.standard_error import say

_PROPAGATION = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}


@click.command(
    epilog="""\b
Examples:
  pretrain delete gpt-small
  pretrain delete gpt-small gpt-large --no-wait
  pretrain delete --all -n research --interactive"""
)
@names_argument(required=False)
@many_options
@click.option(
    "--cascade",
    type=click.Choice(list(_PROPAGATION)),
    default="background",
    show_default=True,
    help="foreground: the job goes last; orphan: its pods stay.",
)
@click.option("-i", "--interactive", is_flag=True, help="Ask first.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when the jobs are gone.")
@click.option(
    "--timeout", metavar="TIME", callback=duration, help="Longest wait: 90s, 5m, 1h30m. Exit code 1 after it."
)
@click.option("--ignore-not-found", is_flag=True, help="A job that is not there is no mistake.")
@connection_options
def command(
    names: tuple[str, ...],
    every: bool,
    selector: str | None,
    cascade: str,
    interactive: bool,
    wait: bool,
    timeout: float | None,
    ignore_not_found: bool,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> int:
    """Delete jobs by NAME with their pods. Checkpoints, shards and exports in spec.storage stay.

    As in kubectl there is no question before, unless --interactive asks for one.
    """
    from pretrain_cli.cluster import changing, jobs, output
    from pretrain_cli.cluster.options import checked_names, connected, each

    checked_names(names, every, selector)
    connection = connected(kubeconfig, context, namespace)
    named = changing.chosen(connection, names, every, selector)
    if interactive and named and not _agreed(named, connection.namespace):
        return EXIT_OK
    deleted: list[dict[str, Any]] = []

    def delete(name: str) -> None:
        job = jobs.find(connection, name)
        if job is None and ignore_not_found:
            return
        if job is None:
            raise jobs.unknown(connection, name)
        jobs.delete(connection, name, _PROPAGATION[cascade])
        deleted.append(job)
        click.echo(f'{jobs.KIND} "{name}" deleted')

    errors = each(named, delete)
    end = time.monotonic() + (timeout if timeout is not None else float("inf"))
    exit_code = EXIT_USER_ERROR if errors else EXIT_OK
    for job in deleted if wait else []:
        if not jobs.is_gone(connection, job, end - time.monotonic()):
            why = "its finalizers have not let it go in time. Is the operator running?"
            say(f"{output.name(job)}: {why}")
            exit_code = exit_code or EXIT_FAILURE
    return exit_code


def _agreed(names: tuple[str, ...], namespace: str) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("--interactive needs a terminal to ask on.")
    return click.confirm(f"Delete {', '.join(names)} in namespace {namespace}?", err=True)
