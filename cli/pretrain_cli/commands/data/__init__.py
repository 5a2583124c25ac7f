"""`pretrain data`: what a run reads. A subcommand is a module of this package; none is imported before it is used."""

from collections.abc import Mapping

import click

from pretrain_cli.lazy_group import LazyGroup

SECTIONS: Mapping[str, Mapping[str, str]] = {
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
  pretrain data audit /data/run""",
)
def command() -> None:
    """Look into the data of a run: what it read, and in which order."""
