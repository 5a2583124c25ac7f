"""`pretrain checkpoints diff`: what training changed between two checkpoints."""

import click

from pretrain_cli.commands.checkpoints import options


@click.command(
    epilog="""\b
Examples:
  pretrain checkpoints diff job.yaml 400 600
  pretrain checkpoints diff /data/run 400 600 -o json"""
)
@options.of_run
@click.argument("first", type=click.IntRange(min=0), metavar="STEP")
@click.argument("second", type=click.IntRange(min=0), metavar="STEP")
def command(target: str, sets: tuple[str, ...], output: str, first: int, second: int) -> int:
    """Show which tensors differ between the checkpoints of two steps, those that differ most first.

    Exit codes: 0 the same bits, 1 they differ, 2 something you wrote is wrong.
    """
    return options.run("diff", target, sets, output, str(first), str(second))
