"""What follows from a job's objective, the field of spec.objective that is written."""

from collections.abc import Mapping
from typing import get_args

from pretrain_api.needs import MASK, SENTINELS, Architecture, Inputs, Needs
from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.model import Objective, OfImages, OfText

__all__ = ["MASK", "SENTINELS", "Architecture", "Needs"]

KINDS: Mapping[str, type[OfText | OfImages]] = {
    field.alias or name: kind
    for name, field in Objective.model_fields.items()
    for kind in get_args(field.annotation)
    if kind is not type(None)
}
"""The types of all objectives' settings, by their fields in spec.objective."""


def name(objective: Objective) -> str:
    """The objective's field: causalLM. The first, where a job that is not valid has several; empty where it has none."""
    return next(iter(objective.model_dump(by_alias=True, exclude_none=True)), "")


def needs(objective: Objective) -> Needs:
    """What the objective needs; nothing special where a job that is not valid has none."""
    settings = objective.written
    return settings.needs if settings else Needs("causal")


def inputs(objective: str) -> Inputs:
    """What a sample of the objective of that name is."""
    return KINDS[objective].needs.inputs if objective in KINDS else "text"


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
    settings = spec.objective.written
    if not isinstance(settings, OfImages):
        raise ValueError(f"{name(spec.objective)} has no images")
    return settings.image_size


def tokens_per_sample(spec: PretrainJobSpec) -> int:
    """What a sample adds to the count of tokens: 0 where samples are images, which are counted themselves."""
    return spec.training.sequence_length if learns_text(spec) else 0
