"""What the training loop knows of an objective: the batch it gets and the sums it returns. No model and no data here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """Packed sequences of one micro-batch, on the model's device.

    `tokens` int32 [n, L + 1]; `documents` int32 [n, L + 1], equal for tokens of one document and different for
    neighbouring documents; `valid` bool [n, L + 1], false for padding.
    """

    tokens: Tensor
    documents: Tensor
    valid: Tensor

    def __len__(self) -> int:
        return self.tokens.shape[0]

    def rows(self, start: int, stop: int) -> Batch:
        return Batch(self.tokens[start:stop], self.documents[start:stop], self.valid[start:stop])

    def to(self, device: torch.device) -> Batch:
        if device.type == "cpu":
            return self
        return Batch(*(t.pin_memory().to(device, non_blocking=True) for t in (self.tokens, self.documents, self.valid)))

    def masked(self, rows: int) -> Batch:
        """A batch of the same width that predicts nothing, to keep a rank in step with the others."""
        return Batch(
            self.tokens.new_zeros(rows, self.tokens.shape[1]),
            self.documents.new_zeros(rows, self.documents.shape[1]),
            self.valid.new_zeros(rows, self.valid.shape[1]),
        )


@dataclass(frozen=True)
class Sums:
    """Sums over a micro-batch.

    `objective` [] is what is minimised, times the scale that was asked for, with its graph; `loss` float32 [n] is the
    plain loss of each sample (without regularising terms) summed over its targets, without a graph.
    """

    objective: Tensor
    loss: Tensor


class Objective(Protocol):
    """One way to learn from packed sequences."""

    def prepare(self, model: nn.Module) -> None:
        """Get ready to train this model, before it is divided over ranks.

        Raises UserError when the model cannot learn this objective. Not needed where only losses are measured.
        """

    def targets(self, batch: Batch) -> Tensor:
        """int64 [n]: predictions that count in each sample. Known before the forward pass."""

    def sums(self, model: nn.Module, batch: Batch, scale: float) -> Sums:
        """Run the model. The gradient of `objective` is that of the sum over targets, times `scale`."""
