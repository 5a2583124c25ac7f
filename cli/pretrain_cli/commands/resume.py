"""`pretrain resume`: let suspended jobs go on."""

import click

from pretrain_cli.cluster.options import connection_options, duration, many_options, names_argument


@click.command(
    epilog="""\b
Examples:
  pretrain resume gpt-small
  pretrain resume gpt-small gpt-large --wait --timeout 10m
  pretrain resume --all -n research"""
)
@names_argument(required=False)
@many_options
@click.option("--wait", is_flag=True, help="Return when they are at work.")
@click.option(
    "--timeout", metavar="TIME", callback=duration, help="Longest wait: 90s, 5m, 1h30m. Exit code 1 after it."
)
@connection_options
def command(
    names: tuple[str, ...],
    every: bool,
    selector: str | None,
    wait: bool,
    timeout: float | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> int:
    """Resume suspended jobs by NAME: they go on from their newest checkpoint."""
    from pretrain_cli.cluster import changing
    from pretrain_cli.cluster.options import checked_names, connected

    checked_names(names, every, selector)
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait.")
    connection = connected(kubeconfig, context, namespace)
    named = changing.chosen(connection, names, every, selector)
    return changing.set_suspend(connection, named, False, not names, wait, timeout)
