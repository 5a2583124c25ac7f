"""`pretrain checkpoints`: what a training saved. A subcommand is a module of this package; none is imported before it is used."""

from collections.abc import Mapping

import click

from pretrain_cli.lazy_group import LazyGroup

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Look": {
        "list": "Show the checkpoints of a run and what became of them.",
        "verify": "Read every byte again and compare its checksum.",
        "diff": "Show what differs between two checkpoints.",
    },
    "Change": {
        "prune": "Remove old checkpoints.",
        "convert": "Write a checkpoint for Hugging Face or torch.distributed.checkpoint.",
    },
}


@click.group(
    cls=LazyGroup,
    package=__name__,
    sections=SECTIONS,
    epilog="""\b
Examples:
  pretrain checkpoints list job.yaml
  pretrain checkpoints verify s3://bucket/run
  pretrain checkpoints diff /data/run 400 600
  pretrain checkpoints prune /data/run --keep-last 2
  pretrain checkpoints convert /data/run ./model --to huggingface""",
)
def command() -> None:
    """Look at, check, compare, remove and convert the checkpoints of a run, on this machine or in a cluster."""
