"""`pretrain checkpoints list`: the checkpoints of a run."""

import click

from pretrain_cli.commands.checkpoints import options


@click.command(
    epilog="""\b
Examples:
  pretrain checkpoints list job.yaml
  pretrain checkpoints list s3://bucket/run --all -o json"""
)
@options.of_run
@click.option("--all", "everything", is_flag=True, help="Also those that were removed.")
def command(target: str, sets: tuple[str, ...], output: str, everything: bool) -> int:
    """Show the checkpoints of a run: how far training was, which start committed it and what became of it.

    START counts the starts of training in this storage. Exit codes: 0, 2 something you wrote is wrong.
    """
    return options.run("list", target, sets, output, *(["--all"] if everything else []))
