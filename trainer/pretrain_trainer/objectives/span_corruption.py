"""Spans are cut out of a text, and a decoder writes them (span corruption; T5, arXiv:1910.10683).

The encoder reads the text with a sentinel in the place of each span; the decoder writes sentinel and span in turn, and an
end of text. Spans are drawn anew for every position of the order, in the same number and with the same sum of lengths, so
that no sample needs padding. As in T5, documents of a packed sequence see each other, and a sequence ends with a span.
"""

from __future__ import annotations

import inspect

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain_api import spans
from pretrain_api.errors import UserError
from pretrain_api.types.model import SpanCorruption as SpanCorruptionSpec
from pretrain_trainer.data.samples import Int64s, Samples
from pretrain_trainer.objectives.draws import uniform
from pretrain_trainer.objectives.interface import Additive, Batch, Parts, Sums
from pretrain_trainer.objectives.proof import first_line, same, trying

_SIZES, _GAPS = range(2)


def build(spec: SpanCorruptionSpec, parts: Parts) -> SpanCorruption:
    tokenizer = parts.tokenizer()
    return SpanCorruption(
        tokenizer.sentinels,
        tokenizer.end_of_text,
        tokenizer.padding,
        parts.seed,
        spec.noise_density,
        spec.mean_span_length,
    )


class SpanCorruption(Additive):
    """Cross-entropy of the spans that were cut out, with their sentinels."""

    def __init__(
        self,
        sentinels: tuple[int, ...],
        end_of_text: int,
        start: int,
        seed: int,
        noise_density: float = 0.15,
        mean_span_length: float = 3.0,
    ) -> None:
        """`sentinels` are token ids, one for each span of a sequence at least; `start` is the token that the decoder
        begins with."""
        self._sentinels = np.asarray(sentinels, dtype=np.int32)
        self._end_of_text, self._start, self._seed = end_of_text, start, seed
        self._noise_density, self._mean_span_length = noise_density, mean_span_length

    def prepare(self, model: nn.Module) -> None:
        """See whether the model reads and writes as it has to."""
        if "decoder_input_ids" not in inspect.signature(model.forward).parameters:
            raise _not_for_spans("The model has no decoder that reads text.")
        if (found := getattr(model.config, "decoder_start_token_id", None)) != self._start:
            raise _not_for_spans(f"The model's decoder begins with {found}, not with token {self._start}.")
        device = next(model.parameters()).device
        inputs, written = (torch.arange(1, n, device=device).repeat(2, 1) for n in (17, 9))
        later = written.clone()
        later[:, 4:] += 1
        try:
            with trying(model):
                before, after = (self._logits(model, inputs, each) for each in (written, later))
                elsewhere = self._logits(model, inputs + 1, written)
        except (TypeError, ValueError, RuntimeError, LookupError, AttributeError) as error:
            raise _not_for_spans(f"The model does not run on two texts: {first_line(error)}") from error
        if not same(before[:, :4], after[:, :4]):
            raise _not_for_spans("The model's decoder sees the tokens that it has yet to write.")
        if torch.equal(before, elsewhere):
            raise _not_for_spans("What the model's decoder writes does not depend on what its encoder reads.")

    def batch(self, samples: Samples, positions: Int64s) -> Batch:
        """`inputs` int32 [n, `Cut.inputs`], `targets` int32 and `predicted` bool [n, `Cut.targets`]. Nothing is predicted of
        padding, nor after it. The last of the L + 1 tokens of a sample is the first of the next."""
        tokens, valid = samples.tokens[:, :-1], samples.valid[:, :-1]
        count, length = tokens.shape
        cut = spans.cut(length, self._noise_density, self._mean_span_length)
        assert cut.spans <= len(self._sentinels), "the Tokenizer stage has seen to it"
        sentinels = np.broadcast_to(self._sentinels[: cut.spans], (count, cut.spans))
        sizes = _segments(uniform(self._seed, _SIZES, positions, cut.noise - 1), cut.spans)
        gaps = _segments(uniform(self._seed, _GAPS, positions, length - cut.noise - 1), cut.spans)
        before = np.cumsum(sizes, axis=1) - sizes
        begins = np.cumsum(gaps, axis=1) + before

        is_noise = _is_within(begins, sizes, length)
        read = tokens.copy()
        np.put_along_axis(read, begins, sentinels, axis=1)
        is_read = ~is_noise
        np.put_along_axis(is_read, begins, True, axis=1)

        # Of each span its sentinel, at `at`, then its tokens, whose order in the text is that of the places left.
        at = before + np.arange(cut.spans)
        targets = np.empty((count, cut.targets), dtype=np.int32)
        predicted = np.empty((count, cut.targets), dtype=np.bool_)
        is_token = np.ones((count, cut.targets), dtype=np.bool_)
        is_token[:, -1] = False
        np.put_along_axis(is_token, at, False, axis=1)
        targets[is_token], predicted[is_token] = tokens[is_noise], valid[is_noise]
        np.put_along_axis(targets, at, sentinels, axis=1)
        np.put_along_axis(predicted, at, np.take_along_axis(valid, begins, axis=1), axis=1)
        targets[:, -1], predicted[:, -1] = self._end_of_text, valid[:, -1]
        return Batch(
            {
                "inputs": torch.from_numpy(read[is_read].reshape(count, cut.inputs)),
                "targets": torch.from_numpy(targets),
                "predicted": torch.from_numpy(predicted),
            }
        )

    def targets(self, batch: Batch) -> Tensor:
        return batch["predicted"].sum(dim=1)

    def sums(self, model: nn.Module, batch: Batch, scale: float) -> Sums:
        targets, predicted = batch["targets"].long(), batch["predicted"]
        logits = self._logits(model, batch["inputs"].long(), F.pad(targets[:, :-1], (1, 0), value=self._start))
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets) * predicted
        hits = (logits.detach().argmax(dim=-1) == targets) & predicted
        return Sums(losses.sum() * scale, losses.detach().sum(dim=1), hits.sum(dim=1))

    def _logits(self, model: nn.Module, inputs: Tensor, written: Tensor) -> Tensor:
        logits: Tensor = model(input_ids=inputs, decoder_input_ids=written, use_cache=False).logits
        return logits


def _segments(drawn: npt.NDArray[np.float64], count: int) -> Int64s:
    """Lengths of `count` segments, each 1 or more, that make up as many items as there are borders between them, `drawn`
    [n, items - 1], and one more; int64 [n, count], every division as probable as any other."""
    borders = np.sort(np.argsort(drawn, axis=1, kind="stable")[:, : count - 1], axis=1) + 1
    return np.diff(borders, axis=1, prepend=0, append=drawn.shape[1] + 1)


def _is_within(begins: Int64s, sizes: Int64s, length: int) -> npt.NDArray[np.bool_]:
    """bool [n, length]: what lies in a span. Spans do not touch each other."""
    steps = np.zeros((len(begins), length + 1), dtype=np.int8)
    np.put_along_axis(steps, begins, 1, axis=1)
    np.put_along_axis(steps, begins + sizes, -1, axis=1)
    within: npt.NDArray[np.bool_] = np.cumsum(steps[:, :-1], axis=1, dtype=np.int8) > 0
    return within


def _not_for_spans(what: str) -> UserError:
    return UserError(
        "model-not-for-objective",
        "spec.model",
        what,
        "Write an encoder-decoder's preset or type, for example t5-small.",
    )
