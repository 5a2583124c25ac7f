import contextlib
import io
import math
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from pretrain_trainer.data.images import CROP_DRAWS, MOST_PIXELS, BrokenImage, crop_box, decoded, random_resized_crop
from pretrain_trainer.objectives import draws

Color = tuple[int, int, int]
QUADRANTS: tuple[Color, ...] = ((200, 30, 40), (20, 180, 60), (30, 50, 220), (240, 230, 20))
"""Top left, top right, bottom left, bottom right."""
TRANSPOSED = {  # what a camera stores so that its orientation brings QUADRANTS back
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def quadrants(size: tuple[int, int] = (48, 32)) -> Image.Image:
    image = Image.new("RGB", size)
    for number, color in enumerate(QUADRANTS):
        left, top = number % 2 * size[0] // 2, number // 2 * size[1] // 2
        image.paste(color, (left, top, left + size[0] // 2, top + size[1] // 2))
    return image


def saved(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def jpeg(image: Image.Image, **options: object) -> bytes:
    return saved(image, "JPEG", quality=95, subsampling=0, **options)


def corners(image: Image.Image) -> list[Color]:
    width, height = image.size
    at = ((width // 4, height // 4), (3 * width // 4, height // 4))
    at += ((width // 4, 3 * height // 4), (3 * width // 4, 3 * height // 4))
    return [image.getpixel(place) for place in at]  # type: ignore[misc]


def is_close(found: Color, expected: Color, by: int) -> bool:
    return all(abs(a - b) <= by for a, b in zip(found, expected, strict=True))


def exif(entries: bytes, count: int = 1, order: bytes = b"II*\0\x08\0\0\0") -> bytes:
    form = "<H" if order.startswith(b"II") else ">H"
    return b"Exif\0\0" + order + struct.pack(form, count) + entries + b"\0\0\0\0"


def ycck(color: Color) -> bytes:
    """A JPEG of one colour as Photoshop writes it: inverted CMYK without black, and of it YCC. Pillow writes none."""
    inverted = Image.new("RGB", (1, 1), tuple(255 - part for part in color)).convert("YCbCr").getpixel((0, 0))
    assert isinstance(inverted, tuple)
    content = jpeg(Image.new("CMYK", (16, 16), (*(255 - int(part) for part in inverted), 0)))
    at = content.index(b"Adobe") + 11
    return content[:at] + b"\x02" + content[at + 1 :]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(size: tuple[int, int], bits: int, color: int, rows: bytes, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, color, 0, 0, 0))
    ends = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + ends


def palette_with_transparency() -> bytes:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putpixel((1, 0), 1)
    return saved(image, transparency=1)


def with_alpha() -> bytes:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 102))
    return saved(image)


def animated(form: str) -> bytes:
    frames = [Image.new("RGB", (4, 4), color) for color in ((255, 0, 0), (0, 0, 255))]
    options = {"lossless": True} if form == "WEBP" else {}
    return saved(frames[0], form, save_all=True, append_images=frames[1:], duration=100, **options)


def one_bit() -> bytes:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    return saved(image)


GREY_16 = png((4, 1), 16, 0, b"\0" + struct.pack(">4H", 0, 300, 40000, 65535))
PIXELS: dict[str, tuple[bytes, list[Color]]] = {
    "grey": (saved(Image.new("L", (2, 1), 77)), [(77, 77, 77)] * 2),
    "one bit": (one_bit(), [(0, 0, 0), (255, 255, 255)]),
    "16-bit grey": (GREY_16, [(0,) * 3, (1,) * 3, (156,) * 3, (255,) * 3]),
    "16-bit grey, one value transparent": (
        png((2, 1), 16, 0, b"\0" + struct.pack(">2H", 300, 301), chunk(b"tRNS", struct.pack(">H", 300))),
        [(255,) * 3, (1,) * 3],
    ),
    "16-bit colour": (png((1, 2), 16, 2, b"".join(b"\0" + struct.pack(">3H", 0, v, 65535) for v in (0, 40000))), [(0, 0, 255), (0, 156, 255)]),
    "16-bit grey with alpha": (png((2, 1), 16, 4, b"\0" + struct.pack(">4H", 0, 65535, 9, 0)), [(0,) * 3, (255,) * 3]),
    "palette": (saved(Image.new("RGB", (2, 1), (9, 8, 7)).quantize(2)), [(9, 8, 7)] * 2),
    "palette with transparency": (palette_with_transparency(), [(10, 20, 30), (255, 255, 255)]),
    "alpha": (with_alpha(), [(255, 0, 0), (153, 153, 153)]),
    "grey with alpha": (saved(Image.new("LA", (2, 1), (0, 0))), [(255, 255, 255)] * 2),
    "one colour transparent": (
        png((2, 1), 8, 2, b"\0\1\2\3\4\5\6", chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))),
        [(255, 255, 255), (4, 5, 6)],
    ),
    "animated GIF": (animated("GIF"), [(255, 0, 0)] * 16),
    "animated WebP": (animated("WEBP"), [(255, 0, 0)] * 16),
    "animated PNG": (animated("PNG"), [(255, 0, 0)] * 16),
    "lossless WebP with alpha": (
        saved(Image.new("RGBA", (2, 1), (0, 0, 0, 0)), "WEBP", lossless=True, exact=True),
        [(255, 255, 255)] * 2,
    ),
    "BMP": (saved(Image.new("RGB", (2, 1), (1, 2, 3)), "BMP"), [(1, 2, 3)] * 2),
    "a line": (saved(Image.new("RGB", (1, 3), (1, 2, 3))), [(1, 2, 3)] * 3),
}  # fmt: skip

ENOUGH = saved(quadrants((64, 64)))
BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it is empty"),
    "text": (b"<html>404 Not Found</html>", "it is none of JPEG, PNG, WEBP, GIF, BMP, AVIF, or its header is damaged"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "it is none of JPEG"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "it is none of JPEG"),
    "JPEG cut short": (jpeg(quadrants((256, 256)))[:1500], "it cannot be decoded: image file is truncated"),
    "JPEG of its header": (jpeg(quadrants())[:30], "it cannot be decoded: Truncated File Read"),
    "PNG cut short": (ENOUGH[:-30], "it cannot be decoded: "),
    "PNG without an end": (ENOUGH[:-12], "it cannot be decoded: "),
    "PNG with a wrong checksum of its pixels": (
        ENOUGH[:-13] + bytes([ENOUGH[-13] ^ 1]) + ENOUGH[-12:],
        "it cannot be decoded: broken PNG file (bad header checksum in b'IDAT')",
    ),
    "PNG with a wrong checksum of its header": (ENOUGH[:29] + b"\0\0\0\0" + ENOUGH[33:], "it is none of JPEG"),
    "PNG with broken pixels": (png((9, 9), 8, 2, b"\0" * 20), "it cannot be decoded: "),
    "GIF cut short": (animated("GIF")[:40], "it "),
    "WebP cut short": (animated("WEBP")[:60], "it "),
    "AVIF cut short": (saved(quadrants(), "AVIF")[:-200], "it "),
    "BMP cut short": (saved(quadrants(), "BMP")[:100], "it cannot be decoded: "),
    "no pixels": (png((0, 5), 8, 2, b""), "it is none of JPEG"),
    "a pixel": (saved(Image.new("RGB", (1, 1))), "it is a single pixel"),
    "bomb": (png((100_000, 100_000), 8, 2, b""), "it is too large: "),
    "small bomb": (
        png((MOST_PIXELS + 1, 1), 8, 2, b""),
        "it is too large: 89,478,486 x 1 pixels are more than the 89,478,485 that are decoded",
    ),
    "GIF bomb": (b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0), "it "),
    "WebP bomb": (
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<II", 10, 0) + b"\xff\x3f\0" * 2,
        "it ",
    ),
}  # fmt: skip


def broken(payload: bytes) -> str:
    with pytest.raises(BrokenImage) as refused:
        decoded(payload)
    return str(refused.value)


class TestDecoded:
    @pytest.mark.parametrize("case", PIXELS)
    def test_pixels_are_right(self, case: str) -> None:
        payload, expected = PIXELS[case]
        image = decoded(payload)
        assert image.mode == "RGB"
        assert [tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()] == expected

    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}])
    def test_jpegs(self, options: dict[str, bool]) -> None:
        found = corners(decoded(jpeg(quadrants(), **options)))
        assert all(is_close(a, b, by=4) for a, b in zip(found, QUADRANTS, strict=True)), found

    def test_avif(self) -> None:
        found = corners(decoded(saved(quadrants(), "AVIF", quality=95, subsampling="4:4:4")))
        assert all(is_close(a, b, by=8) for a, b in zip(found, QUADRANTS, strict=True)), found

    @pytest.mark.parametrize("color", [*QUADRANTS, (255, 255, 255), (0, 0, 0)])
    def test_cmyk_and_ycck_jpegs(self, color: Color) -> None:
        cmyk = Image.new("CMYK", (16, 16), (*(255 - part for part in color), 0))
        for payload in (jpeg(cmyk), ycck(color)):
            with Image.open(io.BytesIO(payload)) as stored:
                assert stored.mode == "CMYK"
            found = decoded(payload).getpixel((8, 8))
            assert is_close(found, color, by=4), (found, color)  # type: ignore[arg-type]

    def test_black_of_cmyk_darkens(self) -> None:
        found = decoded(jpeg(Image.new("CMYK", (16, 16), (0, 0, 0, 200)))).getpixel((8, 8))
        assert is_close(found, (55, 55, 55), by=2)  # type: ignore[arg-type]

    @pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize("orientation", TRANSPOSED)
    def test_is_upright(self, orientation: int, form: str) -> None:
        turn = TRANSPOSED[orientation]
        stored = quadrants() if turn is None else quadrants().transpose(turn)
        tag = Image.Exif()
        tag[0x0112] = orientation
        options = {"lossless": True} if form == "WEBP" else {"quality": 95, "subsampling": 0}
        image = decoded(saved(stored, form, exif=tag.tobytes(), **options))
        assert image.size == (48, 32)
        found = corners(image)
        assert all(is_close(a, b, by=4) for a, b in zip(found, QUADRANTS, strict=True)), found

    @pytest.mark.parametrize(
        "tags",
        {
            "big-endian": exif(struct.pack(">HHIHH", 0x0112, 3, 1, 3, 0), order=b"MM\0*\0\0\0\x08"),
            "a long number": exif(struct.pack("<HHII", 0x0112, 4, 1, 3)),
            "behind others": exif(struct.pack("<HHII", 0x0100, 4, 1, 9) + struct.pack("<HHIHH", 0x0112, 3, 1, 3, 0), 2),
        }.values(),
        ids=["big-endian", "a long number", "behind others"],
    )
    def test_is_upright_by_unusual_tags(self, tags: bytes) -> None:
        found = corners(decoded(jpeg(quadrants().transpose(Image.Transpose.ROTATE_180), exif=tags)))
        assert is_close(found[0], QUADRANTS[0], by=4)

    @pytest.mark.filterwarnings("ignore:.*EXIF.*:UserWarning")  # Pillow's, as it looks for the resolution
    @pytest.mark.parametrize(
        "tags",
        {
            "empty": b"Exif\0\0",
            "no order": b"Exif\0\0XX*\0\x08\0\0\0",
            "cut short": exif(struct.pack("<HHII", 0x0112, 3, 1, 6))[:23],
            "many entries": exif(b"\0" * 24, 65535),
            "directory far behind": exif(b"", 0, b"II*\0\xff\xff\xff\xff"),
            "no such orientation": exif(struct.pack("<HHII", 0x0112, 3, 1, 9)),
            "orientation 0": exif(struct.pack("<HHII", 0x0112, 3, 1, 0)),
            "noise": b"Exif\0\0" + bytes(range(256)),
        }.values(),
        ids=str,
    )
    def test_broken_exif_is_ignored(self, tags: bytes) -> None:
        found = corners(decoded(jpeg(quadrants(), exif=tags)))
        assert is_close(found[0], QUADRANTS[0], by=4)

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    @pytest.mark.parametrize("case", BROKEN)
    def test_says_what_is_wrong(self, case: str) -> None:
        payload, what = BROKEN[case]
        assert broken(payload).startswith(what)

    def test_bombs_are_refused_where_warnings_are_errors(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert broken(BROKEN["small bomb"][0]).startswith("it is too large: ")

    @pytest.mark.filterwarnings("ignore::UserWarning")
    @pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP"])
    def test_random_damage_raises_nothing_else(self, form: str) -> None:
        whole, rng = saved(quadrants(), form), np.random.default_rng(3)
        for _ in range(150):
            damaged = bytearray(whole[: rng.integers(1, len(whole) + 1)])
            for at in rng.integers(0, len(damaged), 3).tolist():
                damaged[at] = int(rng.integers(256))
            with contextlib.suppress(BrokenImage):
                assert decoded(bytes(damaged)).mode == "RGB"


def drawn(count: int, seed: int = 1) -> np.ndarray:
    return draws.uniform(seed, 7, np.arange(count), CROP_DRAWS)


class TestRandomResizedCrop:
    @pytest.mark.parametrize("size", [(48, 32), (1, 1), (1, 300), (300, 1), (2, 3), (5, 1000)])
    def test_is_always_of_that_size(self, size: tuple[int, int]) -> None:
        for numbers in (*drawn(20), np.zeros(CROP_DRAWS), np.full(CROP_DRAWS, np.nextafter(1.0, 0.0))):
            found = random_resized_crop(quadrants(size), 24, numbers)
            assert (found.shape, found.dtype) == ((24, 24, 3), np.uint8)

    def test_equal_draws_cut_equally_and_others_do_not(self) -> None:
        image = quadrants()
        one, again, other = (random_resized_crop(image, 16, drawn(2)[n]) for n in (0, 0, 1))
        assert (one == again).all()
        assert (one != other).any()

    def test_is_the_part_of_the_box(self) -> None:
        image, numbers = quadrants((100, 80)), drawn(1)[0]
        left, top, right, bottom = crop_box(100, 80, numbers)
        expected = image.crop((left, top, right, bottom)).resize((9, 9), Image.Resampling.BILINEAR)
        assert (random_resized_crop(image, 9, numbers) == np.asarray(expected)).all()

    def test_threads_cut_equally(self) -> None:
        image, numbers = quadrants(), drawn(64)
        cut: Callable[[np.ndarray], np.ndarray] = lambda own: random_resized_crop(image, 16, own)  # noqa: E731
        with ThreadPoolExecutor(4) as pool:
            threaded = list(pool.map(cut, numbers))
        assert all((a == b).all() for a, b in zip(threaded, map(cut, numbers), strict=True))


class TestCropBox:
    def test_area_is_uniform_and_ratio_log_uniform(self) -> None:
        # Of a large square, in which parts of up to three quarters of its area always fit.
        boxes = np.array([crop_box(2000, 2000, own, (0.08, 0.75)) for own in drawn(4000)])
        widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        areas, ratios = widths * heights / 4e6, np.log(widths / heights)
        for values, low, high in ((areas, 0.08, 0.75), (ratios, math.log(3 / 4), math.log(4 / 3))):
            assert low - 0.001 <= values.min() <= values.max() <= high + 0.001
            # A uniform sample of 4,000: four standard errors of mean and of standard deviation.
            span = high - low
            assert abs(values.mean() - (low + high) / 2) < 4 * span / math.sqrt(12 * 4000)
            assert abs(values.std() - span / math.sqrt(12)) < 0.01 * span

    def test_places_are_uniform(self) -> None:
        boxes = np.array([crop_box(1000, 600, own) for own in drawn(4000)])
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] <= (1000, 600)).all()
        for low, high, whole in ((0, 2, 1000), (1, 3, 600)):
            free = whole - (boxes[:, high] - boxes[:, low])
            places = boxes[:, low][free > 50] / free[free > 50]
            assert abs(places.mean() - 0.5) < 0.03
            assert abs(places.std() - math.sqrt(1 / 12)) < 0.02

    @pytest.mark.parametrize(
        ("size", "box"), [((1000, 10), (493, 0, 506, 10)), ((10, 1000), (0, 493, 10, 506)), ((1, 1), (0, 0, 1, 1))]
    )
    def test_of_an_image_that_is_too_narrow_it_is_the_middle(
        self, size: tuple[int, int], box: tuple[int, int, int, int]
    ) -> None:
        assert crop_box(*size, np.full(CROP_DRAWS, 0.999)) == box
