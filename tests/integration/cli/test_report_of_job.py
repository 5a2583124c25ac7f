"""`pretrain report NAME`: the report of a job in a cluster, made here from its storage."""

from __future__ import annotations

import json
from pathlib import Path

from support.cluster.s3 import CREDENTIALS, S3Server
from support.command_place import CommandPlace
from support.finished_runs import FinishedRun
from support.stored_jobs import a_stored_job

from pretrain_api import layout


def test_is_written_beside_the_run_with_the_job_s_own_keys(
    place: CommandPlace, s3_server: S3Server, trained_run: FinishedRun
) -> None:
    folder = a_stored_job(place, s3_server, trained_run, "report-good")
    printed = place.run("report", "gpt")
    assert (printed.code, printed.out.strip()) == (0, f"s3://report-good/run/{layout.REPORT_HTML}"), printed.err
    report = json.loads((folder / layout.REPORT_JSON).read_text())
    assert (report["name"], report["state"]) == ("gpt", "Evaluating")
    assert [step["step"] for step in report["training"]["steps"]] == list(range(1, 41))
    assert {s["name"] for s in report["stages"] if s["state"] == "Complete"} == {s.value for s in trained_run.upstream}


def test_a_secret_that_is_gone_is_told(place: CommandPlace, s3_server: S3Server, trained_run: FinishedRun) -> None:
    a_stored_job(place, s3_server, trained_run, "report-secret")
    place.kubectl("delete", "secret", CREDENTIALS, "-n", place.namespace)
    printed = place.run("report", "gpt")
    assert (printed.code, CREDENTIALS in printed.err, "Traceback" in printed.err) == (2, True, False)


def test_a_folder_of_the_pods_is_out_of_reach(place: CommandPlace) -> None:
    path = place.file("gpt")
    Path(path).write_text(Path(path).read_text().replace("s3://bucket/gpt", "/data/run"))
    assert place.run("submit", path).code == 0
    assert "[storage-out-of-reach]" in place.run("report", "gpt").err


def test_a_name_that_is_not_there_is_told(place: CommandPlace) -> None:
    assert "[no-such-job]" in place.run("report", "gpt").err
