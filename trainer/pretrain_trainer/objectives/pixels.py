"""Images as models take them: random parts of one size, the same for the same position in the order, and their numbers."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.data.images import CROP_DRAWS, random_resized_crop
from pretrain_trainer.data.samples import Int64s
from pretrain_trainer.objectives.draws import uniform

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of the pixels of ImageNet, by channel, as most encoders of images are given them."""


def random_parts(
    samples: ImageSamples, positions: Int64s, seed: int, purpose: int, size: int, least_area: float, flip: float
) -> tuple[Tensor, Tensor]:
    """uint8 [n, 3, size, size]: a random part of each image, of which a share is mirrored; and bool [n], false for
    stand-ins, which are black."""
    draws = uniform(seed, purpose, positions, CROP_DRAWS + 1)

    def part(image: Image.Image, row: int) -> np.ndarray:
        found = random_resized_crop(image, size, draws[row, :CROP_DRAWS], (least_area, 1.0))
        return found[:, ::-1] if draws[row, CROP_DRAWS] < flip else found

    return stacked(samples.decoded(part), size)


def middles(samples: ImageSamples, size: int) -> tuple[Tensor, Tensor]:
    """Like `random_parts`: the middle of each image, as it is evaluated."""
    return stacked(samples.decoded(lambda image, row: middle(image, size)), size)


def middle(image: Image.Image, size: int) -> np.ndarray:
    """uint8 [size, size, 3]: the middle of an RGB image whose shorter side is scaled to `size`, bilinearly and without aliases.

    To a pixel what the image processors of transformers make, whose longer side is scaled to whole pixels before they cut.
    """
    short = min(image.size)
    scaled = [size if side == short else int(size * side / short) for side in image.size]
    (left, right), (top, bottom) = (
        ((whole - size) // 2 * side / whole, ((whole - size) // 2 + size) * side / whole)
        for side, whole in zip(image.size, scaled, strict=True)
    )
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, right, bottom)))


def stacked(images: list[np.ndarray | None], size: int) -> tuple[Tensor, Tensor]:
    """uint8 [n, 3, size, size] from arrays [size, size, 3], black where there is none; bool [n]: whether there is one."""
    pixels = np.zeros((len(images), size, size, 3), dtype=np.uint8)
    for row, image in enumerate(images):
        if image is not None:
            pixels[row] = image
    is_there = torch.tensor([image is not None for image in images], dtype=torch.bool)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), is_there


def normalised(pixels: Tensor) -> Tensor:
    """float32 of the shape of `pixels`, uint8 [..., 3, height, width]: less the mean, divided by the deviation."""
    mean, std = (torch.tensor(each, device=pixels.device).view(3, 1, 1) for each in (MEAN, STD))
    return (pixels.float() / 255 - mean) / std


def denormalised(numbers: Tensor) -> Tensor:
    """uint8 of the shape of `numbers`: what `normalised` makes them of, as far as bytes reach."""
    mean, std = (torch.tensor(each, device=numbers.device).view(3, 1, 1) for each in (MEAN, STD))
    return ((numbers * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)


def sheet(images: Tensor, least_side: int = 96, gap: int = 4) -> Image.Image:
    """One picture of images, uint8 [rows, columns, 3, size, size], scaled up to a side of at least `least_side` px."""
    rows, columns, _, size, _ = images.shape
    side = size * max(1, -(-least_side // size))
    whole = Image.new("RGB", (columns * (side + gap) - gap, rows * (side + gap) - gap), "white")
    for row in range(rows):
        for column in range(columns):
            one = Image.fromarray(images[row, column].permute(1, 2, 0).cpu().numpy())
            whole.paste(one.resize((side, side), Image.Resampling.NEAREST), (column * (side + gap), row * (side + gap)))
    return whole
