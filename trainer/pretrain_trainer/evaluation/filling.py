"""Texts with masks, and what a masked language model puts in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pretrain_api.objectives import MASK
from pretrain_trainer.evaluation.generation import Sample
from pretrain_trainer.objectives.draws import uniform

if TYPE_CHECKING:
    from pretrain_trainer.tokenizer import LoadedTokenizer

_SHARE = 0.15
"""Of the tokens of a text without masks of its own."""


def fill(
    model: Any,
    loaded: LoadedTokenizer,
    prompts: Iterable[tuple[str, str]],
    *,
    sequence_length: int,
    seed: int,
    after_prompt: Callable[[int], None],
) -> Sequence[Sample]:
    """For each (prompt, source) the prompt with its masks, and the text with the most probable token in place of each.

    A prompt says itself where it has masks, `<|mask|>`; else 15 % of its tokens are masked. What is too long is cut.
    """
    assert loaded.mask is not None
    device, samples = next(model.parameters()).device, []
    for done, (prompt, source) in enumerate(prompts, start=1):
        masked = _masked(loaded, prompt, seed, done)[:sequence_length]
        tokens = torch.tensor([masked], device=device)
        with torch.no_grad():
            best = model(input_ids=tokens).logits.argmax(dim=-1)
        filled = torch.where(tokens == loaded.mask, best, tokens)[0].tolist()
        before, after = (loaded.tokenizer.decode(ids, skip_special_tokens=False) for ids in (masked, filled))
        samples.append(Sample(before, after, "filled", source))
        after_prompt(done)
    return samples


def _masked(loaded: LoadedTokenizer, prompt: str, seed: int, number: int) -> list[int]:
    assert loaded.mask is not None
    *before, last = prompt.split(MASK)
    pieces = [*(part.rstrip() for part in before), last]  # a mask stands for a word with the space before it
    parts = [loaded.tokenizer.encode(part, add_special_tokens=False).ids for part in pieces]
    found = parts[0]
    for part in parts[1:]:
        found = [*found, loaded.mask, *part]
    if len(parts) == 1:
        draws = uniform(seed, 0, np.array([number], dtype=np.int64), len(found))[0]
        found = [loaded.mask if draw < _SHARE else token for token, draw in zip(found, draws, strict=True)]
    return found or [loaded.mask]
