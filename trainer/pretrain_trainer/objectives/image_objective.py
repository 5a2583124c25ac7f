"""What evaluation, export and report know of an objective that learns from images, beyond what the training loop knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.objectives.interface import Objective

if TYPE_CHECKING:
    from PIL.Image import Image

    from pretrain_trainer.context import StageContext
    from pretrain_trainer.data.opened import Places
    from pretrain_trainer.evaluation.trained import TrainedModel

_BATCH = 64


@dataclass(frozen=True)
class Picture:
    """One for the report."""

    name: str
    """Of its file, without the ending."""
    title: str
    about: str
    """What is to be seen, as a sentence."""
    image: Image


class ImageObjective(Objective[ImageSamples], Protocol):
    """An objective whose samples are images."""

    def embed(self, model: Any, pixels: Tensor) -> Tensor:
        """Features float [n, width] of images, uint8 [n, 3, size, size], by the model of transformers."""

    def figures(self, context: StageContext, places: Places, source: int, model: TrainedModel) -> Mapping[str, Any]:
        """Further figures of a source's held-out images, by their names in report.json."""

    def pictures(self, model: TrainedModel, pixels: Tensor, captions: Sequence[str]) -> Sequence[Picture]:
        """What the objective can show of some held-out images, uint8 [n, 3, size, size]."""


def embedded(objective: ImageObjective, model: Any, pixels: Tensor) -> npt.NDArray[np.float32]:
    """Features of many images, by batches on the model's device."""
    with torch.no_grad():
        parts = [objective.embed(model, some.to(model.device)).float().cpu() for some in torch.split(pixels, _BATCH)]
    found: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return found
