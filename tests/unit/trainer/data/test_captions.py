"""A tokenizer's sample of captions: those of training alone, the same in every run, without reading an image."""

from pathlib import Path
from typing import Any

import pytest
from support import image_runs
from support.image_runs import Record
from support.prepared import a_context

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJob
from pretrain_trainer.data import captions, image_splits
from pretrain_trainer.data.foreign import SampleShards
from pretrain_trainer.data.image_splits import Divided

PNG = image_runs.digits(1)[0]["png"]


def source(folder: Path, records: list[Record], **fields: Any) -> Divided:
    job = image_runs.a_job(
        folder / "run", {"some": image_runs.written(folder / "tars", records)}, objective={"clip": {}}
    )
    job["spec"]["data"]["sources"][0]["fields"] = fields
    context = a_context(PretrainJob.model_validate(job), folder, "t" * 16, {Stage.PREPARE: "p" * 16})
    (found,) = image_splits.divided(context)
    return found


def some(count: int) -> list[Record]:
    return [{"png": PNG, "txt": f"caption {number}".encode()} for number in range(count)]


def test_it_has_the_captions_of_training_each_once_and_none_that_is_held_out(tmp_path: Path) -> None:
    found = source(tmp_path, some(60))
    sample = list(captions.sample_captions(found, 1 << 20))
    held_out = {f"caption {number}" for number in found.held_out.tolist()}
    assert held_out
    assert sorted(sample) == sorted({f"caption {number}" for number in range(60)} - held_out)
    assert sample != sorted(sample)
    assert list(captions.sample_captions(found, 1 << 20)) == sample


def test_it_never_has_more_bytes_than_asked_for_and_is_a_random_part_of_the_whole(tmp_path: Path) -> None:
    found = source(tmp_path, some(60))
    whole = list(captions.sample_captions(found, 1 << 20))
    part = list(captions.sample_captions(found, 100))
    assert part == whole[: len(part)]
    assert 80 < sum(len(text) for text in part) <= 100
    assert list(captions.sample_captions(found, 0)) == []


def test_records_without_a_caption_or_with_a_damaged_one_are_passed_by(tmp_path: Path) -> None:
    records = some(20)
    records[3] = {"png": PNG}
    records[5] = {"png": PNG, "txt": b"   "}
    records[7] = {"png": PNG, "txt": b"\xff\xfe"}
    found = source(tmp_path, records)
    left = {f"caption {n}" for n in range(20) if n not in (3, 5, 7)} - {f"caption {n}" for n in found.held_out.tolist()}
    tar = tmp_path / "tars" / "000.tar"
    content = tar.read_bytes()
    number = next(n for n in range(7) if f"caption {n}" in left)
    tar.write_bytes(content.replace(f"caption {number}".encode(), b"damage! 0"[: len(f"caption {number}")]))
    assert set(captions.sample_captions(found, 1 << 20)) == left - {f"caption {number}"}


def test_it_takes_the_field_that_the_source_names(tmp_path: Path) -> None:
    records: list[Record] = [{"png": PNG, "json": f'{{"title": "Title {n}"}}'.encode()} for n in range(12)]
    sample = list(captions.sample_captions(source(tmp_path, records, text="title"), 1 << 20))
    assert sample
    assert all(text.startswith("Title ") for text in sample)


def test_no_image_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = source(tmp_path, some(12)), list[int]()
    content = SampleShards._content
    monkeypatch.setattr(SampleShards, "_content", lambda *given: asked.append(given[-1] - given[-2]) or content(*given))
    assert list(captions.sample_captions(found, 1 << 20))
    assert max(asked) <= len("caption 10")
