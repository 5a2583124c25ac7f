"""What each objective needs of the tokenizer and of the model: one row each, by its field in spec.objective. Pure tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.model import Objective

Architecture = Literal["causal", "masked", "seq2seq"]
"""causal: a decoder. masked: an encoder with a head over the vocabulary. seq2seq: an encoder and a decoder."""

MASK = "<|mask|>"
SENTINELS = tuple(f"<extra_id_{number}>" for number in range(100))
"""As T5 names them; one stands for each span that was cut out."""


@dataclass(frozen=True)
class Needs:
    """Of one objective."""

    architecture: Architecture
    special_tokens: tuple[str, ...] = ()
    """That a tokenizer trained for it has, beside those of every tokenizer."""


_NEEDS: Mapping[str, Needs] = {
    "causalLM": Needs("causal"),
    "maskedLM": Needs("masked", (MASK,)),
    "spanCorruption": Needs("seq2seq", SENTINELS),
    "prefixLM": Needs("causal"),
}


def name(objective: Objective) -> str:
    """The objective's field: causalLM. The first, where a job that is not valid has several; empty where it has none."""
    return next(iter(objective.model_dump(by_alias=True, exclude_none=True)), "")


def needs(objective: Objective) -> Needs:
    """What the objective needs; nothing special where this version does not support it."""
    return _NEEDS.get(name(objective), Needs("causal"))


def special_tokens(spec: PretrainJobSpec) -> tuple[str, ...]:
    """Those that the objective adds to a tokenizer that the job trains; a given one has what it has."""
    return needs(spec.objective).special_tokens if spec.tokenizer.train else ()
