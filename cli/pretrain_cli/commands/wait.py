"""`pretrain wait`: until jobs are where they are wanted."""

import time

import click

from pretrain_api.errors import EXIT_FAILURE, EXIT_OK
from pretrain_cli.cluster.options import connection_options, duration, names_argument
from pretrain_cli.standard_error import say


@click.command(
    epilog="""\b
Examples:
  pretrain wait gpt-small --for condition=Succeeded --timeout 12h
  pretrain wait gpt-small --for state=Training
  pretrain wait gpt-small --for checkpoint
  pretrain wait gpt-small --for step=100
  pretrain wait gpt-small --for delete"""
)
@names_argument(required=True)
@click.option(
    "--for",
    "aim",
    metavar="WHAT",
    required=True,
    help="condition=TYPE[=True|False|Unknown], state=STATE, checkpoint, step=N or delete.",
)
@click.option(
    "--timeout",
    metavar="TIME",
    callback=duration,
    help="Longest wait: 90s, 5m, 1h30m; 0 looks once. Default: no limit.",
)
@connection_options
def command(
    names: tuple[str, ...],
    aim: str,
    timeout: float | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> int:
    """Wait until the jobs of these NAMEs have all reached something.

    Exit codes: 0 all reached it; 1 the time is over, or one can no longer reach it (it failed, ended or passed it),
    which ends the wait at once; 2 something you wrote is wrong.
    """
    from pretrain_cli.cluster import jobs, waiting
    from pretrain_cli.cluster.options import connected
    from pretrain_cli.cluster.waits import waited

    try:
        wanted = waiting.wanted(aim)
    except ValueError as error:
        raise click.UsageError(f"--for {error}") from None
    connection = connected(kubeconfig, context, namespace)
    end = time.monotonic() + (timeout if timeout is not None else float("inf"))
    if wanted.look is not None:
        for result in waited(connection, names, wanted.look, end):
            if result.state != "reached":
                return _missed(result.name, aim, result.why)
            click.echo(f"{jobs.KIND}/{result.name} {aim} reached")
        return EXIT_OK
    for name in dict.fromkeys(names):
        job = jobs.find(connection, name)
        if job is not None and not jobs.is_gone(connection, job, end - time.monotonic()):
            return _missed(name, aim, "not in time; it is still there")
        click.echo(f"{jobs.KIND}/{name} {'deleted' if job else 'is not there'}")
    return EXIT_OK


def _missed(name: str, aim: str, why: str) -> int:
    from pretrain_cli.cluster.jobs import KIND

    say(f"{KIND}/{name}: {aim} not reached: {why}")
    return EXIT_FAILURE
