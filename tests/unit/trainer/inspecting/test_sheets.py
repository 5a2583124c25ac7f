import pytest
from PIL import ImageFont
from support.tars import image

from pretrain_trainer.inspecting.sheets import Picture, contact_sheet, wrapped


def test_pictures_stand_in_rows_with_their_captions() -> None:
    sheet = contact_sheet([Picture(image(n, form), "a caption") for n, form in enumerate(("PNG", "JPEG", "WEBP"))], 2)
    assert sheet.size == (2 * 172 + 12, 2 * (172 + 45) + 12)
    for left, top in ((12, 12), (184, 12), (12, 229)):
        assert sheet.getpixel((left + 80, top + 80)) != (255, 255, 255)
        assert any(sheet.getpixel((left + x, top + 168)) != (255, 255, 255) for x in range(60))
    assert sheet.getpixel((184 + 80, 229 + 80)) == (255, 255, 255)


def test_what_cannot_be_decoded_is_a_grey_field() -> None:
    assert contact_sheet([Picture(b"no image", "")]).getpixel((20, 150)) == (211, 211, 211)


@pytest.mark.parametrize("text", ["", "short", "word " * 40, "x" * 300])
def test_captions_keep_to_their_width(text: str) -> None:
    font = ImageFont.load_default(12)
    lines = wrapped(text, font)
    assert len(lines) <= 3
    assert all(font.getlength(line) <= 160 for line in lines)
    assert text == "" or lines[-1].endswith("...") == (len(text) > 100)
