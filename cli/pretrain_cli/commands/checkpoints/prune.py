"""`pretrain checkpoints prune`: old checkpoints removed."""

import click

from pretrain_cli.commands.checkpoints import options


@click.command(
    epilog="""\b
Examples:
  pretrain checkpoints prune job.yaml --keep-last 2
  pretrain checkpoints prune s3://bucket/run --keep-last 1 --keep-every-steps 10000 --yes"""
)
@options.of_run
@click.option(
    "--keep-last", type=click.IntRange(min=1), required=True, metavar="N", help="How many of the newest stay."
)
@click.option(
    "--keep-every-steps",
    type=click.IntRange(min=1),
    metavar="N",
    help="The first checkpoint of each N steps stays, too.",
)
@click.option("--yes", is_flag=True, help="Remove them. Without it, only say which.")
def command(
    target: str, sets: tuple[str, ...], output: str, keep_last: int, keep_every_steps: int | None, yes: bool
) -> int:
    """Remove all but the newest whole checkpoints of a run. The log and the steps' figures stay.

    Training may go on meanwhile. Exit codes: 0, 2 something you wrote is wrong.
    """
    more = [] if keep_every_steps is None else ["--keep-every-steps", str(keep_every_steps)]
    more += ["--yes"] if yes else []
    return options.run("prune", target, sets, output, "--keep-last", str(keep_last), *more)
