"""Random changes of an image's colours and sharpness, by numbers that the caller draws. Nothing here moves a pixel."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import ImageFilter
from PIL.Image import Image
from torchvision.transforms.v2 import functional

Draws = Sequence[float] | npt.NDArray[np.float64]

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = 0.8, 0.8, 0.8, 0.2
"""Furthest changes at strength 1, of SimCLR (arXiv:2002.05709, appendix A)."""
_SHARE_JITTERED, _SHARE_GREY, _SHARE_BLURRED = 0.8, 0.2, 0.5
_SIGMA = (0.1, 2.0)
"""Of the blur, in pixels of an image of 224 px."""
_SIGMA_SIZE = 224
_ORDERS = tuple(itertools.permutations(range(4)))
COLOUR_DRAWS, BLUR_DRAWS = 7, 2
"""Numbers that each takes."""


def recoloured(image: Image, draws: Draws, strength: float) -> Image:
    """An RGB image of which, in most cases, brightness, contrast, saturation and hue are changed in any order, and which then
    is grey in some. `draws` are COLOUR_DRAWS numbers in [0, 1); a strength of 0 leaves all colours as they are."""
    if not strength:
        return image
    does, order, *amounts, grey = (float(each) for each in draws)
    if does < _SHARE_JITTERED:
        for change in _ORDERS[int(order * len(_ORDERS))]:
            image = _CHANGES[change](image, 2 * amounts[change] - 1, strength)
    return functional.rgb_to_grayscale(image, num_output_channels=3) if grey < _SHARE_GREY else image


def blurred(image: Image, draws: Draws) -> Image:
    """An image of which, in half of the cases, details are blurred as strongly as its size allows. `draws` are BLUR_DRAWS
    numbers in [0, 1)."""
    if draws[0] >= _SHARE_BLURRED:
        return image
    sigma = _SIGMA[0] + (_SIGMA[1] - _SIGMA[0]) * float(draws[1])
    return image.filter(ImageFilter.GaussianBlur(sigma * max(image.size) / _SIGMA_SIZE))


def _factor(amount: float, furthest: float) -> float:
    """Around 1, and never below 0: `amount` is in [-1, 1)."""
    low = max(0.0, 1 - furthest)
    return low + (1 + furthest - low) * (amount + 1) / 2


_CHANGES: tuple[Callable[[Image, float, float], Image], ...] = (
    lambda image, amount, strength: functional.adjust_brightness(image, _factor(amount, _BRIGHTNESS * strength)),
    lambda image, amount, strength: functional.adjust_contrast(image, _factor(amount, _CONTRAST * strength)),
    lambda image, amount, strength: functional.adjust_saturation(image, _factor(amount, _SATURATION * strength)),
    lambda image, amount, strength: functional.adjust_hue(image, amount * min(0.5, _HUE * strength)),
)
