"""Multi-crop (SwAV, arXiv:2006.09882; DINO, arXiv:2104.14294, section 3.1): large and small random parts of an image, each
with colours of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pretrain_trainer.data.images import CROP_DRAWS, random_resized_crop
from pretrain_trainer.objectives import colours
from pretrain_trainer.objectives.draws import uniform

if TYPE_CHECKING:
    from pretrain_api.types.model import Dino as DinoSpec
    from pretrain_trainer.data.image_samples import ImageSamples
    from pretrain_trainer.data.samples import Int64s

GLOBAL_CROPS = 2
_JITTER = (0.8, 0.8, 0.4, 0.2)
"""Strengths of brightness, contrast, saturation and hue at a strength of 1; the paper has half of each."""
_BLURRED_GLOBAL, _BLURRED_LOCAL = (1.0, 0.1), 0.5
_SOLARIZED = (0.0, 0.2)
"""Shares of the first and of the second global crop; of local crops none."""
_DRAWS = CROP_DRAWS + 1 + colours.JITTER_DRAWS + colours.BLUR_DRAWS + 1


def crops(samples: ImageSamples, positions: Int64s, seed: int, spec: DinoSpec) -> tuple[Tensor, Tensor, Tensor]:
    """uint8 [n, 2, 3, size, size] and [n, local, 3, local size, local size], black for stand-ins, and bool [n], false for
    them. Draws have the crop's number as their purpose."""
    count = GLOBAL_CROPS + spec.local_crops
    draws = np.stack([uniform(seed, number, positions, _DRAWS) for number in range(count)])

    def of(image: Image.Image, row: int) -> list[npt.NDArray[np.uint8]]:
        return [_crop(image, number, draws[number, row], spec) for number in range(count)]

    made = samples.decoded(of)
    shapes = [(GLOBAL_CROPS, spec.image_size), (spec.local_crops, spec.local_image_size)]
    large, small = (np.zeros((len(made), each, side, side, 3), dtype=np.uint8) for each, side in shapes)
    for row, parts in enumerate(made):
        for number, part in enumerate(parts or ()):
            (large[row, number] if number < GLOBAL_CROPS else small[row, number - GLOBAL_CROPS])[:] = part
    is_there = torch.tensor([parts is not None for parts in made], dtype=torch.bool)
    return _channels_first(large), _channels_first(small), is_there


def _crop(image: Image.Image, number: int, draws: npt.NDArray[np.float64], spec: DinoSpec) -> npt.NDArray[np.uint8]:
    """uint8 [side, side, 3]."""
    is_global = number < GLOBAL_CROPS
    area = (spec.min_global_crop_area, 1.0) if is_global else (spec.min_local_crop_area, spec.min_global_crop_area)
    side = spec.image_size if is_global else spec.local_image_size
    place, mirrored, jitter, blur, solar = np.split(
        draws, np.cumsum([CROP_DRAWS, 1, colours.JITTER_DRAWS, colours.BLUR_DRAWS])
    )
    part = random_resized_crop(image, side, place, area)
    if mirrored[0] < spec.horizontal_flip:
        part = part[:, ::-1]
    strengths = tuple(each * spec.color_strength for each in _JITTER)
    found = colours.jittered(Image.fromarray(part), jitter, strengths)  # type: ignore[arg-type]
    found = colours.blurred(found, blur, _BLURRED_GLOBAL[number] if is_global else _BLURRED_LOCAL, spec.image_size)
    if is_global:
        found = colours.solarized(found, float(solar[0]), _SOLARIZED[number])
    return np.asarray(found)


def _channels_first(pixels: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 1, 4, 2, 3).contiguous()
