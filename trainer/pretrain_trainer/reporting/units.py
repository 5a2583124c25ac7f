"""What a run is counted in: tokens, or images where they are what it learns from. Words and columns, no figures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Units:
    """Of one kind of samples."""

    counted: str
    """In the plural."""
    total: str
    """Column of the steps (pretrain_trainer.reporting.columns) with those seen since the start of the run."""
    rate: str
    """Column with those per second."""
    loss: str
    """What a loss is in."""
    documents: str
    """What the stages before training count, in the plural."""


TOKENS = Units("tokens", "tokens", "tokensPerSecond", "nats per token", "documents")
IMAGES = Units("images", "samples", "samplesPerSecond", "loss", "images")
