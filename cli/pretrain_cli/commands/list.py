"""`pretrain list`: the jobs of a namespace, or of all, as a table."""

import click

from pretrain_api.errors import EXIT_OK
from pretrain_cli.cluster.options import connection_options
from pretrain_cli.standard_error import say


@click.command(
    epilog="""\b
Examples:
  pretrain list
  pretrain list -A -o wide
  pretrain list -l team=search --watch
  pretrain list -o name"""
)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Jobs of all namespaces.")
@click.option("-l", "--selector", metavar="LABELS", help="Only jobs with these labels: team=search,!draft.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "wide", "json", "yaml", "name"]),
    default="text",
    help="Form of the result.",
)
@click.option("-w", "--watch", is_flag=True, help="Go on printing jobs as they change, until Ctrl-C.")
@connection_options
def command(
    everywhere: bool,
    selector: str | None,
    output: str,
    watch: bool,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> int:
    """List the PretrainJobs of a namespace: state, step, loss, speed, workers, age of the checkpoint, time left."""
    if everywhere and namespace:
        raise click.UsageError("Write either -A or -n, not both.")
    from pretrain_cli.cluster import jobs
    from pretrain_cli.cluster import output as form
    from pretrain_cli.cluster.options import connected

    connection = connected(kubeconfig, context, namespace, everywhere)
    printer = form.Printer(output, everywhere)
    if watch:
        printer.follow(jobs.changes(connection, selector=selector or ""))
        return EXIT_OK
    found = jobs.listed(connection, selector or "")
    if not found and output in ("text", "wide"):
        where = "in any namespace" if everywhere else f"in namespace {connection.namespace}"
        say(f"No PretrainJobs {where}" + (f" with {selector}." if selector else "."))
    printer.show(found, as_list=True)
    return EXIT_OK
