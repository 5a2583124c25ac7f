"""Figures and stories as people read them."""

import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pretrain_api import layout
from pretrain_api.events import ProgressEvent
from pretrain_api.stages import CompletionRecord, Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import Failure, Progress, RecoveryStatus, StageStatus
from pretrain_cli.display import image_table, story, summary
from pretrain_cli.display.lasting import LastingDisplay
from pretrain_cli.display.plain import PlainDisplay
from pretrain_cli.display.wording import Rate, amount, duration, progress, trained
from pretrain_operator.bodies.local.run import View
from pretrain_operator.brain import conditions

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.44, "1.4 s"), (42, "42 s"), (187, "3:07"), (3729, "1:02:09"), (59.9, "1:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(850, "documents", "850 documents"), (1_234_567, "tokens", "1.2 M tokens"), (12_345_678, "tokens", "12.3 M tokens"),
     (3_400_000, "bytes", "3.4 MB"), (12, "bytes", "12 B"), (5, "", "5")],
)  # fmt: skip
def test_amounts(value: float, unit: str, text: str) -> None:
    assert amount(value, unit) == text


class TestRate:
    def test_is_that_of_the_present_phase(self) -> None:
        rate = Rate("", 0, 0)
        for second, done in ((0, 100), (1, 150), (2, 300)):
            rate = rate.after(ProgressEvent(time=second, stage="Encode", phase="encode", done=done))
        assert rate.per_second == 100
        assert rate.after(ProgressEvent(time=3, stage="Encode", phase="shards", done=1)).per_second == 0

    def test_of_lines_in_one_burst_is_not_told(self) -> None:
        rate = Rate("", 0, 0)
        for second, done in ((5, 100), (5.001, 10_000_000)):
            rate = rate.after(ProgressEvent(time=second, stage="Encode", phase="encode", done=done))
        assert rate.per_second == 0


class TestProgress:
    def test_names_a_phase_unless_it_is_called_as_its_stage(self) -> None:
        event = ProgressEvent(time=1, stage="Encode", phase="shards", done=1, total=6, unit="shards")
        assert progress(Stage.ENCODE, event, Rate("", 0, 0)) == "shards, 1/6 shards"
        assert progress(Stage.ENCODE, event.model_copy(update={"phase": "encode"}), Rate("", 0, 0)) == "1/6 shards"

    def test_has_a_rate_below_one(self) -> None:
        event = ProgressEvent(time=9, stage="Evaluate", phase="samples", done=3, total=3, unit="prompts")
        assert progress(Stage.EVALUATE, event, Rate("samples", 0, 0, 0.37)) == "samples, 3/3 prompts, 0.37 prompts/s"

    def test_that_counts_nothing_is_the_phase(self) -> None:
        event = ProgressEvent(time=9, stage="Export", phase="compare", done=1)
        assert progress(Stage.EXPORT, event, Rate("compare", 0, 0, 0.3)) == "compare"

    def test_of_training_without_figures_yet_has_the_step(self) -> None:
        event = ProgressEvent(time=1, stage="Train", phase="step", done=0, total=600, unit="steps")
        assert progress(Stage.TRAIN, event, Rate("", 0, 0)) == "step 0/600"

    def test_of_a_stage_has_amount_rate_and_time_left(self) -> None:
        event = ProgressEvent(time=1, stage="Collect", phase="collect", done=2e6, total=10e6, unit="bytes")
        assert progress(Stage.COLLECT, event, Rate("collect", 0, 0, 1e6)) == "2.0 MB/10.0 MB, 1.0 MB/s, 8.0 s left"

    def test_of_training_has_step_loss_rate_mfu_and_time_left(self) -> None:
        figures = {
            "step": 50,
            "totalSteps": 100,
            "loss": 3.5,
            "tokensPerSecond": 2e4,
            "secondsLeft": 20.0,
            "mfuRatio": 0.412,
        }
        event = ProgressEvent(time=1, stage="Train", phase="step", done=50, total=100, figures=figures)
        assert (
            progress(Stage.TRAIN, event, Rate("", 0, 0))
            == "step 50/100, loss 3.5000, 20.0 k tokens/s, MFU 41.2 %, 20 s left"
        )

    def test_of_training_tells_how_sure_the_end_is(self) -> None:
        def told(error: float) -> str:
            figures = {"step": 5, "totalSteps": 10, "secondsLeft": 3600.0, "secondsLeftError": error}
            event = ProgressEvent(time=1, stage="Train", phase="step", done=5, total=10, figures=figures)
            return progress(Stage.TRAIN, event, Rate("", 0, 0))

        assert told(125.0) == "step 5/10, 1:00:00 ± 2:05 left"
        assert told(30.0) == "step 5/10, 1:00:00 left"

    def test_of_training_on_images_has_their_rate(self) -> None:
        figures = {
            "step": 5,
            "totalSteps": 10,
            "loss": 0.5,
            "tokens": 0,
            "tokensPerSecond": 0,
            "samplesPerSecond": 412.4,
        }
        event = ProgressEvent(time=1, stage="Train", phase="step", done=5, total=10, figures=figures)
        assert progress(Stage.TRAIN, event, Rate("", 0, 0)) == "step 5/10, loss 0.5000, 412 images/s"


class TestTrained:
    def test_counts_tokens_and_where_there_are_none_images(self) -> None:
        assert trained(Progress(samples=50, tokens=12_800, tokens_per_second=2560)) == [
            "12.8 k tokens",
            "2560 tokens/s",
        ]
        assert trained(Progress(samples=3840, samples_per_second="4.5000")) == ["3840 images", "4.5 images/s"]
        assert trained(Progress(samples=3840)) == ["3840 images"]


