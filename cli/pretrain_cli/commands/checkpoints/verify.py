"""`pretrain checkpoints verify`: every byte read again."""

import click

from pretrain_cli.commands.checkpoints import options


@click.command(
    epilog="""\b
Examples:
  pretrain checkpoints verify job.yaml
  pretrain checkpoints verify s3://bucket/run --step 4000"""
)
@options.of_run
@click.option("--step", type=click.IntRange(min=0), metavar="N", help="Only the checkpoint of this step.")
def command(target: str, sets: tuple[str, ...], output: str, step: int | None) -> int:
    """Read every byte of the checkpoints of a run and compare its checksum with the one it was written with.

    Changes nothing. Exit codes: 0 all sound, 1 there is a damaged one, 2 something you wrote is wrong.
    """
    return options.run("verify", target, sets, output, *([] if step is None else ["--step", str(step)]))
