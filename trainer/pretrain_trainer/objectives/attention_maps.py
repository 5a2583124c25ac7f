"""Where the class token of a vision transformer looks in its last layer, as pictures (arXiv:2104.14294, figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pretrain_trainer.objectives.image_objective import Picture
from pretrain_trainer.objectives.pixels import normalised, sheet

_MOST_HEADS = 6
_COLD, _HOT = (20, 20, 90), (255, 230, 40)
"""Colours of where a head looks least and most."""
_SHOWN = 0.4
"""Share of the image, in grey, in what is shown; the rest is colour."""


def attention_maps(model: Any, pixels: Tensor) -> Sequence[Picture]:
    """Images uint8 [n, 3, size, size], coloured by where each head looks; nothing where the model has no class token."""
    attention = last_attention(model, pixels)
    if attention is None:
        return []
    given = pixels.to(attention.device)
    rows = [given]
    for looks in (attention.mean(dim=1), *attention.unbind(dim=1)[:_MOST_HEADS]):
        side = round(looks.shape[1] ** 0.5)
        least, most = looks.aminmax(dim=1, keepdim=True)
        share = ((looks - least) / (most - least).clamp(min=torch.finfo(looks.dtype).eps)).reshape(-1, 1, side, side)
        wide = functional.interpolate(share, given.shape[-2:], mode="bilinear")
        cold, hot = (torch.tensor(each, device=given.device).view(3, 1, 1) for each in (_COLD, _HOT))
        grey = given.float().mean(dim=1, keepdim=True)
        rows.append((_SHOWN * grey + (1 - _SHOWN) * (cold + (hot - cold) * wide)).round().to(torch.uint8))
    heads = attention.shape[1]
    about = "Held-out images, yellow where the class token looks most in the last layer: the mean of its heads, then "
    about += "each head." if heads <= _MOST_HEADS else f"the first {_MOST_HEADS} of {heads} heads."
    return [Picture("attention", "Attention of the class token", about, sheet(torch.stack(rows)))]


def last_attention(model: Any, pixels: Tensor) -> Tensor | None:
    """float [n, heads, patches]: how much the class token attends to each patch in the last layer; None without one."""
    if not hasattr(model.config, "num_attention_heads"):
        return None
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")  # the others do not tell
    try:
        with torch.no_grad():
            found = model(pixel_values=normalised(pixels.to(model.device)), output_attentions=True).attentions
    finally:
        model.set_attn_implementation(before)
    weights: Tensor = found[-1][:, :, 0, 1:].float()
    return weights
