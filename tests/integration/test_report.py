"""The report of a real run, as JSON and as a page in a browser, and of runs that did not finish."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.browser import render
from support.finished_runs import FinishedRun

from pretrain_api import layout
from pretrain_api.stages import Stage
from pretrain_trainer.reporting.types import Report

PRETRAIN = str(Path(sys.executable).parent / "pretrain")


@pytest.fixture(scope="module")
def reported(trained_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    run = trained_run.copy(tmp_path_factory.mktemp("reported") / "run")
    run.succeed(Stage.EVALUATE, Stage.EXPORT, Stage.REPORT)
    return run


def report_json(run: FinishedRun) -> dict[str, Any]:
    return dict(run.storage.read_json(layout.REPORT_JSON))


def page(run: FinishedRun) -> Path:
    return Path(run.storage.root, layout.REPORT_HTML)


class TestReportJson:
    def test_every_stage_is_complete_the_report_included(self, reported: FinishedRun) -> None:
        report = report_json(reported)
        assert [(stage["name"], stage["state"]) for stage in report["stages"]] == [(s.value, "Complete") for s in Stage]
        assert report["state"] == "Succeeded"
        prepare = report["stages"][1]
        assert prepare["documentsIn"] > prepare["documentsOut"] > 0
        assert prepare["bytesIn"] > prepare["bytesOut"] > 0

    def test_training_has_each_step_once_and_the_weights_digest(self, reported: FinishedRun) -> None:
        training = report_json(reported)["training"]
        assert [step["step"] for step in training["steps"]] == list(range(1, 41))
        assert all(step["tokens"] == step["step"] * 8 * 32 and step["loss"] > 0 for step in training["steps"])
        assert training["parametersSha256"] == reported.record(Stage.TRAIN).details["parametersSha256"]
        assert training["finalLoss"] == training["steps"][-1]["loss"]

    def test_evaluation_is_that_of_the_stage(self, reported: FinishedRun) -> None:
        assert report_json(reported)["evaluation"] == reported.record(Stage.EVALUATE).details["bySource"]

    def test_the_mixture_adds_up(self, reported: FinishedRun) -> None:
        report = report_json(reported)
        assert sum(source["samplesSeen"] for source in report["sources"].values()) == report["training"]["samples"]
        assert report["sources"]["library"]["seenRatio"] == pytest.approx(0.75, abs=0.01)

    def test_its_types_read_it_back(self, reported: FinishedRun) -> None:
        content = report_json(reported)
        content["training"].pop("steps")
        assert Report.model_validate(content).model_dump(mode="json", by_alias=True) == content


class TestThePage:
    def test_draws_its_plots_without_an_error_or_a_request(self, reported: FinishedRun) -> None:
        rendered = render(page(reported))
        assert rendered.console == []
        assert rendered.requests == []
        assert 'data-drawn="10"' in rendered.dom
        assert rendered.dom.count('class="main-svg"') >= 10

    def test_asks_for_nothing_even_where_it_would_be_allowed_to(self, reported: FinishedRun, tmp_path: Path) -> None:
        text = page(reported).read_text()
        policy = text[text.index('<meta http-equiv="Content-Security-Policy"') :].split(">", 1)[0] + ">"
        open_page = tmp_path / "open.html"
        open_page.write_text(text.replace(policy, ""))
        assert render(open_page).requests == []

    def test_shows_hostile_documents_as_text(self, reported: FinishedRun) -> None:
        rendered = render(page(reported))
        assert "<title>t: pre-training report</title>" in rendered.dom
        assert "&lt;/script&gt;&lt;script&gt;document.title" in rendered.dom
        assert "{{ 7 * 7 }}" in rendered.dom

    def test_is_readable_without_javascript(self, reported: FinishedRun) -> None:
        static = re.sub(r"<script.*?</script>", "", page(reported).read_text(), flags=re.DOTALL)
        assert '<html lang="en" class="no-script">' in static
        for text in ("What it did", "gopherQuality.minWords", "byte 5-gram", "PSF-2.0", "Learning rate"):
            assert text in static

    def test_a_page_that_breaks_is_noticed(self, reported: FinishedRun, tmp_path: Path) -> None:
        """What the tests above rely on: the browser tells of errors and of refused requests."""
        broken = tmp_path / "broken.html"
        script = '<script>nothing.at.all</script><img src="http://example.org/a.png"></body>'
        broken.write_text(page(reported).read_text().replace("</body>", script))
        console = render(broken).console
        assert any("nothing is not defined" in line for line in console)
        assert any("Content Security Policy" in line for line in console)


class TestUnfinishedRuns:
    @pytest.fixture
    def failing_job(self, tmp_path: Path) -> Path:
        """A job whose documents are all filtered away."""
        documents = tmp_path / "documents"
        documents.mkdir()
        (documents / "a.txt").write_text("Too short to keep.")
        job = {
            "apiVersion": "pretrain.dev/v1alpha1",
            "kind": "PretrainJob",
            "metadata": {"name": "failing"},
            "spec": {
                "storage": {"uri": str(tmp_path / "run")},
                "data": {
                    "sources": [{"name": "web", "documents": str(documents / "*.txt")}],
                    "prepare": {"quality": {"preset": "gopher"}, "parallelism": 1},
                },
                "tokenizer": {"train": {}},
                "model": {"preset": "llama-tiny"},
                "objective": {"causalLM": {}},
                "training": {"steps": 10, "schedule": {"warmupSteps": 1}},
            },
        }
        path = tmp_path / "job.json"
        path.write_text(json.dumps(job))
        return path

    def test_a_failed_run_is_reported_as_far_as_it_came(self, failing_job: Path, tmp_path: Path) -> None:
        ran = subprocess.run([PRETRAIN, "run", str(failing_job)], capture_output=True, text=True, timeout=120)
        assert ran.returncode == 2, ran.stderr
        done = subprocess.run([PRETRAIN, "report", str(failing_job)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == (tmp_path / "run" / layout.REPORT_HTML).as_uri()
        report = json.loads((tmp_path / "run" / layout.REPORT_JSON).read_text())
        states = {stage["name"]: stage["state"] for stage in report["stages"]}
        assert report["state"] == "Failed"
        assert "everything-filtered" in report["message"]
        assert (states["Collect"], states["Prepare"], states["Train"]) == ("Complete", "Failed", "Pending")
        assert report["training"]["steps"] == []
        rendered = render(tmp_path / "run" / layout.REPORT_HTML)
        assert rendered.console == []
        assert "everything-filtered" in rendered.dom

    def test_a_place_without_a_run_is_refused(self, tmp_path: Path) -> None:
        done = subprocess.run([PRETRAIN, "report", str(tmp_path)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert "[no-run]" in done.stderr
