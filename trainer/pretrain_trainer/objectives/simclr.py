"""Contrastive learning of two views (SimCLR, arXiv:2002.05709): an image's views are more alike than those of others.

Two random parts of each image, with other colours, go through the encoder and a projection; each view has to tell the other one from
all views of the global batch (NT-Xent). Batch norms see the global batch, so a rank's slice passes at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from pretrain_api.types.model import SimClr as SimClrSpec
from pretrain_trainer.agent.board import moved
from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.data.images import CROP_DRAWS, random_resized_crop
from pretrain_trainer.data.samples import Int64s
from pretrain_trainer.objectives import colours, encoders
from pretrain_trainer.objectives.draws import uniform
from pretrain_trainer.objectives.global_batch_norm import GlobalBatchNorm, keep_statistics, over_ranks
from pretrain_trainer.objectives.image_objective import Picture
from pretrain_trainer.objectives.interface import Batch, Moment, Parts, Sums
from pretrain_trainer.objectives.passes import Passes
from pretrain_trainer.objectives.pixels import normalised, sheet, stacked
from pretrain_trainer.objectives.side_by_side import side_by_side

if TYPE_CHECKING:
    from pretrain_trainer.context import StageContext
    from pretrain_trainer.data.opened import Places
    from pretrain_trainer.evaluation.trained import TrainedModel

_VIEWS = (0, 1)
"""Purposes of random numbers: those of each view."""
_JITTER = (0.8, 0.8, 0.8, 0.2)
"""Strengths of brightness, contrast, saturation and hue at a strength of 1 (appendix A)."""
_BLURRED = 0.5
_DRAWS = CROP_DRAWS + 1 + colours.JITTER_DRAWS + colours.BLUR_DRAWS


def build(spec: SimClrSpec, parts: Parts) -> SimClr:
    return SimClr(spec, parts.seed)


class SimClr:
    """Of views of `spec.image_size`."""

    def __init__(self, spec: SimClrSpec, seed: int) -> None:
        self._spec, self._seed = spec, seed

    def wrapped(self, model: Any) -> nn.Module:
        """The encoder below a projection, whose weights follow from the seed."""
        return Projected(model, self._spec, self._seed)

    def exported(self, module: nn.Module) -> Any:
        """The encoder: what follows it is of use to the loss alone (section 4.2)."""
        return module.encoder

    def prepare(self, module: nn.Module) -> None:
        """Every encoder of images can learn this."""

    def batch(self, samples: ImageSamples, positions: Int64s) -> Batch:
        """`views` uint8 [n, 2, 3, size, size]; `valid` bool [n], false for stand-ins."""
        draws = [uniform(self._seed, purpose, positions, _DRAWS) for purpose in _VIEWS]
        pairs = samples.decoded(lambda image, row: [self._view(image, each[row]) for each in draws])
        size = self._spec.image_size
        views = [stacked([pair[view] if pair else None for pair in pairs], size) for view in _VIEWS]
        return Batch({"views": torch.stack([pixels for pixels, _ in views], dim=1), "valid": views[0][1]})

    def _view(self, image: Image.Image, draws: np.ndarray) -> np.ndarray:
        """uint8 [size, size, 3] of an RGB image, by _DRAWS numbers in [0, 1)."""
        spec = self._spec
        place, mirrored, jitter, blur = np.split(draws, np.cumsum([CROP_DRAWS, 1, colours.JITTER_DRAWS]))
        part = random_resized_crop(image, spec.image_size, place, (spec.min_crop_area, 1.0))
        if mirrored[0] < spec.horizontal_flip:
            part = part[:, ::-1]
        view = Image.fromarray(part)
        if strength := spec.color_strength:
            brightness, contrast, saturation, hue = (strength * most for most in _JITTER)
            view = colours.jittered(view, jitter, (brightness, contrast, saturation, hue))
        return np.asarray(colours.blurred(view, blur, _BLURRED, spec.image_size))

    def targets(self, batch: Batch) -> Tensor:
        """Each view has to find the other."""
        return 2 * batch["valid"].long()

    def sums(self, module: nn.Module, batch: Batch, scale: float) -> Sums:
        """Among the samples of all ranks, which call it together where they train."""
        valid = batch["valid"]
        views = batch["views"][valid]
        dtype = next(module.parameters()).dtype
        projections = module(normalised(views.flatten(0, 1)).to(dtype))
        with torch.autocast(projections.device.type, enabled=False):
            own = functional.normalize(projections.to(torch.promote_types(projections.dtype, torch.float32)), dim=1)
            everyone, first = side_by_side(own)
            each = nt_xent(own, everyone, first, self._spec.temperature).view(-1, 2).sum(dim=1)
        losses = torch.zeros(len(valid), dtype=torch.float32, device=each.device)
        losses[valid] = each.detach().float()
        return Sums(each.sum() * scale, losses)

    def learn(self, module: nn.Module, passes: Passes, scale: float, moment: Moment) -> Tensor:
        with passes.part("forward"), passes.context():
            sums = self.sums(module, passes.whole.to(passes.device), scale)
        with passes.part("backward"):
            sums.objective.backward()  # type: ignore[no-untyped-call]
        moved()
        return sums.loss

    def measure(self, module: nn.Module, passes: Passes) -> Tensor:
        with passes.context():
            return self.sums(module, passes.whole.to(passes.device), 1.0).loss

    def after_update(self, module: nn.Module, moment: Moment) -> None:
        """Running statistics follow those of the batch."""
        keep_statistics(module)

    def embed(self, model: Any, pixels: Tensor) -> Tensor:
        """Those that the projection is given."""
        return encoders.embed(model, pixels)

    def figures(self, context: StageContext, places: Places, source: int, model: TrainedModel) -> Mapping[str, Any]:
        """The loss says it all."""
        return {}

    def pictures(self, model: TrainedModel, pixels: Tensor, captions: Sequence[str]) -> Sequence[Picture]:
        """Rows of what is given and of two views of it."""
        draws = [uniform(self._seed, purpose, np.arange(len(pixels)), _DRAWS) for purpose in _VIEWS]
        images = [Image.fromarray(each.permute(1, 2, 0).numpy()) for each in pixels]
        views = [[self._view(image, row) for image, row in zip(images, each, strict=True)] for each in draws]
        rows = [pixels, *(stacked(list(each), self._spec.image_size)[0] for each in views)]
        about = "Held-out images, and below each two views of it that are to have similar features."
        return [Picture("views", "Views", about, sheet(torch.stack(rows)))]


class Projected(nn.Module):
    """An encoder of images below two layers that each end in a batch norm (arXiv:2002.05709, section 2.1 and its code); all
    batch norms within are global."""

    def __init__(self, encoder: Any, spec: SimClrSpec, seed: int) -> None:
        super().__init__()
        self.encoder = encoder
        over_ranks(encoder)
        features, width = encoders.freeze_unused(encoder, spec.image_size), spec.projection_size
        self._takes_nothing = any(isinstance(module, GlobalBatchNorm) for module in encoder.modules())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Sequential(
                nn.Linear(features, features, bias=False),
                GlobalBatchNorm(features),
                nn.ReLU(),
                nn.Linear(features, width, bias=False),
                GlobalBatchNorm(width),
            )

    def forward(self, pixels: Tensor) -> Tensor:
        """float [n, width] of normalised pixels, float [n, 3, size, size]."""
        if len(pixels) or self._takes_nothing:
            features = encoders.features(self.encoder, pixels)
        else:  # attention of transformers refuses an empty batch
            features = encoders.features(self.encoder, pixels.new_zeros(1, *pixels.shape[1:]))[:0]
        found: Tensor = self.head(features)
        return found


def nt_xent(own: Tensor, everyone: Tensor, first: int, temperature: float) -> Tensor:
    """float [n], n even: of each view, the cross-entropy of its partner among all views but itself (arXiv:2002.05709, equation 1).

    `own` [n, d] are unit vectors, partners next to each other, and rows `first` ... `first` + n - 1 of `everyone` [m, d].
    """
    places = torch.arange(first, first + len(own), device=own.device)
    logits = (own @ everyone.T / temperature).scatter(1, places[:, None], float("-inf"))
    return functional.cross_entropy(logits, places ^ 1, reduction="none")
