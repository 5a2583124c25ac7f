"""Texts with spans cut out, and what an encoder-decoder writes for them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import GenerationConfig

from pretrain_api.objectives import SENTINELS
from pretrain_trainer.data.samples import Samples
from pretrain_trainer.evaluation.generation import NEW_TOKENS, Sample

if TYPE_CHECKING:
    from pretrain_trainer.objectives import Objective
    from pretrain_trainer.tokenizer import LoadedTokenizer

_SENTINEL = re.compile(f"({'|'.join(map(re.escape, SENTINELS))})")


def fill(
    model: Any,
    loaded: LoadedTokenizer,
    objective: Objective[Any],
    prompts: Iterable[tuple[str, str]],
    *,
    sequence_length: int,
    after_prompt: Callable[[int], None],
) -> Sequence[Sample]:
    """For each (prompt, source) the prompt with its sentinels, and the text with what the model writes in their place.

    A prompt says itself where it has sentinels, `<extra_id_0>`; else the objective cuts spans out. What is too long is cut.
    A sentinel for which the model writes nothing, or which it leaves out, stays.
    """
    device, samples = next(model.parameters()).device, []
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=min(NEW_TOKENS, sequence_length // 2),
        do_sample=False,
        decoder_start_token_id=model.config.decoder_start_token_id,
        eos_token_id=loaded.end_of_text,
        pad_token_id=loaded.padding,
        use_cache=True,
    )
    for done, (prompt, source) in enumerate(prompts, start=1):
        read = _with_sentinels(loaded, objective, prompt, done, sequence_length)
        tokens = torch.tensor([read], device=device)
        with torch.no_grad():
            written = model.generate(tokens, attention_mask=torch.ones_like(tokens), generation_config=config)
        spans = spans_of(written[0, 1:].tolist(), loaded)
        filled = [token for place in read for token in spans.get(place) or [place]]
        before, after = (loaded.tokenizer.decode(ids, skip_special_tokens=False) for ids in (read, filled))
        samples.append(Sample(before, after, "filled", source))
        after_prompt(done)
    return samples


def spans_of(written: Sequence[int], loaded: LoadedTokenizer) -> dict[int, list[int]]:
    """What stands after each sentinel in a decoder's output, up to the end of the text. A sentinel that comes again says
    nothing more."""
    found: dict[int, list[int]] = {}
    span: list[int] = []
    for token in written:
        if token == loaded.end_of_text:
            break
        if token in loaded.sentinels:
            span = []
            found.setdefault(token, span)
        else:
            span.append(token)
    return found


def _with_sentinels(
    loaded: LoadedTokenizer, objective: Objective[Any], prompt: str, number: int, sequence_length: int
) -> list[int]:
    vocabulary = dict(zip(SENTINELS, loaded.sentinels, strict=False))

    def encoded() -> Iterator[int]:
        parts = _SENTINEL.split(prompt)
        for part, following in itertools.zip_longest(parts, parts[1:], fillvalue=""):
            if part in vocabulary:
                yield vocabulary[part]
            else:  # a sentinel stands for words with the space before them
                text = part.rstrip() if following in vocabulary else part
                yield from loaded.tokenizer.encode(text, add_special_tokens=False).ids

    tokens = list(encoded())[:sequence_length]
    if any(token in loaded.sentinels for token in tokens):
        return tokens
    if len(tokens) < 2:  # nothing to cut out: the span comes after it
        return [*tokens, loaded.sentinels[0]]
    whole = np.array([[*tokens, loaded.end_of_text]], dtype=np.int32)
    sample = Samples(whole, np.zeros_like(whole), np.ones(whole.shape, dtype=np.bool_), np.zeros(1, dtype=np.bool_))
    read: list[int] = objective.batch(sample, np.array([number], dtype=np.int64))["inputs"][0].tolist()
    return read
