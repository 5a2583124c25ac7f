"""Texts that a language model writes after a prompt: the most probable one and one drawn with a fixed seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from transformers import GenerationConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NEW_TOKENS = 96
TEMPERATURE = 0.8
TOP_P = 0.95
"""Nucleus sampling (Holtzman et al. 2020, arXiv:1904.09751)."""
_DECODINGS = ("greedy", "sampled")


@dataclass(frozen=True)
class Sample:
    """What a model wrote after a prompt. `decoding` is greedy or sampled; `source` tells where an opening comes from."""

    prompt: str
    text: str
    decoding: str
    source: str = ""


class Continuation(Protocol):
    """One way to go on after a prompt."""

    def __call__(self, model: Any, prompt: Tensor, new_tokens: int, end_of_text: int, *, is_sampled: bool) -> list[int]:
        """At most `new_tokens` tokens after a prompt, int64 [1, n], up to the end of text: the most probable ones, or
        drawn at TEMPERATURE from the nucleus TOP_P."""


def after_causal_prompt(
    model: Any, prompt: Tensor, new_tokens: int, end_of_text: int, *, is_sampled: bool
) -> list[int]:
    """The continuation of a model whose tokens see those before them: that of transformers."""
    settings = {"do_sample": True, "temperature": TEMPERATURE, "top_p": TOP_P, "top_k": 0} if is_sampled else {}
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        **{"do_sample": False, **settings},
        max_new_tokens=new_tokens,
        eos_token_id=end_of_text,
        pad_token_id=end_of_text,
        bos_token_id=end_of_text,
        use_cache=True,
    )
    output = model.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=config)
    tokens: list[int] = output[0, prompt.shape[1] :].tolist()
    return tokens


def generate(
    model: Any,
    tokenizer: Tokenizer,
    prompts: Iterable[tuple[str, str]],
    *,
    end_of_text: int,
    sequence_length: int,
    seed: int,
    after_prompt: Callable[[int], None],
    continuation: Continuation = after_causal_prompt,
) -> Sequence[Sample]:
    """Two texts for each (prompt, source), of at most NEW_TOKENS tokens, prompt and text within `sequence_length`.

    A prompt that is too long loses its beginning. An empty one stands for the end-of-text token.
    """
    device = next(model.parameters()).device
    new_tokens = min(NEW_TOKENS, sequence_length // 2)
    samples = []
    for done, (prompt, source) in enumerate(prompts, start=1):
        ids = tokenizer.encode(prompt, add_special_tokens=False).ids[new_tokens - sequence_length :] or [end_of_text]
        tokens = torch.tensor([ids], device=device)
        for decoding in _DECODINGS:
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad():
                torch.manual_seed(seed)
                new = continuation(model, tokens, new_tokens, end_of_text, is_sampled=decoding == "sampled")
            text = tokenizer.decode(new, skip_special_tokens=True)
            samples.append(Sample(prompt, text, decoding, source))
        after_prompt(done)
    return samples
