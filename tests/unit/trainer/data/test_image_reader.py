"""Images by number from the tars where they lie, and what becomes of those that are none."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import image_runs
from support.image_runs import Record
from support.token_runs import UPSTREAM

from pretrain_api import layout
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob
from pretrain_trainer.data import opened
from pretrain_trainer.data.foreign import SampleShards
from pretrain_trainer.data.image_reader import ImageReader
from pretrain_trainer.data.image_samples import ImageSamples
from pretrain_trainer.data.indexes import CorruptShard
from pretrain_trainer.data.quarantine import Quarantine

PNG = image_runs.digits(1)[0]["png"]


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def grey16() -> bytes:
    return saved(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 900), "PNG")


def animated() -> bytes:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


def huge_png() -> bytes:
    """A few bytes that say that they are 60,000 pixels wide and high."""
    header = b"IHDR" + struct.pack(">II", 60_000, 60_000) + PNG[24:29]
    return PNG[:12] + header + struct.pack(">I", zlib.crc32(header)) + PNG[33:]


RGB = Image.new("RGB", (8, 8), "green")
SEEN = {
    "a JPEG in CMYK": saved(Image.new("CMYK", (8, 8)), "JPEG"),
    "16-bit grey": grey16(),
    "an animation": animated(),
    "broken EXIF": saved(RGB, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff and no more"),
    "a PNG that is called .jpg": PNG,
    "a line": saved(Image.new("RGB", (1, 9)), "PNG"),
}
BROKEN = {
    "nothing": (b"", "it is empty"),
    "a text": (b"<html>404 Not Found</html>", "it is none of JPEG, PNG"),
    "a single pixel": (saved(Image.new("RGB", (1, 1)), "PNG"), "it is a single pixel"),
    "a JPEG that was cut short": (saved(RGB.resize((64, 64)), "JPEG")[:300], "it cannot be decoded"),
    "a PNG whose pixels were changed": (PNG.replace(b"IDAT", b"IDAT\x01", 1), "it cannot be decoded"),
    "a decompression bomb": (huge_png(), "it is too large"),
    "a TIFF of floats": (saved(Image.new("F", (8, 8)), "TIFF"), "it is none of JPEG, PNG"),
}


class Given:
    """A run's source of these records, all of them to train on."""

    def __init__(self, folder: Path, records: list[Record], **spec: Any) -> None:
        self.manifest = image_runs.written(folder / "tars", records, shards=2)
        job = image_runs.a_job(folder / "run", {"some": self.manifest}, **spec)
        job["spec"]["data"]["validation"]["fraction"] = 0.0
        if "clip" in job["spec"]["objective"]:
            job["spec"]["data"]["sources"][0]["fields"] = {"text": "label"}
        image_runs.encode(job, folder)
        self.storage, self.spec = Storage(str(folder / "run")), PretrainJob.model_validate(job).spec

    def reader(self, most: int = 0, **options: Any) -> ImageReader:
        quarantine = Quarantine(self.storage, "f", most)
        places = opened.read(self.storage, self.spec, UPSTREAM["Encode"])
        made = opened.reader(self.storage, places, "train", quarantine, **options)
        assert isinstance(made, ImageReader)
        return made

    def notes(self) -> list[dict[str, Any]]:
        folder = f"{layout.QUARANTINE}/f"
        return [self.storage.read_json(f"{folder}/{name}") for name in self.storage.names(folder)]

    def damage(self, shard: str, old: bytes, new: bytes) -> None:
        tar = self.manifest.parent / shard
        tar.write_bytes(tar.read_bytes().replace(old, new))


def read(reader: ImageReader, *index: int) -> ImageSamples:
    return reader.read(np.zeros(len(index), dtype=np.int64), np.array(index, dtype=np.int64))


def sizes(samples: ImageSamples) -> list[tuple[int, int] | None]:
    return samples.decoded(lambda image, row: image.size)


class TestRead:
    def test_gives_the_files_in_the_order_asked_for(self, tmp_path: Path) -> None:
        digits = image_runs.digits(20)
        reader = Given(tmp_path, list(digits)).reader()
        found = read(reader, 7, 0, 19, 7)
        assert found.images == [digits[n]["png"] for n in (7, 0, 19, 7)]
        assert (found.captions, found.stand_ins.tolist()) == ([""] * 4, [False] * 4)

    def test_a_field_may_be_read_in_place_of_the_caption(self, tmp_path: Path) -> None:
        digits = image_runs.digits(10)
        found = read(Given(tmp_path, list(digits)).reader(field="label"), 3, 4)
        assert found.captions == [json.loads(digits[n]["json"])["label"] for n in (3, 4)]

    def test_what_was_announced_comes_as_it_would_have_without(self, tmp_path: Path) -> None:
        given = Given(tmp_path, list(image_runs.digits(30)))
        ahead, plain = given.reader(), given.reader()
        ahead._most = 4  # as far as one reads ahead of a store elsewhere
        order = [5, 3, 5, 28, 0, 1, 17, 3, 9, 9]
        ahead.announce(np.zeros(len(order), dtype=np.int64), np.array(order))
        for some in (order[:4], order[4:6], order[6:]):
            assert read(ahead, *some).images == read(plain, *some).images
        assert ahead.wants_more

    @pytest.mark.parametrize("most", [3, 50])
    def test_a_source_that_comes_round_is_not_asked_for_without_end_and_leaves_nothing_behind(
        self, tmp_path: Path, most: int
    ) -> None:
        digits = image_runs.digits(7)
        reader = Given(tmp_path, list(digits)).reader()
        reader._most = most
        order = [n % 7 for n in range(60)]
        announced = 0
        for begin in range(0, 60, 5):
            while reader.wants_more and announced < 60:
                reader.announce(np.zeros(5, dtype=np.int64), np.array(order[announced : announced + 5]))
                announced += 5
            announced_ahead = announced - begin
            assert announced_ahead < most + 5
            found = read(reader, *order[begin : begin + 5])
            assert found.images == [digits[n]["png"] for n in order[begin : begin + 5]]
        assert (reader._coming, list(reader._announced), reader._fetched) == ({}, [], 0)

    def test_a_sample_that_is_not_there_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(IndexError, match="samples 0 to 4"):
            read(Given(tmp_path, list(image_runs.digits(5))).reader(), 5)


