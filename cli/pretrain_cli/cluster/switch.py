"""The command that sets `spec.suspend` of jobs; `pretrain suspend` and `pretrain resume` are its two positions."""

import click

from pretrain_cli.cluster.options import (
    checked_names,
    connected,
    connection_options,
    duration,
    many_options,
    names_argument,
)


def switch(*, suspend: bool, purpose: str, waits_until: str, epilog: str) -> click.Command:
    """A command for jobs by name, selector or all of them. `purpose` is its help, `waits_until` ends that of --wait."""

    @click.command(help=purpose, epilog=epilog)
    @names_argument(required=False)
    @many_options
    @click.option("--wait", is_flag=True, help=f"Return only when they are {waits_until}.")
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
        from pretrain_cli.cluster import changing

        checked_names(names, every, selector)
        if timeout is not None and not wait:
            raise click.UsageError("--timeout goes with --wait.")
        connection = connected(kubeconfig, context, namespace)
        named = changing.chosen(connection, names, every, selector)
        return changing.set_suspend(connection, named, suspend, not names, wait, timeout)

    return command
