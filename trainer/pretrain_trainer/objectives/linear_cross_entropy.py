"""Output matrix and cross-entropy in one go, chunk by chunk: the whole matrix of logits never exists.

The forward pass computes the gradients too, while a chunk of logits is in the caches; each logit is exponentiated
once. Same sums as `cross_entropy(linear(hidden, weight))`, in less memory traffic (cf. Wijmans et al. 2024,
arXiv:2411.09009).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_CHUNK_ELEMENTS = {"cpu": 1 << 20, "cuda": 1 << 28}
"""Logits in a chunk: the caches' size on a CPU; large on a GPU, where each chunk costs launches."""
_LEAST_ROWS = 256


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, z_loss: float
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of softmax(hidden @ weight.T) against targets.

    `hidden` [rows, width] in any floating type (under autocast the products are in autocast's), `weight` [vocabulary, width], `targets` int64 [rows], `weights` float32
    or float64 [rows]: what each row counts. Returns the weighted sum over rows of the cross-entropy plus `z_loss` times the
    squared log partition function, [], differentiable; and the cross-entropy of each row whose weight is not 0 (else 0),
    [rows], not differentiable. Both are float32, or float64 where the inputs are.
    """
    kind = hidden.device.type
    if torch.is_autocast_enabled(kind):
        # As autocast does before any matrix product: some models end in float32 all the same. It cannot do so itself,
        # since the products below have given outputs.
        hidden = hidden.to(torch.get_autocast_dtype(kind))
    with torch.autocast(kind, enabled=False):
        objective, losses = _LinearCrossEntropy.apply(hidden, weight, targets, weights, z_loss)
    return objective, losses


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, z_loss: float
    ) -> tuple[Tensor, Tensor]:
        rows, vocabulary = hidden.shape[0], weight.shape[0]
        chunk = max(_LEAST_ROWS, _CHUNK_ELEMENTS.get(hidden.device.type, 1 << 24) // vocabulary)
        learns = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        matrix = weight.to(hidden.dtype)
        hidden_gradient = torch.empty_like(hidden) if learns else None
        weight_gradient = torch.zeros_like(weight) if learns else None
        exact = torch.promote_types(hidden.dtype, torch.float32)
        losses = torch.empty(rows, dtype=exact, device=hidden.device)
        objective = torch.zeros((), dtype=exact, device=hidden.device)
        buffer = hidden.new_empty(min(chunk, rows), vocabulary)
        for start in range(0, rows, chunk):
            here = slice(start, min(start + chunk, rows))
            inputs, target, scale = hidden[here], targets[here, None], weights[here, None].to(exact)
            logits = torch.mm(inputs, matrix.t(), out=buffer[: inputs.shape[0]]).to(exact)
            picked = logits.gather(1, target)
            greatest = logits.amax(1, keepdim=True)
            exponentials = logits.sub_(greatest).exp_()
            partition = exponentials.sum(1, keepdim=True)
            log_partition = partition.log() + greatest
            loss = log_partition - picked
            losses[here] = torch.where(scale != 0, loss, 0)[:, 0]
            objective += (scale * (loss + z_loss * log_partition.square())).sum()
            if hidden_gradient is None or weight_gradient is None:
                continue
            # d/dlogits = softmax * (1 + 2 z log Z) - onehot
            exponentials.mul_(scale * (1 + 2 * z_loss * log_partition) / partition)
            gradient = exponentials.scatter_add_(1, target, -scale).to(hidden.dtype)
            torch.mm(gradient, matrix, out=hidden_gradient[here])
            if weight_gradient.dtype == hidden.dtype:
                weight_gradient.addmm_(gradient.t(), inputs)
            else:
                weight_gradient += gradient.t() @ inputs
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        ctx.mark_non_differentiable(losses)
        return objective, losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight = ctx.saved_tensors
        return hidden * gradients[0], weight.mul_(gradients[0]), None, None, None
