"""Prediction of what follows a prefix that is read in both directions (prefix language modelling; T5, arXiv:1910.10683,
section 3.2.1; UniLM, arXiv:1905.03197).

Each document of a packed sequence begins with a prefix of random length, whose tokens see each other; behind it, a
token sees what came before, and is predicted from it. Lengths are drawn anew for every position of the order, so that a
sample that comes again has other prefixes, and the same ones at any world size and after any restart. With the document
mask, documents stay apart as in `pretrain_trainer.objectives.causal_lm`; without it, the whole sequence is one document.

The attention mask is made here, since transformers has none of this kind. It takes the place of the model's own, and so
of a window that slides over the sequence: `pretrain_trainer.models` refuses sequences that such a window does not hold.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pretrain_api.errors import UserError
from pretrain_api.types.model import PrefixLM
from pretrain_trainer.data.samples import Int64s, Samples
from pretrain_trainer.objectives.causal_lm import document_positions
from pretrain_trainer.objectives.draws import uniform
from pretrain_trainer.objectives.interface import Additive, Batch, Parts, Sums
from pretrain_trainer.objectives.next_token import NextTokenLoss
from pretrain_trainer.objectives.proof import documents_are_seen, first_line, same, trying

_LENGTH = 0
"""The only thing that is drawn."""
_PROBE_DOCUMENT, _PROBE_PREFIX = 8, 4
"""Tokens of a document and of its prefix, in the proof that a model follows the mask."""


def build(spec: PrefixLM, parts: Parts) -> PrefixLanguageModel:
    return PrefixLanguageModel(parts.seed, spec.document_mask)


class PrefixLanguageModel(Additive):
    """Cross-entropy of the tokens behind the prefixes."""

    def __init__(self, seed: int, document_mask: Literal["attention", "none"] = "attention") -> None:
        self._seed, self._document_mask, self._loss = seed, document_mask, NextTokenLoss()

    def prepare(self, model: nn.Module) -> None:
        """Prove that the model follows the mask, and look at how it ends."""
        device = next(model.parameters()).device
        place = torch.arange(2 * _PROBE_DOCUMENT, device=device)
        documents = (place // _PROBE_DOCUMENT).repeat(4, 1)
        prefix = (place % _PROBE_DOCUMENT < _PROBE_PREFIX).repeat(4, 1)
        tokens = (place + 1).repeat(4, 1)
        first_behind = _PROBE_DOCUMENT + _PROBE_PREFIX
        tokens[1, first_behind - 1] += 1  # the last token of the second document's prefix
        tokens[2, -1] += 1  # the future of all others
        tokens[3, :_PROBE_DOCUMENT] += 1  # the first document
        try:
            with trying(model):
                logits = self._logits(model, tokens, documents, prefix)
                self._loss.prepare(model, lambda: self._logits(model, tokens, documents, prefix), logits)
        except (ValueError, TypeError, RuntimeError, LookupError, AttributeError) as error:
            # Models that make something of a two-dimensional mask, say, stumble over this one.
            raise _unsupported(f"This model does not take the mask of a prefix: {first_line(error)}") from error
        usual, other_prefix, other_future, other_document = logits
        second = slice(_PROBE_DOCUMENT, None)
        if same(usual[_PROBE_DOCUMENT : first_behind - 1], other_prefix[_PROBE_DOCUMENT : first_behind - 1]):
            raise _unsupported("The tokens of a prefix do not see what follows them in it, whatever the mask says.")
        if not same(usual[:-1], other_future[:-1]) or not same(usual[:_PROBE_DOCUMENT], other_prefix[:_PROBE_DOCUMENT]):
            raise _unsupported("The tokens of this model see those that follow, whatever the mask says.")
        if self._document_mask == "attention" and not same(usual[second], other_document[second]):
            raise documents_are_seen("prefixLM")

    def batch(self, samples: Samples, positions: Int64s) -> Batch:
        """`tokens` int32, `documents` int32 (other ones for other documents, padding included), `prefix` bool (which
        tokens belong to a prefix) and `valid` bool (false for padding), all [n, L + 1].

        Of the n tokens that a document has in the sequence, 0 to n - 1 are its prefix, each number as likely as the
        others, so that the model meets prompts of every length. The most is n - 1, so that no document is without a
        token to predict (but for one of a single token, which has nothing before it). The least is 0, so that the model
        learns to write without a prompt as well: its mask is then that of a causal language model.
        """
        begins: npt.NDArray[np.bool_] = np.zeros_like(samples.valid)
        begins[:, 1:] = samples.valid[:, 1:] != samples.valid[:, :-1]
        if self._document_mask == "attention":
            begins[:, 1:] |= samples.document_ids[:, 1:] != samples.document_ids[:, :-1]
        first, end = _runs(begins)
        width = samples.tokens.shape[1]
        drawn = np.take_along_axis(uniform(self._seed, _LENGTH, positions, width), first, axis=1)
        lengths = (drawn * (end - first)).astype(np.int64)
        prefix = (np.arange(width) - first < lengths) & samples.valid
        return Batch(
            {
                "tokens": torch.from_numpy(samples.tokens),
                "documents": torch.from_numpy(np.cumsum(begins, axis=1, dtype=np.int32)),
                "prefix": torch.from_numpy(prefix),
                "valid": torch.from_numpy(samples.valid),
            }
        )

    def targets(self, batch: Batch) -> Tensor:
        return _predicted(batch).sum(dim=1)

    def sums(self, model: nn.Module, batch: Batch, scale: float) -> Sums:
        tokens = batch["tokens"].long()
        inputs, documents, prefix = tokens[:, :-1], batch["documents"][:, :-1], batch["prefix"][:, :-1]
        return self._loss.sums(
            lambda: self._logits(model, inputs, documents, prefix), tokens[:, 1:], _predicted(batch), scale
        )

    def _logits(self, model: nn.Module, tokens: Tensor, documents: Tensor, prefix: Tensor) -> Tensor:
        logits: Tensor = model(
            input_ids=tokens,
            attention_mask=for_model(model, prefix_mask(documents, prefix)),
            position_ids=document_positions(documents),
            use_cache=False,
        ).logits
        return logits


class EmptyPrefixLanguageModel(PrefixLanguageModel):
    """The same where all prefixes are empty, so that the whole text is predicted from left to right; to measure by.

    A causal language model in all but its mask, which the model was proven to follow.
    """

    def batch(self, samples: Samples, positions: Int64s) -> Batch:
        drawn = super().batch(samples, positions)
        return Batch({**drawn.tensors, "prefix": torch.zeros_like(drawn["prefix"])})


def prefix_mask(documents: Tensor, prefix: Tensor) -> Tensor:
    """bool [n, 1, L, L]: which token (third dimension) sees which (fourth), from the documents' ids [n, L], different
    ones for all documents of a sequence, and from `prefix`, bool [n, L]."""
    same = documents[:, :, None] == documents[:, None, :]
    before = torch.ones(same.shape[1:], dtype=torch.bool, device=same.device).tril()
    return (same & (before | (prefix[:, :, None] & prefix[:, None, :])))[:, None]


def for_model(model: Any, mask: Tensor) -> Tensor:
    """A mask as the model's attention takes it: as it is, or as numbers that are added to the scores."""
    if model.config._attn_implementation == "sdpa":
        return mask
    return torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, torch.finfo(torch.float32).min)


def _predicted(batch: Batch) -> Tensor:
    """bool [n, L]: which targets count, of tokens 1 to L: those that a token of their own document stands before."""
    documents = batch["documents"]
    return batch["valid"][:, 1:] & ~batch["prefix"][:, 1:] & (documents[:, 1:] == documents[:, :-1])


def _runs(begins: npt.NDArray[np.bool_]) -> tuple[Int64s, Int64s]:
    """int64 [n, width] each: for every token, where its document begins and where it ends, in its sequence. `begins`:
    whether a token is the first of a document; each sequence's first is one anyway."""
    width = begins.shape[1]
    place = np.arange(width, dtype=np.int64)
    first = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    ends = np.full(begins.shape, width, dtype=np.int64)
    ends[:, :-1] = np.where(begins[:, 1:], place[1:], width)
    return first, np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]


def _unsupported(what: str) -> UserError:
    return UserError(
        "prefix-mask-unsupported",
        "spec.objective.prefixLM",
        what,
        "Write another model type, for example llama, qwen3, gpt2 or mistral, or write objective: {causalLM: {}}.",
    )
