"""Next-token prediction on packed sequences (causal language modelling).

With the document mask, each document of a packed sequence is learnt as if it stood alone: positions start at 0,
attention stays inside, and the first token of the next document is not predicted from the one before. Masks are
derived from the positions by transformers, for every attention implementation it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain_api.errors import UserError
from pretrain_trainer.objectives.interface import Batch, Sums


@dataclass(frozen=True)
class CausalLanguageModel:
    """Cross-entropy of the next token; `z_loss` weighs the squared log partition function (PaLM, arXiv:2204.02311)."""

    document_mask: Literal["attention", "none"] = "attention"
    z_loss: float = 0.0

    def targets(self, batch: Batch) -> Tensor:
        return self._predicted(batch).sum(dim=1)

    def sums(self, model: nn.Module, batch: Batch, scale: Tensor | float) -> Sums:
        predicted = self._predicted(batch)
        targets = batch.tokens[:, 1:].masked_fill(~predicted, -100)
        positions = document_positions(batch.documents[:, :-1]) if self.document_mask == "attention" else None
        logits = model(input_ids=batch.tokens[:, :-1], position_ids=positions, use_cache=False).logits
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="none")
        loss = loss.view_as(targets)
        objective = loss.sum()
        if self.z_loss:
            log_partition = logits.float().logsumexp(dim=-1)
            objective = objective + self.z_loss * (log_partition.square() * predicted).sum()
        return Sums(objective * scale, loss.detach().sum(dim=1))

    def check(self, model: nn.Module) -> None:
        """Change the first document of a packed sequence and see whether the second one notices."""
        if self.document_mask == "none":
            return
        device = next(model.parameters()).device
        tokens = torch.arange(1, 17, device=device).repeat(2, 1)
        tokens[1, :8] += 1
        positions = torch.arange(8, device=device).repeat(2, 2)
        training = model.training
        model.eval()
        with torch.no_grad():
            logits = model(input_ids=tokens, position_ids=positions, use_cache=False).logits
        model.train(training)
        if not torch.allclose(logits[0, 8:], logits[1, 8:], rtol=1e-4, atol=1e-5):
            raise UserError(
                "document-mask-unsupported",
                "spec.objective.causalLM.documentMask",
                "The tokens of this model see the documents before theirs whatever the attention mask says.",
                "Write documentMask: none.",
            )

    def _predicted(self, batch: Batch) -> Tensor:
        """bool [n, L]: which targets count."""
        predicted = batch.valid[:, 1:]
        if self.document_mask == "attention":
            predicted = predicted & (batch.documents[:, 1:] == batch.documents[:, :-1])
        return predicted


def document_positions(documents: Tensor) -> Tensor:
    """int64 [n, L]: place of each token in its document, from the documents' ids [n, L]."""
    place = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    first = F.pad(documents[:, 1:] != documents[:, :-1], (1, 0), value=True)
    return place - torch.where(first, place, 0).cummax(dim=1).values
