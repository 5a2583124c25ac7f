"""What each objective needs of the tokenizer and of the model: one row each, by its field in spec.objective. Pure tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.model import Objective

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


_NEEDS: Mapping[str, Needs] = {
    "causalLM": Needs("causal"),
    "maskedLM": Needs("masked", special_tokens=(MASK,)),
    "spanCorruption": Needs("seq2seq", special_tokens=SENTINELS),
    "prefixLM": Needs("causal"),
    "clip": Needs("twoTowers", "captionedImages"),
    "mae": Needs("imageAutoencoder", "images"),
    "simclr": Needs("imageEncoder", "images", passes_together=True),
    "dino": Needs("imageEncoder", "images"),
}


def name(objective: Objective) -> str:
    """The objective's field: causalLM. The first, where a job that is not valid has several; empty where it has none."""
    return next(iter(objective.model_dump(by_alias=True, exclude_none=True)), "")


def needs(objective: Objective) -> Needs:
    """What the objective needs; nothing special where a job that is not valid has none."""
    return _NEEDS.get(name(objective), Needs("causal"))


def special_tokens(spec: PretrainJobSpec) -> tuple[str, ...]:
    """Those that the objective adds to a tokenizer that the job trains; a given one has what it has."""
    return needs(spec.objective).special_tokens if spec.tokenizer and spec.tokenizer.train else ()


def learns_text(spec: PretrainJobSpec) -> bool:
    """Whether samples are packed sequences of tokens, which is what lengths, throughput and losses are then told in."""
    return needs(spec.objective).inputs == "text"


def reads_text(spec: PretrainJobSpec) -> bool:
    """Whether there is text to be made tokens of."""
    return needs(spec.objective).inputs != "images"


def image_size(spec: PretrainJobSpec) -> int:
    """Side of the square images that the model is given, in pixels. ValueError where it is given none."""
    objective = spec.objective
    images = objective.clip or objective.mae or objective.simclr or objective.dino
    if images is None:
        raise ValueError(f"{name(objective)} has no images")
    return images.image_size


def tokens_per_sample(spec: PretrainJobSpec) -> int:
    """What a sample adds to the count of tokens: 0 where samples are images, which are counted themselves."""
    return spec.training.sequence_length if learns_text(spec) else 0
