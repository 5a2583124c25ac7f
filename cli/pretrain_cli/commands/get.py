"""`pretrain get`: jobs by name, as a table row or whole."""

from typing import Any

import click

from pretrain_api.errors import EXIT_OK, EXIT_USER_ERROR
from pretrain_cli.cluster.options import connection_options, names_argument


@click.command(
    epilog="""\b
Examples:
  pretrain get gpt-small
  pretrain get gpt-small -o yaml
  pretrain get gpt-small --watch"""
)
@names_argument(required=True)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "wide", "json", "yaml", "name"]),
    default="text",
    help="Form of the result.",
)
@click.option(
    "-w", "--watch", is_flag=True, help="Go on printing the job as it changes, until it is deleted or Ctrl-C."
)
@connection_options
def command(
    names: tuple[str, ...],
    output: str,
    watch: bool,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> int:
    """Show PretrainJobs by NAME: in one line each, or whole with -o yaml. `pretrain list` shows all."""
    if watch and len(names) > 1:
        raise click.UsageError("--watch takes one name; `pretrain list --watch` shows all jobs.")
    from pretrain_cli.cluster import jobs
    from pretrain_cli.cluster import output as form
    from pretrain_cli.cluster.options import connected, each

    connection = connected(kubeconfig, context, namespace)
    printer = form.Printer(output, all_namespaces=False)
    found: list[dict[str, Any]] = []
    errors = each(names, lambda name: found.append(jobs.read(connection, name)))
    if watch and found:
        printer.follow(jobs.changes(connection, names[0]), until_deleted=True)
    elif found:
        printer.show(found, as_list=len(names) > 1)
    return EXIT_USER_ERROR if errors else EXIT_OK
