"""A picture of cosines between images and captions: where the diagonal is darkest, each image knows its caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pretrain_trainer.evaluation import pairs
from pretrain_trainer.evaluation.pictures import as_image
from pretrain_trainer.objectives.clip import ContrastivePretraining
from pretrain_trainer.objectives.image_objective import Picture

_CELL, _CAPTION, _GAP = 64, 280, 4
_LETTERS = 15
_MOST_LETTERS = 38
_SHADE = (31, 98, 156)
"""Of the nearest caption; the farthest is white."""


def drawn(objective: ContrastivePretraining, towers: Any, pixels: Tensor, captions: Sequence[str]) -> Picture:
    """Columns are images, uint8 [n, 3, size, size], rows their captions."""
    cosines = pairs.of_texts(objective, towers, captions) @ pairs.of_images(towers, pixels).T
    count = len(captions)
    sheet = Image.new("RGB", (_CAPTION + count * _CELL, (count + 1) * _CELL), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_LETTERS)
    nearest = cosines.argmax(axis=0)
    for column, image in enumerate(pixels):
        left = _CAPTION + column * _CELL
        side = _CELL - _GAP
        sheet.paste(as_image(image).resize((side, side), Image.Resampling.BILINEAR), (left + _GAP // 2, _GAP // 2))
    low, high = float(cosines.min()), float(cosines.max())
    for row, caption in enumerate(captions):
        top = (row + 1) * _CELL
        text = caption if len(caption) <= _MOST_LETTERS else caption[: _MOST_LETTERS - 1].rstrip() + "…"
        draw.text((_CAPTION - 8, top + _CELL / 2), text, "black", font, anchor="rm")
        for column in range(count):
            cosine = float(cosines[row, column])
            left = _CAPTION + column * _CELL
            share = (cosine - low) / max(high - low, 1e-9)
            box = (left + 1, top + 1, left + _CELL - 2, top + _CELL - 2)
            draw.rectangle(box, _shade(share), "black" if row == column else None, 2)
            ink = "white" if share > 0.6 else "black"
            mark = f"{cosine:.2f}" + ("*" if nearest[column] == row else "")
            draw.text((left + _CELL / 2, top + _CELL / 2), mark, ink, font, anchor="mm")
    right = int(np.sum(nearest == np.arange(count)))
    return Picture(
        "retrieval",
        "Images and captions",
        f"Cosines of held-out images with their captions and with those of the others: the darker, the nearer; framed is "
        f"what belongs together, and a star marks the nearest caption of each image, which is the right one for {right} of "
        f"{count}.",
        sheet,
    )


def _shade(share: float) -> tuple[int, int, int]:
    red, green, blue = (round(255 + (end - 255) * share) for end in _SHADE)
    return red, green, blue
