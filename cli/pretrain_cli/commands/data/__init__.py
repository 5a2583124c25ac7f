"""`pretrain data`: what a run reads. A subcommand is a module of this package; none is imported before it is used."""

from collections.abc import Mapping

import click

from pretrain_cli.lazy_group import LazyGroup

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Runs and shards": {
        "stats": "Show what shards are made of.",
        "peek": "Show samples: text with its documents, or a sheet of images.",
        "verify": "Read every record again and compare its checksum.",
    },
    "Runs": {
        "audit": "Prove that a run read every sample of its order once.",
    },
}


@click.group(
    cls=LazyGroup,
    package=__name__,
    sections=SECTIONS,
    epilog="""\b
Examples:
  pretrain data audit /data/run
  pretrain data stats s3://bucket/shards/manifest.json
  pretrain data peek /data/run --at 1000
  pretrain data verify /data/shards""",
)
def command() -> None:
    """Look into training data: what shards hold, what a run read, and in which order."""
