"""The loss of a model on a whole split, source by source, packed and masked like in training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from pretrain_trainer.training.precision import autocast

if TYPE_CHECKING:
    from torch import nn

    from pretrain_trainer.data.batches import Reader
    from pretrain_trainer.objectives import Objective

_LOGITS_BYTES = 256 << 20
"""Most memory for the fp32 logits of a batch, the largest tensor of an evaluation."""


@dataclass(frozen=True)
class SourceLoss:
    """The summed loss in nats over the `predicted` tokens of a source."""

    nats: float
    predicted: int
    hits: int | None = None
    """Of the predicted tokens, those that the model held most probable, where the objective is judged by that."""

    @property
    def mean(self) -> float:
        """Nats per predicted token."""
        return self.nats / max(self.predicted, 1)

    @property
    def accuracy(self) -> float:
        """Share of the predicted tokens that the model held most probable."""
        return (self.hits or 0) / max(self.predicted, 1)

    def bits_per_byte(self, tokens: int, text_bytes: int) -> float:
        """Bits that a coder with this model spends per UTF-8 byte of the text, which has `tokens` tokens in all.

        Tokens that are not predicted (the first of each document and of each sequence) are charged the mean, and so
        is each document's end-of-text token, which stands for no byte.
        """
        return self.mean * tokens / math.log(2) / text_bytes


def batch_size(sequence_length: int, vocab_size: int) -> int:
    """Sequences of a batch."""
    return max(1, _LOGITS_BYTES // (4 * sequence_length * vocab_size))


def source_loss(
    model: nn.Module,
    objective: Objective[Any],
    reader: Reader[Any],
    source: int,
    samples: int,
    batch: int,
    device: torch.device,
    precision: Literal["bf16", "fp32"],
    after_batch: Callable[[int], None],
) -> SourceLoss:
    """The loss over samples 0 ... samples - 1 of a source. `after_batch` is told how many of them are done.

    Batches are added up in float64 in the order of the samples: the result does not depend on their number.
    """
    nats, predicted, hits = 0.0, 0, None
    with torch.no_grad(), autocast(precision, device):
        for start in range(0, samples, batch):
            index = np.arange(start, min(start + batch, samples), dtype=np.int64)
            read = reader.read(np.full(len(index), source, dtype=np.int64), index)
            sequences = objective.batch(read, index).to(device)
            sums = objective.sums(model, sequences, 1.0)
            nats += float(sums.loss.double().sum())
            if sums.hits is not None:
                hits = (hits or 0) + int(sums.hits.sum())
            predicted += int(objective.targets(sequences).sum())
            after_batch(int(index[-1]) + 1)
    return SourceLoss(nats, predicted, hits)
