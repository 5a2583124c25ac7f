"""A contact sheet: images in a grid, each above the beginning of its caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from pretrain_trainer.data.images import BrokenImage, decoded

_SIDE, _GAP, _LINES = 160, 12, 3
_LINE_HEIGHT, _FONT_SIZE = 15, 12


@dataclass(frozen=True)
class Picture:
    """An image and what is written below it."""

    content: bytes
    caption: str


def contact_sheet(pictures: Sequence[Picture], columns: int = 5) -> Image.Image:
    """The pictures in rows, from left to right. One that is broken is a grey field that says why."""
    columns = max(1, min(columns, len(pictures)))
    rows = -(-len(pictures) // columns)
    cell_width, cell_height = _SIDE + _GAP, _SIDE + _GAP + _LINES * _LINE_HEIGHT
    sheet = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    for number, picture in enumerate(pictures):
        left = _GAP + number % columns * cell_width
        top = _GAP + number // columns * cell_height
        thumbnail = _thumbnail(picture.content)
        sheet.paste(thumbnail, (left + (_SIDE - thumbnail.width) // 2, top + (_SIDE - thumbnail.height) // 2))
        for line, text in enumerate(wrapped(picture.caption, font)):
            draw.text((left, top + _SIDE + 2 + line * _LINE_HEIGHT), text, "black", font)
    return sheet


def _thumbnail(content: bytes) -> Image.Image:
    try:
        whole = decoded(content)
    except BrokenImage as error:
        broken, font = Image.new("RGB", (_SIDE, _SIDE), "lightgrey"), ImageFont.load_default(_FONT_SIZE)
        for line, text in enumerate(wrapped(str(error), font, _SIDE - 16)):
            ImageDraw.Draw(broken).text((8, 8 + line * _LINE_HEIGHT), text, "black", font)
        return broken
    ratio = _SIDE / max(whole.size)
    return whole.resize((max(1, round(whole.width * ratio)), max(1, round(whole.height * ratio))))


def wrapped(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int = _SIDE) -> list[str]:
    """The text in at most _LINES lines of that width, the last one with dots where something is left out."""
    lines, rest = list[str](), " ".join(text.split())
    while rest and len(lines) < _LINES:
        end = len(rest)
        while end > 1 and font.getlength(rest[:end]) > width:
            end -= 1
        if end < len(rest) and (space := rest.rfind(" ", 0, end + 1)) > 0:
            end = space
        lines.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    if rest and lines:
        last = lines[-1]
        while last and font.getlength(f"{last}...") > width:
            last = last[:-1]
        lines[-1] = f"{last}..."
    return lines
