"""Reports of runs that stopped at some point, made from real records."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.jobs import JobBuilder, a_job

from pretrain_api import layout
from pretrain_api.commits import Commit
from pretrain_api.stages import CompletionRecord, Flow, Stage
from pretrain_api.storage import Storage
from pretrain_api.types.status import Condition, PretrainJobStatus, StageStatus
from pretrain_trainer.reporting.records import RunRecords, find
from pretrain_trainer.reporting.write import write

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
HOSTILE = "</script><script>alert(1)</script>{{ 7 * 7 }}<img src=x onerror=alert(2)>"


def a_record(stage: Stage, **more: Any) -> CompletionRecord:
    return CompletionRecord(
        stage=stage,
        fingerprint="f",
        upstream={},
        started=NOW,
        completed=NOW + timedelta(seconds=3),
        seconds=3.0,
        **more,
    )


def collected() -> CompletionRecord:
    details = {
        "documents": "python://lib/json/*.py", "license": HOSTILE, "files": 5, "fileBytes": 900, "sha256": "ab" * 32,
        "empty": 1, "bad": 0, "badExamples": [], "refusedLicenses": {"GPL-3.0": 2}, "ignoredRecords": {},
    }  # fmt: skip
    flow = Flow(documents_in=10, bytes_in=1000, documents_out=7, bytes_out=900)
    return a_record(Stage.COLLECT, flow=flow, sources={"lib": flow}, details={"sources": {"lib": details}})


TOKENIZED = {
    "algorithm": "byteBPE", "uri": "", "vocabSize": 384, "endOfText": "<|e|>", "padding": "<|p|>", "sha256": "",
    "bySource": {},
}  # fmt: skip


def prepared() -> CompletionRecord:
    details = {
        "documentsIn": 7, "bytesIn": 900, "documents": 5, "bytes": 800,
        "removed": {"language": {"documents": 2, "bytes": 100}}, "masked": {"email": 3}, "removedLanguages": {},
        "examples": [{"rule": "language", "id": "lib/0/1", "text": HOSTILE}],
    }  # fmt: skip
    flow = Flow(documents_in=7, bytes_in=900, documents_out=5, bytes_out=800)
    return a_record(Stage.PREPARE, flow=flow, sources={"lib": flow}, details={"sources": {"lib": details}})


def evaluated(**more: float) -> CompletionRecord:
    figures = {
        "loss": 3.25, "perplexity": 25.79, "bitsPerByte": 1.875, "tokens": 100, "predictedTokens": 50, "bytes": 400,
        "documents": 2, "baselines": {"gzip": 3.0, "xz": 2.9, "byte5gram": 2.5},
    }  # fmt: skip
    samples = [{"prompt": "def ", "text": "f()", "decoding": "greedy", "source": ""}]
    return a_record(
        Stage.EVALUATE, details={"version": 1, "bySource": {"lib": {**figures, **more}}, "samples": samples}
    )


def a_run(folder: Path, *records: CompletionRecord, job: JobBuilder | None = None, **status: Any) -> RunRecords:
    job = (job or a_job()).stored_in(folder).job.model_copy(update={"status": PretrainJobStatus(**status)})
    return RunRecords(Storage(str(folder)), job, {record.stage: record for record in records})


def written(run: RunRecords) -> tuple[dict[str, Any], str]:
    """Content of both files."""
    return run.storage.read_json(layout.REPORT_JSON), run.storage.read_bytes(layout.REPORT_HTML).decode()


class TestFind:
    def test_a_stage_that_only_another_version_knows_is_passed_over(self, tmp_path: Path) -> None:
        stages = [StageStatus(name=name, state="Complete", fingerprint="f") for name in ("Distil", "Collect")]
        run = a_run(tmp_path, stages=stages)
        run.storage.write_bytes(layout.record(Stage.COLLECT, "f"), collected().model_dump_json(by_alias=True).encode())
        assert list(find(run.storage, run.job).records) == [Stage.COLLECT]


class TestWrite:
    def test_a_run_that_has_not_begun_has_a_report_of_pending_stages(self, tmp_path: Path) -> None:
        run = a_run(tmp_path)
        write(run, "Pending", NOW)
        report, page = written(run)
        assert {stage["state"] for stage in report["stages"]} == {"Pending"}
        assert report["training"]["steps"] == []
        assert report["sources"]["lib"]["plannedRatio"] == 1
        assert "2026-05-01 12:00 UTC" in page

    def test_the_funnel_starts_with_what_collect_dropped(self, tmp_path: Path) -> None:
        run = a_run(tmp_path, collected(), prepared())
        write(run, "Tokenizing", NOW)
        _, page = written(run)
        places = [page.index(f"removed: {reason}") for reason in ("empty", "licence GPL-3.0", "language")]
        assert places == sorted(places)
        assert "email 3" in page

    def test_hostile_text_is_escaped_wherever_it_stands(self, tmp_path: Path) -> None:
        run = a_run(tmp_path, collected(), prepared())
        write(run, "Tokenizing", NOW)
        _, page = written(run)
        assert "<script>alert(1)" not in page
        assert "<img src=x" not in page
        assert page.count("&lt;img src=x onerror=alert(2)&gt;") >= 2
        assert "{{ 7 * 7 }}" in page

    def test_a_failed_run_says_why(self, tmp_path: Path) -> None:
        why = f"Failed because of {HOSTILE}"
        stage = StageStatus(name="Prepare", state="Failed", message=why)
        conditions = [Condition(type="Succeeded", status="False", reason="UserError", message=why)]
        run = a_run(tmp_path, collected(), state="Failed", stages=[stage], conditions=conditions)
        write(run, "Failed", NOW)
        report, page = written(run)
        assert report["message"] == why
        assert report["stages"][1]["state"] == "Failed"
        assert "Failed because of &lt;/script&gt;" in page

    def test_a_stage_that_was_complete_before_the_job_began_was_skipped(self, tmp_path: Path) -> None:
        run = a_run(tmp_path, collected(), start_time=NOW + timedelta(hours=1))
        write(run, "Preparing", NOW)
        assert [stage["skipped"] for stage in written(run)[0]["stages"][:2]] == [True, False]

    def test_an_unfinished_training_is_read_from_its_newest_identity(self, tmp_path: Path) -> None:
        run = a_run(tmp_path)
        for sequence, fingerprint in enumerate(["old", "new", "new"], start=1):
            history = f"{layout.CHECKPOINT_HISTORY}/{fingerprint}/{sequence}.jsonl"
            line = {"step": sequence - 1, "loss": 1.0, "tokens": 9, "bySource": {}}
            run.storage.write_bytes(history, json.dumps(line).encode())
            commit = Commit(
                sequence=sequence, fingerprint=fingerprint, generation=1, step=sequence - 1, samples=4, tokens=9,
                final=False, data="checkpoints/data/one", manifest_sha256="", history=history, time=NOW, nonce="",
            )  # fmt: skip
            run.storage.create_exclusive(layout.commit(sequence), commit.model_dump_json().encode())
        write(run, "Training", NOW)
        training = written(run)[0]["training"]
        assert [step["step"] for step in training["steps"]] == [1, 2]
        assert (training["step"], training["finalLoss"]) == (2, None)

    def test_the_throughput_counts_what_an_interrupted_program_trained(self, tmp_path: Path) -> None:
        trained = a_record(Stage.TRAIN, details={"step": 2, "tokens": 8000, "parameters": 1, "finalLoss": 1.0})
        run = a_run(tmp_path, trained)  # the record's 3 seconds are those of the program that took the second step
        for step in (1, 2):
            history = f"{layout.CHECKPOINT_HISTORY}/f/{step}.jsonl"
            line = {"step": step, "loss": 1.0, "tokens": 4000 * step, "secondsPerStep": 4.0, "bySource": {}}
            run.storage.write_bytes(history, json.dumps(line).encode())
            commit = Commit(
                sequence=step, fingerprint="f", generation=1, step=step, samples=step, tokens=4000 * step,
                final=step == 2, data="checkpoints/data/one", manifest_sha256="", history=history, time=NOW, nonce="",
            )  # fmt: skip
            run.storage.create_exclusive(layout.commit(step), commit.model_dump_json().encode())
        write(run, "Reporting", NOW)
        figures = re.sub(r"<[^>]*>|\s+", " ", written(run)[1])
        assert re.search(r"Throughput\s+1,000\s+tokens/s", figures)

    def test_stages_show_their_attempts_and_all_stages_the_sum(self, tmp_path: Path) -> None:
        run = a_run(tmp_path, collected(), a_record(Stage.TOKENIZER, attempts=3, details=TOKENIZED))
        write(run, "Tokenizing", NOW)
        report, page = written(run)
        assert [(s["seconds"], s["attempts"]) for s in report["stages"][:3]] == [(3.0, 1), (0.0, 0), (3.0, 3)]
        text = re.sub(r"<[^>]*>|\s+", " ", page)
        assert "3.0 s, 3 attempts" in text
        assert re.search(r"All stages\s+6.0 s", text)

    @pytest.mark.parametrize("is_prefix", [True, False])
    def test_of_a_prefix_language_model_tells_figures_with_and_without_prefix_apart(
        self, tmp_path: Path, is_prefix: bool
    ) -> None:
        job = a_job().with_spec(objective={"prefixLM": {}} if is_prefix else {"causalLM": {}})
        run = a_run(tmp_path, evaluated(**{"lossWithoutPrefix": 3.4375} if is_prefix else {}), job=job)
        write(run, "Reporting", NOW)
        report, page = written(run)
        assert report["evaluation"]["lib"].get("lossWithoutPrefix") == (3.4375 if is_prefix else None)
        text = re.sub(r"(<[^>]*>|\s)+", " ", page)
        assert ("Loss behind prefixes Perplexity behind prefixes Loss without prefix" in text) is is_prefix
        assert ("lib 3.2500 25.79 3.4375 1.875 2.900" in text) is is_prefix
        assert ("lib 3.2500 25.79 1.875 2.900" in text) is not is_prefix
        assert ("read in both directions" in text) is is_prefix
        assert f"Held-out text{', no prefix' if is_prefix else ''} 1.875" in text

    @pytest.mark.parametrize("name", [layout.REPORT_JSON, layout.REPORT_HTML])
    def test_a_second_report_of_the_same_moment_is_the_same_file(self, tmp_path: Path, name: str) -> None:
        run = a_run(tmp_path, collected(), prepared())
        write(run, "Tokenizing", NOW)
        before = run.storage.read_bytes(name)
        write(run, "Tokenizing", NOW)
        assert run.storage.read_bytes(name) == before
