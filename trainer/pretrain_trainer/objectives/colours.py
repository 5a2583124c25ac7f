"""Random changes of an image's colours, as learning from views of one image takes them: from numbers that are given. Pure.

What they are and how often they come is that of SimCLR (arXiv:2002.05709, appendix A) and of BYOL (arXiv:2006.07733, appendix
B), which DINO follows. They are Pillow's, as torchvision's are where images are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import ImageEnhance, ImageFilter, ImageOps
from torchvision.transforms.v2 import functional

if TYPE_CHECKING:
    from PIL.Image import Image

Draws = npt.NDArray[np.float64]
"""Numbers in [0, 1)."""
JITTER_DRAWS, BLUR_DRAWS = 10, 2
_JITTERED, _GREY = 0.8, 0.2
"""Shares of images whose colours are changed, and of those that lose them."""
_BLUR = (0.1, 2.0)
"""Standard deviation of a blur in pixels, of images of 224 px."""
_BLUR_SIDE = 224
_SOLARIZED_FROM = 128
_CHANGES = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def jittered(image: Image, draws: Draws, strength: tuple[float, float, float, float]) -> Image:
    """Brightness, contrast, saturation and hue moved by up to `strength`, in a random order, or left; then made grey, or not.

    `draws` are JITTER_DRAWS numbers; hue moves by at most half of the circle.
    """
    if draws[0] < _JITTERED:
        for number in np.argsort(draws[1:5], kind="stable").tolist():
            image = _moved(image, number, float(draws[5 + number]), strength[number])
    return image.convert("L").convert("RGB") if draws[9] < _GREY else image


def blurred(image: Image, draws: Draws, share: float, side: int) -> Image:
    """A share of images loses its details by a Gaussian blur, as strong as in those that models of images of `side` px are
    given. `draws` are BLUR_DRAWS numbers."""
    if draws[0] >= share:
        return image
    deviation = _BLUR[0] + (_BLUR[1] - _BLUR[0]) * float(draws[1])
    return image.filter(ImageFilter.GaussianBlur(deviation * side / _BLUR_SIDE))


def solarized(image: Image, draw: float, share: float) -> Image:
    """A share of images has its bright values inverted."""
    return ImageOps.solarize(image, _SOLARIZED_FROM) if draw < share else image


def _moved(image: Image, number: int, draw: float, strength: float) -> Image:
    if number == 3:
        most = min(strength, 0.5)
        found: Image = functional.adjust_hue(image, most * (2 * draw - 1))
        return found
    factor = max(0.0, 1 - strength) + (min(1.0, strength) + strength) * draw
    return _CHANGES[number](image).enhance(factor)
