"""What an objective needs of the data, the tokenizer and the model. Each type in `pretrain_api.types.model` says it of itself."""

from dataclasses import dataclass
from typing import Literal

Architecture = Literal["causal", "masked", "seq2seq", "twoTowers", "imageAutoencoder", "imageEncoder"]
"""causal: a decoder. masked: an encoder with a head over the vocabulary. seq2seq: an encoder and a decoder. twoTowers: an
encoder of images and one of captions. imageAutoencoder: an encoder of patches and a decoder. imageEncoder: of images alone."""
Inputs = Literal["text", "images", "captionedImages"]
"""What a sample is."""

MASK = "<|mask|>"
SENTINELS = tuple(f"<extra_id_{number}>" for number in range(100))
"""As T5 names them; one stands for each span that was cut out."""


@dataclass(frozen=True)
class Needs:
    """Of one objective."""

    architecture: Architecture
    inputs: Inputs = "text"
    special_tokens: tuple[str, ...] = ()
    """That a tokenizer trained for it has, beside those of every tokenizer."""
    passes_together: bool = False
    """Whether the slices of all ranks pass as one batch, each whole: there are no micro-batches, and ranks wait for each
    other within a pass."""
