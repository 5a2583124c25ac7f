"""Prediction of masked tokens from both sides (masked language modelling; BERT, arXiv:1810.04805).

Masks are dynamic (RoBERTa, arXiv:1907.11692): drawn anew for every position of the order, so that a sample that comes
again has other masks, and the same ones at any world size and after any restart. With the document mask, a token attends
only to its own document, whose positions start at 0.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain_api.errors import UserError
from pretrain_api.types.model import MaskedLM
from pretrain_trainer.data.samples import Int64s, Samples
from pretrain_trainer.objectives.causal_lm import document_positions
from pretrain_trainer.objectives.draws import uniform
from pretrain_trainer.objectives.interface import Additive, Batch, Parts, Sums
from pretrain_trainer.objectives.proof import documents_are_seen, first_line, same, trying
from pretrain_trainer.tokenizer import word_starts

MASKED_SHARE, RANDOM_SHARE = 0.8, 0.1
"""Of the tokens to predict: those that the mask token stands for, and those that any other token does. The rest is kept."""
_CHOICE, _FATE, _SUBSTITUTE = range(3)


def build(spec: MaskedLM, parts: Parts) -> MaskedLanguageModel:
    tokenizer = parts.tokenizer()
    assert tokenizer.mask is not None, "it was looked for"
    return MaskedLanguageModel(
        tokenizer.mask,
        frozenset({tokenizer.end_of_text, tokenizer.padding}),
        tokenizer.vocab_size,
        parts.seed,
        spec.mask_probability,
        word_starts(tokenizer) if spec.masking == "wholeWord" else None,
        spec.document_mask,
    )


class MaskedLanguageModel(Additive):
    """Cross-entropy of the tokens that were chosen to be predicted."""

    def __init__(
        self,
        mask: int,
        controls: frozenset[int],
        vocab_size: int,
        seed: int,
        probability: float = 0.15,
        word_starts: npt.NDArray[np.bool_] | None = None,
        document_mask: Literal["attention", "none"] = "attention",
    ) -> None:
        """`mask` is the mask token's id; `controls` are tokens that are never chosen (end of text, padding). With
        `word_starts`, bool [vocab_size], whether a token begins a word, whole words are chosen."""
        self._mask, self._vocab_size, self._seed, self._probability = mask, vocab_size, seed, probability
        self._word_starts, self._document_mask = word_starts, document_mask
        self._controls = np.isin(np.arange(vocab_size), list(controls | {mask}))
        self._substitutes = np.flatnonzero(~self._controls)
        self._head: nn.Linear | None = None

    def prepare(self, model: nn.Module) -> None:
        """Look at how the model ends, whether it sees both sides, and whether its documents stay apart."""
        device = next(model.parameters()).device
        tokens = torch.arange(1, 17, device=device, dtype=torch.int32).repeat(2, 1) % self._vocab_size
        before, behind = tokens.clone(), tokens.clone()
        before[:, :8] = (tokens[:, :8] + 1) % self._vocab_size
        behind[:, 15] = (tokens[:, 15] + 1) % self._vocab_size
        documents = torch.arange(16, device=device, dtype=torch.int32).repeat(2, 1) // 8
        try:
            with trying(model):
                logits, other_before, other_behind = (
                    self._logits(model, each, documents) for each in (tokens, before, behind)
                )
                alone = model(input_ids=tokens[:, :8].long()).logits
                self._look_at_head(model, tokens, documents, logits)
        except (ValueError, TypeError, RuntimeError, LookupError, AttributeError) as error:
            # Models that count positions from the padding on, or make something of a two-dimensional mask, stumble here.
            raise _not_for_masks(f"The model does not run on packed documents: {first_line(error)}") from error
        if same(logits[:, 8:15], other_behind[:, 8:15]):
            raise _not_for_masks("The model does not see what stands behind a token.")
        if self._document_mask == "attention" and not same(logits[:, 8:], other_before[:, 8:]):
            raise documents_are_seen("maskedLM")
        if self._document_mask == "attention" and not same(logits[:, :8], alone):
            raise _not_for_masks("The model counts positions in a way of its own, which packed documents do not keep.")

    def _look_at_head(self, model: nn.Module, tokens: Tensor, documents: Tensor, logits: Tensor) -> None:
        head = model.get_output_embeddings()  # type: ignore[operator]
        if not isinstance(head, nn.Linear):
            return
        rows = torch.arange(tokens.numel(), device=tokens.device) % 3 == 0
        with _only(head, rows):
            some = self._logits(model, tokens, documents)
        # Some models do something to their logits afterwards; theirs are left whole.
        if some.shape == (int(rows.sum()), logits.shape[-1]) and same(some, logits.flatten(0, 1)[rows]):
            self._head = head

    def batch(self, samples: Samples, positions: Int64s) -> Batch:
        """`inputs` and `targets` int32 [n, L], the tokens with and without masks; `predicted` bool [n, L], which were
        chosen; `documents` int32 [n, L]. The last of the L + 1 tokens of a sample is the first of the next."""
        tokens, valid = samples.tokens[:, :-1], samples.valid[:, :-1]
        length = tokens.shape[1]
        choice = uniform(self._seed, _CHOICE, positions, length)
        if self._word_starts is not None:
            choice = np.take_along_axis(choice, _first_of_word(self._word_starts[tokens]), axis=1)
        predicted = (choice < self._probability) & valid & ~self._controls[tokens]
        fate = uniform(self._seed, _FATE, positions, length)
        drawn = uniform(self._seed, _SUBSTITUTE, positions, length)
        substitutes = self._substitutes[(drawn * len(self._substitutes)).astype(np.int64)]
        inputs = np.where(predicted & (fate < MASKED_SHARE), self._mask, tokens)
        is_random = predicted & (fate >= MASKED_SHARE) & (fate < MASKED_SHARE + RANDOM_SHARE)
        inputs = np.where(is_random, substitutes, inputs).astype(np.int32)
        return Batch(
            {
                "inputs": torch.from_numpy(inputs),
                "targets": torch.from_numpy(np.ascontiguousarray(tokens)),
                "predicted": torch.from_numpy(predicted),
                "documents": torch.from_numpy(np.ascontiguousarray(samples.document_ids[:, :-1])),
            }
        )

    def targets(self, batch: Batch) -> Tensor:
        return batch["predicted"].sum(dim=1)

    def sums(self, model: nn.Module, batch: Batch, scale: float) -> Sums:
        predicted = batch["predicted"].flatten()
        # Only those that are predicted go through the output matrix: the vocabulary is the widest of the model.
        with _only(self._head, predicted) if self._head is not None else contextlib.nullcontext():
            logits = self._logits(model, batch["inputs"], batch["documents"])
        if self._head is None:
            logits = logits.flatten(0, 1)[predicted]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        targets = batch["targets"].flatten()[predicted].long()
        losses = F.cross_entropy(logits, targets, reduction="none")
        row = torch.arange(len(batch), device=targets.device).repeat_interleave(self.targets(batch))
        by_sample = torch.zeros(len(batch), dtype=losses.dtype, device=losses.device)
        hits = torch.zeros(len(batch), dtype=torch.int64, device=losses.device)
        return Sums(
            losses.sum() * scale,
            by_sample.index_add(0, row, losses.detach()),
            hits.index_add(0, row, (logits.detach().argmax(dim=-1) == targets).long()),
        )

    def _logits(self, model: nn.Module, tokens: Tensor, documents: Tensor) -> Tensor:
        settings: dict[str, Any] = {}
        if self._document_mask == "attention":
            settings["attention_mask"] = (documents[:, :, None] == documents[:, None, :])[:, None]
            if "position_ids" in inspect.signature(model.forward).parameters:
                settings["position_ids"] = document_positions(documents)
        logits: Tensor = model(input_ids=tokens.long(), **settings).logits
        return logits


def _not_for_masks(what: str) -> UserError:
    return UserError(
        "model-not-for-objective",
        "spec.model",
        what,
        "Write an encoder's preset or type, for example bert or modernbert.",
    )


def _first_of_word(starts: npt.NDArray[np.bool_]) -> Int64s:
    """int64 [n, L]: place of the first token of each token's word."""
    place = np.where(starts, np.arange(starts.shape[1], dtype=np.int64), 0)
    return np.maximum.accumulate(place, axis=1)


@contextlib.contextmanager
def _only(head: nn.Linear, rows: Tensor) -> Iterator[None]:
    """While this lasts, the model's logits are those of some tokens alone, [chosen, vocabulary].

    The matrix stays in its place, so that sharding gathers it with the model.
    """
    head.forward = lambda input: F.linear(input.flatten(0, -2)[rows], head.weight, head.bias)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del head.forward
