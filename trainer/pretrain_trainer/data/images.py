"""Images of records: any file that people put into data sets as an upright 8-bit RGB image, and a random part of it. Pure.

Nothing is approximated to save time: JPEGs are decoded in full resolution. Pillow's draft mode and `reducing_gap` would be
quicker for large ones and change pixels, so that what is trained on would depend on a choice made for speed.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from pretrain_api.errors import PretrainError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
"""What is decoded, whatever the file is called. Pillow's other decoders (EPS starts Ghostscript) are kept from such bytes."""
MOST_PIXELS = 89_478_485
"""Of an image: those of a quarter of a gigabyte in RGB. Pillow's own limit, from which on it warns as well."""
AREA = (0.08, 1.0)
"""Of a random part, in that of the image."""
RATIO = (3 / 4, 4 / 3)
"""Of its width to its height."""
_ATTEMPTS = 10
CROP_DRAWS = 2 * _ATTEMPTS + 2
"""Numbers that a random part takes."""

UInt8s = npt.NDArray[np.uint8]
_ORIENTATION = 0x0112
_SHORT = 3
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation of EXIF; 1 is upright."""
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "I;16")


class BrokenImage(PretrainError):
    """An image that cannot be trained on; says why."""

    kind = "BrokenImage"


def decoded(payload: bytes) -> Image.Image:
    """The image as people see it, in RGB. Raises BrokenImage, and nothing else, where there is none to see.

    Turned as EXIF says (broken EXIF says nothing), transparency over white, the first frame of animations, 16-bit grey
    rounded to 8 bits; 16-bit colours lose their lower byte. CMYK and YCCK are taken as Adobe writes them, inverted, as
    Pillow does. Colour profiles are not applied. A single pixel is no image but what pages count visitors with. For any
    number of threads: decoding lets other threads run. What Pillow merely warns of is the caller's to filter.

    What a decoder forgives is decoded: a JPEG has no checksum of its own, that of the record tells of damage
    (pretrain_trainer.data.foreign); those in a PNG are compared.
    """
    if not payload:
        raise BrokenImage("it is empty")
    try:
        return _upright(payload)
    except BrokenImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # an error where warnings are such
        raise BrokenImage(f"it is too large: {error}") from error
    except UnidentifiedImageError as error:
        raise BrokenImage(f"it is none of {', '.join(FORMATS)}, or its header is damaged") from error
    except Exception as error:
        why = (str(error) or type(error).__name__).splitlines()[0].rstrip(". ")
        raise BrokenImage(f"it cannot be decoded: {why}") from error


def random_resized_crop(
    image: Image.Image, size: int, draws: Sequence[float] | npt.NDArray[np.float64], area: tuple[float, float] = AREA
) -> UInt8s:
    """A random part of an RGB image, scaled to [size, size, 3], bilinear and without aliases.

    `draws` are CROP_DRAWS numbers in [0, 1): equal ones cut equally. Only pixels of the part count, as in torchvision.
    """
    part = image.crop(crop_box(image.width, image.height, draws, area))
    return np.array(part.resize((size, size), Image.Resampling.BILINEAR))


def crop_box(
    width: int, height: int, draws: Sequence[float] | npt.NDArray[np.float64], area: tuple[float, float] = AREA
) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a random part, uniform in area and place, log-uniform in its ratio.

    Of Inception (Szegedy et al. 2014, arXiv:1409.4842, section 6), as torchvision's RandomResizedCrop has it: parts that do
    not fit are drawn again, ten times; then it is the middle of the image, at a ratio within the bounds.
    """
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    for attempt in range(_ATTEMPTS):
        pixels = width * height * (area[0] + (area[1] - area[0]) * float(draws[2 * attempt]))
        ratio = math.exp(low + (high - low) * float(draws[2 * attempt + 1]))
        w, h = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 0 < w <= width and 0 < h <= height:
            left = int((width - w + 1) * float(draws[-2]))
            top = int((height - h + 1) * float(draws[-1]))
            return left, top, left + w, top + h
    w, h = min(width, round(height * RATIO[1])), min(height, round(width / RATIO[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def _upright(payload: bytes) -> Image.Image:
    with Image.open(io.BytesIO(payload), formats=FORMATS) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise BrokenImage(
                f"it is too large: {width:,} x {height:,} pixels are more than the {MOST_PIXELS:,} that are decoded"
            )
        if width * height == 1:
            raise BrokenImage("it is a single pixel")
        if image.format == "PNG":
            _compare_checksums(payload)
        image.load()
        flat = _rgb(image)
        turn = _TURNS.get(_orientation(image.info.get("exif", b"")))
    if turn is None:
        return flat
    turned = flat.transpose(turn)
    turned.info.pop("exif", None)  # so that nobody turns it again
    return turned


def _compare_checksums(payload: bytes) -> None:
    """Those of a PNG's chunks, of which decoding skips some. Raises what Pillow raises."""
    with Image.open(io.BytesIO(payload), formats=("PNG",)) as image:
        image.verify()


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode not in _MODES:
        raise BrokenImage(f"its pixels are of Pillow's mode {image.mode}, which has no certain range")
    if image.mode == "I;16":
        image = _eight_bits(image)
    if not image.has_transparency_data:
        return image.convert("RGB")
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Of 16-bit grey, with its transparent value as alpha. Pillow itself would cut the lower byte off."""
    values = np.asarray(image).astype(np.uint32)
    grey = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if (clear := image.info.get("transparency")) is None:
        return grey
    return Image.merge("LA", (grey, Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))))


def _orientation(exif: bytes) -> int:
    """That of EXIF; 1 where it says none. Not by Pillow, which warns of broken EXIF and reads all of it."""
    body = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(body[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", body, 4)
        (entries,) = struct.unpack_from(f"{order}H", body, start)
        for at in range(start + 2, start + 2 + 12 * entries, 12):
            tag, form = struct.unpack_from(f"{order}HH", body, at)
            if tag == _ORIENTATION:
                return int(struct.unpack_from(f"{order}{'H' if form == _SHORT else 'I'}", body, at + 8)[0])
    except struct.error:
        pass
    return 1
