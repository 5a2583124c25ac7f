"""Contrastive language-image pre-training (arXiv:2103.00020): which caption of the global batch belongs to an image, and which
image to a caption.

Two encoders, each with a projection; the loss is the mean of the cross-entropies of both questions, over cosines that a
learnt temperature divides. A caption ends with the end of text, whose state is its feature; whatever follows is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretrain_api.types.model import Clip as ClipSpec
from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.data.samples import Int64s
from pretrain_trainer.objectives.contrastive import Contrast, Contrastive
from pretrain_trainer.objectives.image_objective import Picture
from pretrain_trainer.objectives.interface import Batch, Moment, Parts
from pretrain_trainer.objectives.pixels import normalised, random_parts
from pretrain_trainer.tokenizer import LoadedTokenizer

if TYPE_CHECKING:
    from pretrain_trainer.context import StageContext
    from pretrain_trainer.data.opened import Places
    from pretrain_trainer.evaluation.trained import TrainedModel

_CROP = 0
"""Purpose of random numbers."""
_LEAST_TEMPERATURE = 0.01
"""Section 2.5 of the paper: cosines are never multiplied by more than 100."""


def build(spec: ClipSpec, parts: Parts) -> ContrastivePretraining:
    return ContrastivePretraining(spec, parts.tokenizer(), parts.length, parts.seed)


class ContrastivePretraining(Contrastive):
    """Of images of `spec.image_size` and captions of at most `length` tokens."""

    def __init__(self, spec: ClipSpec, tokenizer: LoadedTokenizer, length: int, seed: int) -> None:
        self._spec, self._tokenizer, self._length, self._seed = spec, tokenizer, length, seed

    def wrapped(self, model: Any) -> nn.Module:
        module: nn.Module = model
        return module

    def exported(self, module: nn.Module) -> Any:
        return module

    def prepare(self, module: nn.Module) -> None:
        """Every model of two encoders that `model.config` takes can learn this."""

    def batch(self, samples: ImageSamples, positions: Int64s) -> Batch:
        """`pixels` uint8 [n, 3, size, size]; `tokens` int64 [n, longest caption]; `valid` bool [n], false for stand-ins."""
        spec = self._spec
        pixels, valid = random_parts(
            samples, positions, self._seed, _CROP, spec.image_size, spec.min_crop_area, flip=0.0
        )
        return Batch({"pixels": pixels, "tokens": self.tokens(samples.captions, valid.tolist()), "valid": valid})

    def tokens(self, captions: Sequence[str], there: Sequence[bool] | None = None) -> Tensor:
        """int64 [n, longest]: captions, the end of text and padding. `there`: which captions there are; without any it is as
        wide as captions can be."""
        found = [self._tokenizer.tokenizer.encode(caption, add_special_tokens=False).ids for caption in captions]
        ids = [[*each[: self._length - 1], self._tokenizer.end_of_text] for each in found]
        counted = [len(each) for each, is_there in zip(ids, there or [True] * len(ids), strict=True) if is_there]
        tokens = torch.full((len(ids), max(counted, default=self._length)), self._tokenizer.padding, dtype=torch.int64)
        for row, each in enumerate(ids):
            width = min(len(each), tokens.shape[1])
            tokens[row, :width] = torch.tensor(each[:width])
        return tokens

    def features(self, module: Any, batch: Batch) -> Tensor:
        """float [n, 2 width]: of the image and of the caption, each of length 1."""
        images = image_features(module, batch["pixels"])
        return torch.cat([images, text_features(module, batch["tokens"])], dim=1)

    def losses(self, module: Any, contrast: Contrast) -> Tensor:
        images, captions = contrast.features.chunk(2, dim=1)
        scale = module.logit_scale.exp()
        found = []
        for asking, answers in ((images, captions), (captions, images)):
            logits = scale * asking[contrast.own] @ answers.T
            logits = logits.masked_fill(~contrast.counts, -torch.inf)
            found.append(F.cross_entropy(logits, contrast.own, reduction="none"))
        return (found[0] + found[1]) / 2

    def after_update(self, module: Any, moment: Moment) -> None:
        with torch.no_grad():
            module.logit_scale.clamp_(max=-math.log(_LEAST_TEMPERATURE))

    def embed(self, model: Any, pixels: Tensor) -> Tensor:
        """The encoder's features before their projection, as the paper probes them (section 3.2)."""
        found: Tensor = model.vision_model(pixel_values=normalised(pixels)).pooler_output
        return found

    def figures(self, context: StageContext, places: Places, source: int, model: TrainedModel) -> Mapping[str, Any]:
        """Retrieval among the held-out pairs; classification by the words of labels, where the job names labels."""
        from pretrain_trainer.evaluation import pairs  # which builds models, and so knows this module

        return pairs.figures(context, places, source, model, self)

    def pictures(self, model: TrainedModel, pixels: Tensor, captions: Sequence[str]) -> Sequence[Picture]:
        from pretrain_trainer.evaluation import retrieval_grid

        return [retrieval_grid.drawn(self, model.model, pixels, captions)]


def image_features(module: Any, pixels: Tensor) -> Tensor:
    """float [n, width], of length 1, of images uint8 [n, 3, size, size]."""
    return _unit(module.get_image_features(pixel_values=normalised(pixels)).pooler_output)


def text_features(module: Any, tokens: Tensor) -> Tensor:
    """float [n, width], of length 1, of captions int64 [n, length] that end with the end of text."""
    return _unit(module.get_text_features(input_ids=tokens).pooler_output)


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=-1)
