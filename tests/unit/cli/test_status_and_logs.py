"""`pretrain status` and `pretrain logs` read what a run left in its storage."""

import json
from pathlib import Path

import pytest
import yaml
from support.jobs import a_job
from support.stage_runs import NOON

from pretrain_api import layout
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_cli.main import main
from pretrain_operator.bodies.local.workplace import Workplace
from pretrain_operator.brain import stages
from pretrain_operator.brain.lifecycle import opened


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that has collected and was interrupted in Prepare."""
    job = a_job().stored_in(tmp_path / "run").job
    status = stages.completed(
        stages.listed(opened(job.status, NOON, 1), job.spec), Stage.COLLECT, "0123", NOON, NOON, "5 documents"
    )
    workplace = Workplace(Storage.of(job.spec.storage))
    workplace.write_job(layout.STATUS, job.model_copy(update={"status": status}))
    workplace.logs.mkdir()
    workplace.log(Stage.COLLECT).write_text("one\ntwo\nthree\n")
    workplace.log(Stage.PREPARE).write_text("four\nfive\n")
    return tmp_path / "run"


class TestStatus:
    def test_says_where_the_run_stands_and_how_it_goes_on(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["status", str(run)]) == 0
        printed = capsys.readouterr().out
        assert "Collect    Complete" in printed
        assert "5 documents" in printed
        assert "nobody: `pretrain run` goes on where it was" in printed

    def test_of_a_job_file_is_that_of_its_storage(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = run.parent / "job.yaml"
        file.write_text(yaml.safe_dump(a_job().stored_in(run).manifest))
        assert main(["status", str(file), "-o", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["status"]["stages"][0]["state"] == "Complete"
        assert main(["status", str(file), "-o", "yaml"]) == 0
        assert yaml.safe_load(capsys.readouterr().out)["status"]["stages"][0]["fingerprint"] == "0123"

    def test_of_nothing_is_a_clear_error(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["status", str(tmp_path)]) == 2
        assert "[no-run]" in capsys.readouterr().err

    def test_times_without_a_zone_are_utc(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = run / layout.STATUS
        job = json.loads(file.read_text())
        job["status"] |= {"startTime": "2026-01-01T12:00:00", "completionTime": "2026-01-01T12:00:42Z"}
        file.write_text(json.dumps(job))
        assert main(["status", str(run)]) == 0
        assert "started     2026-01-01 12:00:00 UTC, ended after 42 s" in capsys.readouterr().out

    def test_control_sequences_do_nothing(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = run / layout.STATUS
        job = json.loads(file.read_text())
        job["spec"]["storage"]["uri"] = "y\x1b[2J"
        job["status"]["stages"][0]["message"] = "x\x1b]0;owned\x07"
        file.write_text(json.dumps(job))
        assert main(["status", str(run)]) == 0
        printed = capsys.readouterr().out
        assert r"x\x1b]0;owned\x07" in printed
        assert r"storage     y\x1b[2J" in printed


class TestLogs:
    @pytest.mark.parametrize(
        ("options", "printed"),
        [
            ([], "one\ntwo\nthree\nfour\nfive\n"),
            (["--stage", "Collect", "--tail", "2"], "two\nthree\n"),
            (["--stage", "prepare"], "four\nfive\n"),
            (["--tail", "1"], "three\nfive\n"),
            (["--tail", "99", "--follow"], "one\ntwo\nthree\nfour\nfive\n"),
        ],
    )
    def test_are_printed_in_the_order_of_the_stages(
        self, run: Path, capfdbinary: pytest.CaptureFixture[bytes], options: list[str], printed: str
    ) -> None:
        assert main(["logs", str(run), *options]) == 0
        assert capfdbinary.readouterr().out == printed.encode()

    def test_of_a_stage_that_has_not_run_is_a_clear_error(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["logs", str(run), "--stage", "Train"]) == 2
        assert "[no-logs]" in capsys.readouterr().err
