"""`pretrain suspend`: stop jobs after a checkpoint and free their pods."""

import click

from pretrain_cli.cluster.options import connection_options, duration, many_options, names_argument


@click.command(
    epilog="""\b
Examples:
  pretrain suspend gpt-small
  pretrain suspend gpt-small gpt-large --wait --timeout 10m
  pretrain suspend --all -n research"""
)
@names_argument(required=False)
@many_options
@click.option("--wait", is_flag=True, help="Return when they are suspended.")
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
    """Suspend jobs by NAME: training saves a checkpoint, then every pod is freed. Finished stages are kept."""
    from pretrain_cli.cluster import changing
    from pretrain_cli.cluster.options import checked_names, connected

    checked_names(names, every, selector)
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait.")
    connection = connected(kubeconfig, context, namespace)
    named = changing.chosen(connection, names, every, selector)
    return changing.set_suspend(connection, named, True, not names, wait, timeout)
