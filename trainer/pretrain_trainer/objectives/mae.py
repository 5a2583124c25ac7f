"""Masked autoencoding of images (arXiv:2111.06377): most patches are hidden, and their pixels predicted from the others.

The encoder sees the patches that are left, the decoder all places; the loss is the mean squared error over the hidden
patches alone. Each sample's mask follows from its position in the order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from pretrain_api.types.model import Mae as MaeSpec
from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.data.samples import Int64s
from pretrain_trainer.objectives.draws import uniform
from pretrain_trainer.objectives.image_objective import Picture
from pretrain_trainer.objectives.interface import Additive, Batch, Parts, Sums
from pretrain_trainer.objectives.pixels import denormalised, normalised, random_parts, sheet

if TYPE_CHECKING:
    from pretrain_trainer.context import StageContext
    from pretrain_trainer.data.opened import Places
    from pretrain_trainer.evaluation.trained import TrainedModel

_CROP, _MASK = 0, 1
"""Purposes of random numbers."""
_EPSILON = 1e-6
_MOST_PLACES, _MOST_FEATURES = 4, 4096
"""Places a side that features keep apart, and about how many numbers they may have."""


def build(spec: MaeSpec, parts: Parts) -> MaskedAutoencoder:
    return MaskedAutoencoder(spec, parts.config.patch_size, parts.seed)


class MaskedAutoencoder(Additive):
    """Of images of `spec.image_size`, in patches of `patch` px."""

    def __init__(self, spec: MaeSpec, patch: int, seed: int) -> None:
        self._spec, self._seed = spec, seed
        self._patches = (spec.image_size // patch) ** 2
        self._seen = int(self._patches * (1 - spec.mask_ratio))

    def wrapped(self, model: Any) -> nn.Module:
        # The model hides patches by itself, by its own setting.
        model.config.mask_ratio = self._spec.mask_ratio
        return super().wrapped(model)

    def prepare(self, module: nn.Module) -> None:
        """Every masked autoencoder of transformers can learn this."""

    def batch(self, samples: ImageSamples, positions: Int64s) -> Batch:
        """`pixels` uint8 [n, 3, size, size]; `order` float32 [n, patches], of which the smallest are seen; `valid` bool [n],
        false for stand-ins."""
        spec = self._spec
        pixels, valid = random_parts(
            samples, positions, self._seed, _CROP, spec.image_size, spec.min_crop_area, spec.horizontal_flip
        )
        order = torch.from_numpy(uniform(self._seed, _MASK, positions, self._patches)).float()
        return Batch({"pixels": pixels, "order": order, "valid": valid})

    def targets(self, batch: Batch) -> Tensor:
        """The hidden patches; each counts with the mean over its pixels."""
        return batch["valid"].long() * (self._patches - self._seen)

    def sums(self, module: Any, batch: Batch, scale: float) -> Sums:
        pixels = normalised(batch["pixels"]).to(module.dtype)
        found = module(pixel_values=pixels, noise=batch["order"])
        predicted = found.logits.to(torch.promote_types(found.logits.dtype, torch.float32))
        errors = (predicted - self.wanted(module, pixels)).square().mean(dim=-1)
        losses = (errors * found.mask).sum(dim=1) * batch["valid"]
        return Sums(losses.sum() * scale, losses.detach().float())

    def embed(self, model: Any, pixels: Tensor) -> Tensor:
        """Float [n, places * width]: the mean over the patches of each part of the image, of up to 4 x 4, none of them hidden.

        Patches that predict their neighbours' pixels say what is where, which the mean over all of them forgets; features on
        a grid of places, of some thousand numbers, are probed by Goyal et al. (2019), arXiv:1905.01235, section 4.1, too.
        """
        order = torch.arange(self._patches, dtype=torch.float32, device=pixels.device).expand(len(pixels), -1)
        ratio, model.config.mask_ratio = model.config.mask_ratio, 0.0
        try:
            found: Tensor = model.base_model(pixel_values=normalised(pixels), noise=order).last_hidden_state
        finally:
            model.config.mask_ratio = ratio
        side = math.isqrt(self._patches)
        apart = max(1, min(_MOST_PLACES, side, math.isqrt(_MOST_FEATURES // found.shape[2])))
        patches = torch.unflatten(found[:, 1:].transpose(1, 2), 2, (side, side))
        return nn.functional.adaptive_avg_pool2d(patches, apart).flatten(2).transpose(1, 2).flatten(1)

    def figures(self, context: StageContext, places: Places, source: int, model: TrainedModel) -> Mapping[str, Any]:
        """The loss says it all."""
        return {}

    def pictures(self, model: TrainedModel, pixels: Tensor, captions: Sequence[str]) -> Sequence[Picture]:
        """Rows of what is given, what the encoder sees and what the model makes of it."""
        order = torch.from_numpy(uniform(self._seed, _MASK, np.arange(len(pixels)), self._patches)).float()
        given = normalised(pixels.to(model.device))
        with torch.no_grad():
            found = model.model(pixel_values=given, noise=order.to(model.device))
        patches, predicted = model.model.patchify(given), found.logits.float()
        if self._spec.normalized_pixels == "perPatch":  # whose mean and deviation the model is not asked for
            mean, variance = patches.mean(dim=-1, keepdim=True), patches.var(dim=-1, keepdim=True)
            predicted = predicted * (variance + _EPSILON).sqrt() + mean
        hidden = found.mask[..., None].bool()
        grey = torch.zeros_like(patches)
        rows = [patches, torch.where(hidden, grey, patches), torch.where(hidden, predicted, patches)]
        images = torch.stack([denormalised(model.model.unpatchify(row)) for row in rows])
        return [
            Picture(
                "reconstructions",
                "Reconstructions",
                "Held-out images, what the encoder sees of them, and what the model puts into the hidden patches"
                + (", with the mean and contrast of the original." if predicted is not found.logits else "."),
                sheet(images),
            )
        ]

    def wanted(self, module: Any, pixels: Tensor) -> Tensor:
        """float32 [n, patches, pixels of a patch]: what is to be predicted."""
        patches: Tensor = module.patchify(pixels)
        if self._spec.normalized_pixels == "none":
            return patches
        mean, variance = patches.mean(dim=-1, keepdim=True), patches.var(dim=-1, keepdim=True)
        return (patches - mean) / (variance + _EPSILON).sqrt()