class TestPlainDisplay:
    def test_tells_no_progress_of_a_stage_after_its_end(self, capsys: pytest.CaptureFixture[str]) -> None:
        event = ProgressEvent(time=1, stage="Collect", phase="collect", done=5, total=5, unit="documents")
        running = PretrainJobStatus(stages=[StageStatus(name="Collect", state="Running", attempts=1)])
        complete = StageStatus(name="Collect", state="Complete", attempts=1, message="skipped, complete before")
        with PlainDisplay(running) as display:
            display.show(View(PretrainJobStatus(stages=[complete]), events=[(Stage.COLLECT, event)]))
        assert capsys.readouterr().err == "Collect: skipped, complete before\n"
        with PlainDisplay(running) as display:
            display.show(View(running, events=[(Stage.COLLECT, event)]))
        assert capsys.readouterr().err == "Collect: 5/5 documents\n"


class TestSummary:
    def test_of_a_prefix_language_model_says_which_figures_are_without_prefix(self, tmp_path: Path) -> None:
        figures = {"loss": 3.25, "perplexity": 25.79, "lossWithoutPrefix": 3.4375, "bitsPerByte": 1.875}
        by_source = {"lib": {**figures, "baselines": {"byte5gram": 2.5, "xz": 2.9}}}
        record = CompletionRecord(
            stage=Stage.EVALUATE, fingerprint="f", upstream={}, started=NOON, completed=NOON, seconds=1,
            details={"bySource": by_source},
        )  # fmt: skip
        storage = Storage(str(tmp_path))
        storage.write_json(layout.record(Stage.EVALUATE, "f"), record.model_dump(mode="json"))
        complete = StageStatus(name="Evaluate", state="Complete", fingerprint="f")
        text = [" ".join(line.split()) for line in summary.lines(PretrainJobStatus(stages=[complete]), storage)]
        assert "source loss perplexity loss, plain bits/byte 5-gram xz" in text
        assert "lib 3.250 25.790 3.438 1.875 2.500 2.900" in text
        assert any("bits/byte: without any" in line for line in text)

    def test_of_images_has_a_row_for_each_figure_beside_its_baselines(self) -> None:
        figures = {"loss": 0.784, "images": 299, "knnAccuracy": 0.431, "linearAccuracy": 0.62, "classes": 9}
        baselines = {
            "randomKnnAccuracy": 0.441, "randomLinearAccuracy": 0.559,
            "pixelsKnnAccuracy": 0.575, "pixelsLinearAccuracy": 0.682, "mostFrequent": 0.227,
        }  # fmt: skip
        unlabelled = {
            "loss": 0.5,
            "images": 3,
            "imageToTextRecall5": 0.25,
            "baselines": {"chanceImageToTextRecall5": 0.1},
        }
        by_source = {"emoji": {**figures, "baselines": baselines}, "web": unlabelled}
        assert [line.split() for line in image_table.lines(by_source)] == [
            [],
            ["source", "model", "random", "weights", "raw", "pixels", "chance"],
            ["emoji", "loss", "0.784", "-", "-", "-"],
            ["k-NN", "accuracy", "0.431", "0.441", "0.575", "-"],
            ["linear", "accuracy", "0.620", "0.559", "0.682", "-"],
            ["9", "labels;", "who", "always", "says", "the", "most", "frequent", "one", "is", "right", "in", "0.227"],
            ["web", "loss", "0.500", "-", "-", "-"],
            ["image", "to", "text", "recall", "5", "0.250", "-", "-", "0.100"],
            [],
        ]


class TestStory:
    def test_tells_of_stages_that_ended(self) -> None:
        running = StageStatus(name="Collect", state="Running", attempts=1, start_time=NOON)
        done = running.model_copy(
            update={"state": "Complete", "completion_time": NOON + timedelta(seconds=90), "message": "5 documents"}
        )
        before, after = PretrainJobStatus(stages=[running]), PretrainJobStatus(stages=[done])
        assert list(story.lines(before, after)) == ["Collect: 5 documents in 1:30"]
        assert list(story.lines(after, after)) == []

    def test_tells_of_failures_in_one_line_and_what_follows(self) -> None:
        failed = Failure(stage="Train", kind="Runtime", message="exit 1\nTraceback\nRuntimeError: x\n")
        recovery = RecoveryStatus(failures=1, recent_failures=[NOON], last_failure=failed)
        lines = list(story.lines(PretrainJobStatus(), PretrainJobStatus(recovery=recovery)))
        assert lines == ["Train: failed, Runtime: RuntimeError: x; another attempt follows by itself"]

    @pytest.mark.parametrize("recovery", [{"failures": 1}, {"disruptions": 1}])
    def test_tells_of_a_worker_that_the_others_go_on_without(self, recovery: dict[str, int]) -> None:
        failed = Failure(stage="Train", kind="Signal", message="exit -9 (SIGKILL)")
        before = PretrainJobStatus(stage="Train")
        lost = before.model_copy(update={"recovery": RecoveryStatus(**recovery, last_failure=failed)})
        message = "Worker gpt-w1 was lost (exit -9 (SIGKILL)). Training goes on with 1 worker until it is replaced."
        after = conditions.stated(lost, conditions.RECOVERING, "True", conditions.SHRINKING, message, NOON)
        assert list(story.lines(before, after)) == [f"Train: {message}"]


class TestLastingDisplay:
    def test_a_terminal_that_is_gone_does_not_end_the_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []

        def gone(line: str, err: bool) -> None:
            calls.append(line)
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr("click.echo", gone)
        with LastingDisplay(PlainDisplay(PretrainJobStatus())) as display:
            display.say("one")
            display.show(View(PretrainJobStatus(), notes=["two"]))
        assert calls == ["one"]
