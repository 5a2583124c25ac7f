"""Next-token prediction on packed sequences (causal language modelling).

With the document mask, each document of a packed sequence is learnt as if it stood alone: positions start at 0,
attention stays inside, and the first token of the next document is not predicted from the one before. Masks are
derived from the positions by transformers, for every attention implementation it has.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain_api.types.model import CausalLM
from pretrain_trainer.data.samples import Int64s, Samples
from pretrain_trainer.objectives.interface import Additive, Batch, Parts, Sums
from pretrain_trainer.objectives.next_token import NextTokenLoss
from pretrain_trainer.objectives.proof import documents_are_seen, same, trying


def build(spec: CausalLM, parts: Parts) -> CausalLanguageModel:
    return CausalLanguageModel(spec.document_mask, spec.z_loss)


class CausalLanguageModel(Additive):
    """Cross-entropy of the next token; `z_loss` weighs the squared log partition function (PaLM, arXiv:2204.02311)."""

    def __init__(self, document_mask: Literal["attention", "none"] = "attention", z_loss: float = 0.0) -> None:
        self._document_mask, self._loss = document_mask, NextTokenLoss(z_loss)

    def prepare(self, model: nn.Module) -> None:
        """Look at how the model ends, and whether its documents stay apart."""
        device = next(model.parameters()).device
        tokens = torch.arange(1, 17, device=device).repeat(2, 1)
        tokens[1, :8] += 1
        positions = torch.arange(8, device=device).repeat(2, 2)
        with trying(model):
            logits = self._logits(model, tokens, positions)
            self._loss.prepare(model, lambda: self._logits(model, tokens, positions), logits)
        if self._document_mask == "attention" and not same(logits[0, 8:], logits[1, 8:]):
            raise documents_are_seen("causalLM")

    def batch(self, samples: Samples, positions: Int64s) -> Batch:
        """`tokens` int32 [n, L + 1]; `documents` int32 [n, L + 1], equal for tokens of one document and different for
        neighbouring documents; `valid` bool [n, L + 1], false for padding."""
        return Batch(
            {
                "tokens": torch.from_numpy(samples.tokens),
                "documents": torch.from_numpy(samples.document_ids),
                "valid": torch.from_numpy(samples.valid),
            }
        )

    def targets(self, batch: Batch) -> Tensor:
        return self._predicted(batch).sum(dim=1)

    def sums(self, model: nn.Module, batch: Batch, scale: float) -> Sums:
        predicted = self._predicted(batch)
        tokens = batch["tokens"].long()
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        positions = document_positions(batch["documents"][:, :-1]) if self._document_mask == "attention" else None
        return self._loss.sums(lambda: self._logits(model, inputs, positions), targets, predicted, scale)

    def _logits(self, model: nn.Module, tokens: Tensor, positions: Tensor | None) -> Tensor:
        logits: Tensor = model(input_ids=tokens, position_ids=positions, use_cache=False).logits
        return logits

    def _predicted(self, batch: Batch) -> Tensor:
        """bool [n, L]: which targets count."""
        predicted, documents = batch["valid"][:, 1:], batch["documents"]
        if self._document_mask == "attention":
            predicted = predicted & (documents[:, 1:] == documents[:, :-1])
        return predicted


def document_positions(documents: Tensor) -> Tensor:
    """int64 [n, L]: place of each token in its document, from the documents' ids [n, L]."""
    place = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    first = F.pad(documents[:, 1:] != documents[:, :-1], (1, 0), value=True)
    return place - torch.where(first, place, 0).cummax(dim=1).values
