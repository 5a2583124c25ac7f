import io

import numpy as np
import pytest
from PIL import Image, ImageFont
from support.tars import image

from pretrain_trainer.inspecting.sheets import Picture, contact_sheet, wrapped


def test_pictures_stand_in_rows_with_their_captions() -> None:
    sheet = contact_sheet([Picture(image(n, form), "a caption") for n, form in enumerate(("PNG", "JPEG", "WEBP"))], 2)
    assert sheet.size == (2 * 172 + 12, 2 * (172 + 45) + 12)
    for left, top in ((12, 12), (184, 12), (12, 229)):
        assert sheet.getpixel((left + 80, top + 80)) != (255, 255, 255)
        assert any(sheet.getpixel((left + x, top + 168)) != (255, 255, 255) for x in range(60))
    assert sheet.getpixel((184 + 80, 229 + 80)) == (255, 255, 255)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def test_pictures_of_every_kind_have_their_colours() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    kinds = [
        saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"),
        saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        saved(Image.fromarray(np.full((8, 8), 0x8080, dtype=np.uint16)), "PNG"),
        saved(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "PNG"),
    ]
    sheet = contact_sheet([Picture(kind, "") for kind in kinds])
    found = [sheet.getpixel((92 + 172 * number, 92)) for number in range(4)]
    assert found[1:] == [(255, 0, 0), (128, 128, 128), (255, 255, 255)]
    assert np.abs(np.subtract(found[0], (255, 0, 0))).max() <= 3


@pytest.mark.parametrize("content", [b"", b"no image", saved(Image.new("RGB", (99, 99)), "PNG")[:60]])
def test_what_is_broken_is_a_grey_field_that_says_why(content: bytes) -> None:
    field = np.asarray(contact_sheet([Picture(content, "")]))[12:172, 12:172]
    assert (field[-10:] == 211).all()
    assert (field[8:24, 8:] == 0).any()


@pytest.mark.parametrize("text", ["", "short", "word " * 40, "x" * 300])
def test_captions_keep_to_their_width(text: str) -> None:
    font = ImageFont.load_default(12)
    lines = wrapped(text, font)
    assert len(lines) <= 3
    assert all(font.getlength(line) <= 160 for line in lines)
    assert text == "" or lines[-1].endswith("...") == (len(text) > 100)
