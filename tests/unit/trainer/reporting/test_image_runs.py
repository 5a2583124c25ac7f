"""Reports and model cards of runs that learn from images: told in images, with pictures, beside who has learnt nothing."""

import base64
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import image_runs

from pretrain_api import layout
from pretrain_api.commits import Commit, WeightSegment
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_trainer.reporting import card, image_figures, pictures, records
from pretrain_trainer.reporting.records import RunRecords
from pretrain_trainer.reporting.types import BaselinesReport, PictureReport, SourceEvaluation
from pretrain_trainer.reporting.write import write

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
PICTURE = {
    "name": "reconstructions", "title": "Reconstructions", "about": 'What a model sees in "2 < 3".',
    "path": "evaluation/e-reconstructions.png",
}  # fmt: skip
FIGURES: dict[str, Any] = {
    "loss": 0.784, "images": 5, "classes": 9, "knnAccuracy": 0.431, "linearAccuracy": 0.7,
    "baselines": {
        "randomKnnAccuracy": 0.441, "randomLinearAccuracy": 0.5, "pixelsKnnAccuracy": 0.575,
        "pixelsLinearAccuracy": 0.6, "mostFrequent": 0.25,
    },
}  # fmt: skip


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "orange").save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def run(tmp_path: Path) -> RunRecords:
    """A run up to Evaluate: 30 images and one record without; three steps of six images, a second each."""
    job = image_runs.a_job(
        tmp_path / "run", {"digits": image_runs.written(tmp_path / "tars", [*image_runs.digits(30), {"json": b"{}"}])}
    )
    storage = Storage(str(tmp_path / "run"))
    image_runs.record(job, details={"bySource": image_runs.encode(job, tmp_path)})
    for step in (1, 2, 3):
        history = f"{layout.CHECKPOINT_HISTORY}/{'e' * 16}/{step}.jsonl"
        line = {
            "step": step, "loss": 1.0 / step, "tokens": 0, "tokensPerSecond": 0.0, "secondsPerStep": 0.5,
            "bySource": {"digits": 1.0 / step}, "read": {"samples": [6 * step - 6, 6 * step]},
        }  # fmt: skip
        storage.write_bytes(history, json.dumps(line).encode())
        commit = Commit(
            sequence=step, fingerprint="e" * 16, generation=1, step=step, samples=6 * step, tokens=0, final=step == 3,
            data="checkpoints/data/one", manifest_sha256="", history=history, time=NOW, nonce="",
            segments=(WeightSegment(start=0, weights=(1.0,)),),
        )  # fmt: skip
        storage.create_exclusive(layout.commit(step), commit.model_dump_json().encode())
    trained = {"step": 3, "samples": 18, "tokens": 0, "parameters": 5000, "finalLoss": 0.333, "parametersSha256": "ab"}
    image_runs.record(job, Stage.TRAIN, details=trained)
    evaluated = {"version": 1, "bySource": {"digits": FIGURES}, "samples": [], "pictures": [PICTURE]}
    image_runs.record(job, Stage.EVALUATE, details=evaluated)
    storage.write_bytes(PICTURE["path"], png())
    return records.find(storage)


def text_of(run: RunRecords) -> str:
    """What is to be read on the page."""
    page = run.storage.read_bytes(layout.REPORT_HTML).decode()
    body = re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"(<[^>]*>|\s)+", " ", body)