class TestImages:
    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
    @pytest.mark.parametrize("case", SEEN)
    def test_that_people_see_are_seen(self, tmp_path: Path, case: str) -> None:
        given = Given(tmp_path, [{"jpg": SEEN[case]}, {"jpg": PNG}])
        assert None not in sizes(read(given.reader(), 0, 1))
        assert given.notes() == []

    @pytest.mark.parametrize("case", BROKEN)
    def test_that_are_none_are_left_out_and_written_down(self, tmp_path: Path, case: str) -> None:
        image, why = BROKEN[case]
        given = Given(tmp_path, [{"png": PNG}, {"png": PNG}, {"png": PNG}, {"png": image}])
        samples = read(given.reader(most=1), 3, 0)
        assert sizes(samples) == [None, (8, 8)]
        assert samples.stand_ins.tolist() == [True, False]
        (note,) = given.notes()
        assert (note["source"], note["record"], note["recordInSplit"], note["samples"]) == ("some", 1, 3, 1)
        assert note["shard"] == (given.manifest.parent / "001.tar").as_uri()
        assert note["fault"].startswith(f"holds an image that cannot be trained on: {why}")

    @pytest.mark.parametrize("case", BROKEN)
    def test_that_are_none_end_a_run_that_may_lose_nothing(self, tmp_path: Path, case: str) -> None:
        image, why = BROKEN[case]
        given = Given(tmp_path, [{"png": PNG}, {"png": image}])
        with pytest.raises(CorruptShard) as ended:
            sizes(read(given.reader(), 0, 1))
        assert why in str(ended.value)
        assert "set spec.data.maxBadRecords" in str(ended.value)

    def test_are_counted_up_to_the_bound_over_starts_and_each_once(self, tmp_path: Path) -> None:
        given = Given(tmp_path, [{"png": b"no"}, {"png": PNG}, {"png": b"no"}, {"png": b"no"}])
        assert sizes(read(given.reader(most=2), 0, 1, 0)) == [None, (8, 8), None]
        assert sizes(read(given.reader(most=2), 2, 0)) == [None, None]
        with pytest.raises(CorruptShard, match=r"makes 3 damaged records, more than spec.data.maxBadRecords \(2\)"):
            sizes(read(given.reader(most=2), 3))


class TestDamage:
    def test_a_record_that_is_not_what_its_index_says_is_left_out(self, tmp_path: Path) -> None:
        given = Given(tmp_path, list(image_runs.digits(6)))
        given.damage("000.tar", b"IDAT", b"IDAX")
        found = read(given.reader(most=3), 0, 5)
        assert (found.stand_ins.tolist(), found.images[0]) == ([True, False], b"")
        (note,) = given.notes()
        assert note["fault"].startswith("is damaged: ")

    def test_it_ends_a_run_that_may_lose_nothing(self, tmp_path: Path) -> None:
        given = Given(tmp_path, list(image_runs.digits(6)))
        given.damage("000.tar", b"IDAT", b"IDAX")
        with pytest.raises(CorruptShard, match=r"000\.tar, record 1 is damaged: "):
            read(given.reader(), 1)

    @pytest.mark.parametrize(("times", "lost"), [(2, False), (3, True)])
    def test_one_that_comes_right_when_it_is_read_again_is_not_damaged(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, lost: bool
    ) -> None:
        given, inner, left = Given(tmp_path, list(image_runs.digits(6))), SampleShards._span, [times]

        def spoilt(shards: SampleShards, *place: Any) -> tuple[bytes, int]:
            content, start = inner(shards, *place)
            left[0] -= 1
            return (content.replace(b"IDAT", b"IDAX") if left[0] >= 0 else content), start

        monkeypatch.setattr(SampleShards, "_span", spoilt)
        assert read(given.reader(most=1), 2).stand_ins.tolist() == [lost]


class TestCaptions:
    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            (b'{"label": ""}', "has an empty caption"),
            (b'{"label": " \\n"}', "has an empty caption"),
            (b'{"name": "x"}', "has no caption 'label', but json, png"),
            (b'{"label": null}', "has no caption 'label', but json, png"),
            (b'{"label": 7}', "has a caption that cannot be read: "),
            (b'{"label": ', "has a caption that cannot be read: "),
            (b'{"label": "\xff"}', "has a caption that cannot be read: "),
        ],
    )
    def test_that_are_none_leave_their_image_out(self, tmp_path: Path, content: bytes, fault: str) -> None:
        records: list[Record] = [{"png": PNG, "json": b'{"label": "six"}'}, {"png": PNG, "json": content}]
        given = Given(tmp_path, records, objective={"clip": {}})
        found = read(given.reader(most=1), 0, 1)
        assert (found.captions, found.stand_ins.tolist()) == (["six", ""], [False, True])
        (note,) = given.notes()
        assert note["fault"].startswith(fault)
