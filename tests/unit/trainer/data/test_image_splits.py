"""Which records of given tars are trained on, held out or neither."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import image_runs
from support.given_shards import index
from support.image_runs import Record
from support.tars import npy, tar
from support.token_runs import UPSTREAM

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.image_shards import HELD_OUT, LEFT_OUT, ImageManifest
from pretrain_api.storage import Storage

PNG = image_runs.digits(1)[0]["png"]
CLIP: dict[str, Any] = {"objective": {"clip": {}}}


def a_job(folder: Path, records: list[Record], fields: str = "", fraction: float = 0.2, **spec: Any) -> dict[str, Any]:
    job = image_runs.a_job(folder / "run", {"some": image_runs.written(folder / "tars", records)}, **spec)
    job["spec"]["data"]["validation"]["fraction"] = fraction
    if fields:
        job["spec"]["data"]["sources"][0]["fields"] = {"text": fields}
    return job


def split(job: dict[str, Any], scratch: Path) -> tuple[ImageManifest, list[int], list[int]]:
    """The manifest that Encode writes, and the numbers of the records held out and left out."""
    image_runs.encode(job, scratch)
    storage, folder = Storage(job["spec"]["storage"]["uri"]), layout.shards(UPSTREAM["Encode"], "some")
    manifest = ImageManifest.model_validate(storage.read_json(f"{folder}/{layout.MANIFEST}"))
    held_out, left_out = (np.load(storage.path(f"{folder}/{name}")).tolist() for name in (HELD_OUT, LEFT_OUT))
    return manifest, held_out, left_out


def refused(job: dict[str, Any], scratch: Path) -> str:
    with pytest.raises(UserError) as error:
        image_runs.encode(job, scratch)
    return str(error.value)


class TestHeldOut:
    def test_is_about_the_fraction_by_the_names_of_records_alone(self, tmp_path: Path) -> None:
        digits = image_runs.digits(400)
        manifest, held_out, left_out = split(a_job(tmp_path, list(digits)), tmp_path)
        assert 50 <= len(held_out) <= 110
        assert (manifest.train.samples, manifest.validation.samples) == (400 - len(held_out), len(held_out))
        assert (left_out, manifest.left_out, manifest.records) == ([], {}, 400)
        # Other images of the same names, in tars of the same names elsewhere: the same records.
        other = image_runs.a_job(tmp_path / "b", {"some": image_runs.written(tmp_path / "o", digits[::-1])})
        assert split(other, tmp_path)[1] == held_out

    def test_more_of_them_hold_those_of_a_smaller_fraction(self, tmp_path: Path) -> None:
        job = a_job(tmp_path, list(image_runs.digits(200)), fraction=0.1)
        few = split(job, tmp_path)[1]
        job["spec"]["data"]["validation"]["fraction"] = 0.4
        assert set(few) < set(split(job, tmp_path)[1])

    def test_is_nothing_where_the_job_says_so(self, tmp_path: Path) -> None:
        assert split(a_job(tmp_path, list(image_runs.digits(20)), fraction=0.0), tmp_path)[1] == []

    def test_a_second_run_writes_the_same_bytes(self, tmp_path: Path) -> None:
        job = a_job(tmp_path, list(image_runs.digits(30)))
        folder = tmp_path / "run" / layout.shards(UPSTREAM["Encode"], "some")
        split(job, tmp_path)
        before = {file.name: file.read_bytes() for file in folder.iterdir()}
        split(job, tmp_path)
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


class TestLeftOut:
    def test_are_records_without_an_image_and_counted(self, tmp_path: Path) -> None:
        records = [*image_runs.digits(8), {"txt": b"no image"}, *image_runs.digits(3), {"json": b"{}"}]
        manifest, held_out, left_out = split(a_job(tmp_path, records), tmp_path)
        assert (left_out, manifest.left_out) == ([8, 12], {"without an image": 2})
        assert not set(held_out) & set(left_out)

    def test_are_records_without_a_caption_where_one_is_wanted(self, tmp_path: Path) -> None:
        records: list[Record] = [{"png": PNG, "txt": b"a"}, {"png": PNG}, {"txt": b"b"}, {"png": PNG, "txt": b"c"}]
        manifest, _, left_out = split(a_job(tmp_path, records, fields="txt", fraction=0.0, **CLIP), tmp_path)
        assert (left_out, manifest.caption) == ([1, 2], "txt")
        assert manifest.left_out == {"without an image": 1, "without a caption": 1}

    def test_are_none_for_want_of_a_caption_where_none_is_read(self, tmp_path: Path) -> None:
        records: list[Record] = [{"png": PNG, "txt": b"a"}, {"png": PNG}]
        manifest, _, left_out = split(a_job(tmp_path, records, fraction=0.0), tmp_path)
        assert (left_out, manifest.caption) == ([], "")


class TestImages:
    def test_one_alone_comes_before_masks_and_thumbnails(self, tmp_path: Path) -> None:
        records: list[Record] = [{"seg.png": PNG, "webp": PNG}, {"seg.png": PNG, "webp": PNG}]
        assert split(a_job(tmp_path, records, fraction=0.0), tmp_path)[0].images == ("webp", "seg.png")

    def test_lie_at_an_address_also_where_the_job_has_a_path_from_here(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = a_job(tmp_path, list(image_runs.digits(9)))
        monkeypatch.chdir(tmp_path)
        job["spec"]["data"]["sources"][0]["shards"] = "tars/manifest.json"
        assert split(job, tmp_path)[0].uri == (tmp_path / "tars" / "manifest.json").as_uri()


class TestRefused:
    def test_shards_without_images_with_what_they_hold(self, tmp_path: Path) -> None:
        said = refused(a_job(tmp_path, [{"txt": b"a"}, {"txt": b"b", "json": b"{}"}]), tmp_path)
        assert said.startswith("spec.data.sources[0].shards: the records of ")
        assert said.endswith(
            "hold no images, but json, txt. Name images by what they are: .jpg, .jpeg, .png or .webp. "
            "[shards-without-images]"
        )

    def test_shards_of_arrays_of_tokens(self, tmp_path: Path) -> None:
        folder = tmp_path / "tokens"
        folder.mkdir()
        (folder / "0.tar").write_bytes(tar({"a.npy": npy(np.arange(5, dtype=np.uint16))}))
        index(folder)
        job = image_runs.a_job(tmp_path / "run", {"some": folder / layout.MANIFEST})
        assert "hold no images, but npy" in refused(job, tmp_path)

    def test_shards_without_the_caption_that_is_wanted(self, tmp_path: Path) -> None:
        said = refused(a_job(tmp_path, [{"png": PNG, "txt": b"a"}], fields="cls", **CLIP), tmp_path)
        assert "have no member or JSON field 'cls', but png, txt" in said
        assert said.endswith("[shards-without-captions]")

    def test_shards_of_which_nothing_is_left_to_train_on(self, tmp_path: Path) -> None:
        records: list[Record] = [{"png": PNG}, {"txt": b"a"}, {"txt": b"b"}]
        said = refused(a_job(tmp_path, records, fields="txt", **CLIP), tmp_path)
        assert "of 3 records 2 without an image, 1 without a caption" in said
        assert said.endswith("[too-few-images]")

    def test_a_manifest_that_is_gone(self, tmp_path: Path) -> None:
        job = image_runs.a_job(tmp_path / "run", {"some": tmp_path / "nowhere" / layout.MANIFEST})
        assert refused(job, tmp_path).startswith("spec.data.sources[0].shards: ")

    def test_a_manifest_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / layout.MANIFEST).write_text(json.dumps({"kind": "images"}))
        job = image_runs.a_job(tmp_path / "run", {"some": tmp_path / layout.MANIFEST})
        assert refused(job, tmp_path).startswith("spec.data.sources[0].shards: ")
