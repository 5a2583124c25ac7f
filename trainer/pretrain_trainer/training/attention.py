"""Causal attention for CPUs, in blocks of queries, as an attention implementation of transformers.

PyTorch's fused CPU kernel recomputes the probabilities in the backward pass with small products; matrix products
over blocks that skip the future, with the probabilities kept, are faster where these are small enough to keep.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "pretrain_blocks"
_BLOCK = 64
_LONGEST = 1024
"""Tokens in a sequence up to which the probabilities are kept; they grow with its square."""


def use(model: nn.Module) -> None:
    """Make the model attend in blocks wherever that gives the same sums as the implementation that it has."""
    if model.config._attn_implementation != "sdpa":  # type: ignore[union-attr]
        return  # it has scores that only its own implementation knows of, or no attention at all
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)  # type: ignore[operator]


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Query [n, heads, L, width], key and value [n, groups, L, width] -> [n, L, heads, width]."""
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    length = query.shape[2]
    fits = key.shape[2] == length <= _LONGEST and query.shape[3] == value.shape[3]
    fits = fits and query.dtype == torch.float32 and not torch.is_autocast_enabled(query.device.type)
    if not (causal and fits and query.device.type == "cpu") or dropout:
        output: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **settings
        )
        return output
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    result: Tensor = _CausalBlocks.apply(query, key, value, attention_mask, scale)
    return result.transpose(1, 2), None


class _CausalBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
        n, heads, length, width = query.shape
        q, k, v = (t.reshape(n * heads, length, width) for t in (query, key, value))
        bias = torch.full((length, length), -torch.inf).triu_(1) if mask is None else None
        output = torch.empty_like(q)
        probabilities = []
        for start in range(0, length, _BLOCK):
            end = min(start + _BLOCK, length)
            keys = k[:, :end].transpose(1, 2)
            if mask is None:
                assert bias is not None
                scores = torch.baddbmm(bias[start:end, :end], q[:, start:end], keys, alpha=scale)
            else:
                scores = torch.bmm(q[:, start:end], keys).mul_(scale)
                scores.view(n, heads, end - start, end).masked_fill_(~mask[:, :, start:end, :end], -torch.inf)
            probability = torch.softmax(scores, dim=-1)
            output[:, start:end] = torch.bmm(probability, v[:, :end])
            probabilities.append(probability)
        ctx.save_for_backward(q, k, v, output, *probabilities)
        ctx.scale = scale
        return output.view(n, heads, length, width)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, output, *probabilities = ctx.saved_tensors
        shape = gradients[0].shape
        g = gradients[0].reshape(output.shape)
        q_gradient, k_gradient, v_gradient = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        inner = (g * output).sum(-1, keepdim=True)
        for number, probability in enumerate(probabilities):
            end = probability.shape[2]
            rows = slice(number * _BLOCK, end)
            v_gradient[:, :end].baddbmm_(probability.transpose(1, 2), g[:, rows])
            scores = torch.bmm(g[:, rows], v[:, :end].transpose(1, 2)).sub_(inner[:, rows]).mul_(probability)
            q_gradient[:, rows] = torch.bmm(scores, k[:, :end]).mul_(ctx.scale)
            k_gradient[:, :end].baddbmm_(scores.transpose(1, 2), q[:, rows], alpha=ctx.scale)
        return q_gradient.view(shape), k_gradient.view(shape), v_gradient.view(shape), None, None
