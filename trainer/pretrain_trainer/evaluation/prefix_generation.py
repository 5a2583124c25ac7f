"""How a prefix language model goes on after a prompt, whose tokens see each other in both directions.

transformers' own generation reads the prompt from left to right, and so would show what the model was not trained for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

from pretrain_trainer.evaluation.generation import TEMPERATURE, TOP_P
from pretrain_trainer.objectives.prefix_lm import for_model


def after_prefix(model: Any, prompt: Tensor, new_tokens: int, end_of_text: int, *, is_sampled: bool) -> list[int]:
    """The continuation of a prompt, int64 [1, n], token by token.

    Only the prompt needs a mask: each new token sees all that is there, and what is there does not see it.
    """
    nucleus = LogitsProcessorList([TemperatureLogitsWarper(TEMPERATURE), TopPLogitsWarper(TOP_P)])
    length = prompt.shape[1]
    everything = torch.ones(1, 1, length, length, dtype=torch.bool, device=prompt.device)
    place = torch.arange(length, device=prompt.device)[None]
    output = model(prompt, attention_mask=for_model(model, everything), position_ids=place, use_cache=True)
    written: list[int] = []
    while True:
        scores = output.logits[:, -1].float()
        if is_sampled:
            likely = nucleus(prompt, scores)  # type: ignore[arg-type]
            token = torch.multinomial(likely.softmax(dim=-1), 1)
        else:
            token = scores.argmax(dim=-1, keepdim=True)
        written.append(int(token))
        if len(written) >= new_tokens or written[-1] == end_of_text:
            return written
        output = model(token, past_key_values=output.past_key_values, use_cache=True)
