"""`pretrain report NAME`: the report of a job in a cluster, made here from its storage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml
from support.cluster.s3 import CREDENTIALS, S3Server, credentials
from support.command_place import CommandPlace
from support.finished_runs import FinishedRun

from pretrain_api import layout


def a_job(place: CommandPlace, server: S3Server, run: FinishedRun, bucket: str) -> Path:
    """A job in the cluster whose storage holds what the run left; gives the folder behind it."""
    secret = credentials(server.environment)
    place.kubectl.apply({**secret, "metadata": {**secret["metadata"], "namespace": place.namespace}})
    folder = server.buckets / server.make_bucket(bucket).removeprefix("s3://") / "run"
    shutil.copytree(run.storage.root, folder)
    spec: dict[str, Any] = json.loads(run.job.read_text())["spec"]
    spec["storage"] = {"uri": f"s3://{bucket}/run", "endpointUrl": server.url, "secretRef": {"name": CREDENTIALS}}
    job = {"apiVersion": "pretrain.dev/v1alpha1", "kind": "PretrainJob", "metadata": {"name": "gpt"}, "spec": spec}
    path = place.folder / "gpt.yaml"
    path.write_text(yaml.safe_dump(job))
    assert place.run("submit", str(path)).code == 0
    stages = [{"name": s.value, "state": "Complete", "fingerprint": f} for s, f in run.upstream.items()]
    place.status("gpt", state="Evaluating", stages=stages)
    return folder


def test_is_written_beside_the_run_with_the_job_s_own_keys(
    place: CommandPlace, s3_server: S3Server, trained_run: FinishedRun
) -> None:
    folder = a_job(place, s3_server, trained_run, "report-good")
    printed = place.run("report", "gpt")
    assert (printed.code, printed.out.strip()) == (0, f"s3://report-good/run/{layout.REPORT_HTML}"), printed.err
    report = json.loads((folder / layout.REPORT_JSON).read_text())
    assert (report["name"], report["state"]) == ("gpt", "Evaluating")
    assert [step["step"] for step in report["training"]["steps"]] == list(range(1, 41))
    assert {s["name"] for s in report["stages"] if s["state"] == "Complete"} == {s.value for s in trained_run.upstream}


def test_a_secret_that_is_gone_is_told(place: CommandPlace, s3_server: S3Server, trained_run: FinishedRun) -> None:
    a_job(place, s3_server, trained_run, "report-secret")
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