class TestThePage:
    def test_is_told_in_images(self, run: RunRecords) -> None:
        write(run, "Succeeded", NOW)
        text = text_of(run)
        assert "Images seen 18" in text
        assert "Throughput 12 images/s" in text
        assert "Held-out images, k-NN 43.1 % right" in text
        assert "Final loss 0.333 Steps" in text or "Final loss 0.333 Held-out" in text
        assert "Images per second, all ranks." in text
        assert "Step Images Loss digits Learning rate Gradient norm Images/s 1 6 1.0000 1.0000 12 2 12 0.5000" in text

    def test_has_no_word_of_tokens_documents_or_unigrams(self, run: RunRecords) -> None:
        write(run, "Succeeded", NOW)
        text = text_of(run).partition("Settings")[0].lower()
        assert [word for word in ("tokens", "document", "unigram", "nats", "perplexity", "gzip") if word in text] == []

    def test_has_the_mixture_in_images(self, run: RunRecords) -> None:
        write(run, "Succeeded", NOW)
        source = run.storage.read_json(layout.REPORT_JSON)["sources"]["digits"]
        assert source["samplesSeen"] == 18
        assert source["trainSamples"] + source["validationSamples"] == 30
        row = f"digits 100.00 100.00 18 {18 / source['trainSamples']:.2f} {source['trainSamples']} "
        assert f"Images seen Epochs Images in an epoch Held out {row}{source['validationSamples']}" in text_of(run)

    def test_tells_which_records_are_neither_trained_on_nor_held_out(self, run: RunRecords) -> None:
        write(run, "Succeeded", NOW)
        assert "digits read 31 100 removed: without an image 1 3.23 kept 30 96.77" in text_of(run)

    def test_sets_the_model_beside_random_weights_and_pixels(self, run: RunRecords) -> None:
        write(run, "Succeeded", NOW)
        text = text_of(run)
        assert "This model random weights raw pixels" in text
        assert "digits k-NN accuracy 43.1 44.1 57.5 digits linear accuracy 70.0 50.0 60.0" in text
        page = run.storage.read_bytes(layout.REPORT_HTML).decode()
        assert re.findall(r'best">([0-9.]+)', page) == ["57.5", "70.0"]

    def test_holds_the_pictures_whole_with_what_is_to_be_seen(self, run: RunRecords) -> None:
        write(run, "Succeeded", NOW)
        page = run.storage.read_bytes(layout.REPORT_HTML).decode()
        assert page.count("<img ") == 1
        assert f'<img src="data:image/png;base64,{base64.b64encode(png()).decode()}"' in page
        assert 'alt="What a model sees in &#34;2 &lt; 3&#34;."' in page
        assert '<a href="#pictures">Pictures</a>' in page
        assert run.storage.read_json(layout.REPORT_JSON)["pictures"] == [PICTURE]

    def test_goes_without_a_picture_that_is_gone(self, run: RunRecords) -> None:
        run.storage.remove(PICTURE["path"])
        write(run, "Succeeded", NOW)
        page = run.storage.read_bytes(layout.REPORT_HTML).decode()
        assert "<img " not in page
        assert "#pictures" not in page

    def test_names_where_the_shards_come_from(self, run: RunRecords) -> None:
        write(run, "Succeeded", NOW)
        sha256 = run.manifests()["digits"].sha256  # type: ignore[union-attr]
        assert re.search(rf"manifest.json not stated 3 [0-9.]+ KB {sha256}", text_of(run))

    def test_of_a_run_that_has_only_begun_is_written_too(self, run: RunRecords) -> None:
        begun = RunRecords(run.storage, run.job, {})
        write(begun, "Encoding", NOW)
        assert "Mixture" in text_of(begun)


class TestTheCard:
    def test_has_figures_baselines_and_pictures_beside_it(self, run: RunRecords) -> None:
        shown = pictures.read(run.storage, [PictureReport(**PICTURE)])
        text = card.render(run, "float32", 0.0, shown)
        assert "| source | figure | this model | random weights | raw pixels |" in text
        assert "| digits | k-NN accuracy | 0.431 | 0.441 | 0.575 |" in text
        assert "![Reconstructions](reconstructions.png)" in text
        assert "dataset:\n      name: digits, held-out images" in text
        assert "tokens" not in text

    def test_its_tables_have_as_many_cells_in_each_row(self, run: RunRecords) -> None:
        text = card.render(run, "float32", 0.0)
        tables = [part.splitlines() for part in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)]
        assert len(tables) == 3
        for rows in tables:
            assert len({row.count("|") for row in rows}) == 1, rows


def an_evaluation(**figures: Any) -> SourceEvaluation:
    return SourceEvaluation.model_validate({**FIGURES, **figures})


class TestCompared:
    def test_leaves_out_baselines_that_nobody_has(self) -> None:
        alone = an_evaluation(baselines=BaselinesReport(random_knn_accuracy=0.2))
        found = image_figures.compared({"a": alone})
        assert found.headings == ["random weights"]
        assert [(row.figure, row.model, row.others) for row in found.rows] == [
            ("k-NN accuracy", 0.431, [0.2]),
            ("linear accuracy", 0.7, [None]),
        ]

    def test_has_no_rows_and_no_plot_without_labels(self) -> None:
        found = image_figures.compared({"a": SourceEvaluation(loss=1, images=3, baselines=BaselinesReport())})
        assert (found.rows, image_figures.plot(found)) == ([], [])

    def test_is_drawn_source_by_source_where_there_are_several(self) -> None:
        (plot,) = image_figures.plot(image_figures.compared({"a": an_evaluation(), "b": an_evaluation()}))
        assert [trace["name"] for trace in plot.traces] == ["this model", "random weights", "raw pixels"]
        assert plot.traces[0]["x"][:3] == ["a, k-NN accuracy", "a, linear accuracy", "b, k-NN accuracy"]
        assert plot.traces[2]["y"][0] == pytest.approx(57.5)
