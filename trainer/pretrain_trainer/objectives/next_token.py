"""The loss of next tokens, for objectives that predict text from left to right: how a decoder ends, and the sums.

Which tokens are predicted, and what each of them sees, is the objective's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain_trainer.objectives.interface import Sums
from pretrain_trainer.objectives.linear_cross_entropy import linear_cross_entropy


class NextTokenLoss:
    """Cross-entropy plus `z_loss` times the squared log partition function."""

    def __init__(self, z_loss: float = 0.0) -> None:
        self._z_loss = z_loss
        self._head: nn.Linear | None = None

    def prepare(self, model: nn.Module, run: Callable[[], Tensor], logits: Tensor) -> None:
        """Look at how the model ends: `run` gives its `logits` once more."""
        head = model.get_output_embeddings()  # type: ignore[operator]
        if isinstance(head, nn.Linear) and head.bias is None:
            with _passing_hidden_states(head):
                hidden = run()
            # Some models scale or cap their logits; theirs are left to them.
            if hidden.shape[-1] == head.in_features and torch.equal(F.linear(hidden, head.weight), logits):
                self._head = head

    def sums(self, run: Callable[[], Tensor], targets: Tensor, predicted: Tensor, scale: float) -> Sums:
        """Of the logits that `run` gives, [n, L, vocabulary], for `targets` int64 [n, L], of which those count that are
        `predicted`, bool [n, L]."""
        if self._head is not None:
            with _passing_hidden_states(self._head):
                hidden = run()
            weights = predicted.flatten().to(torch.promote_types(hidden.dtype, torch.float32)) * scale
            objective, losses = linear_cross_entropy(
                hidden.flatten(0, 1), self._head.weight, targets.flatten(), weights, self._z_loss
            )
            return Sums(objective, losses.view_as(targets).sum(dim=1))
        logits = run()
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets) * predicted
        objective = loss.sum()
        if self._z_loss:
            objective = objective + self._z_loss * (logits.logsumexp(dim=-1).square() * predicted).sum()
        return Sums(objective * scale, loss.detach().sum(dim=1))


@contextlib.contextmanager
def _passing_hidden_states(head: nn.Linear) -> Iterator[None]:
    """While this lasts, the model's logits are the hidden states that its output matrix would get.

    The matrix stays in its place, so that sharding gathers it with the model.
    """
    head.forward = lambda input: input  # type: ignore[method-assign]
    try:
        yield
    finally:
        del head.forward
