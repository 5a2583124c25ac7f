"""Training on images: killed, resumed, resized, from a store with faults and with broken images, it reads the same ones."""

import functools
import json
import operator
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import image_runs, token_runs
from support.browser import render
from support.cluster.s3 import S3Server
from support.eventually import eventually
from support.s3_proxy import Weather, s3_proxy

from pretrain_api import layout
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.audit import audit

STEPS = 120
KILL_AFTER = 30
PRETRAIN = str(Path(sys.executable).parent / "pretrain")
BROKEN = b"\x89PNG\r\n\x1a\n and no more"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def a_job(root: Path, *, records: list[image_runs.Record] | None = None, shards: str = "") -> dict[str, Any]:
    """A job whose Encode stage is done."""
    root.mkdir(parents=True)
    manifest = shards or str(image_runs.written(root / "tars", records or list(image_runs.digits(120))))
    job = image_runs.a_job(root, {"digits": manifest})
    job["spec"]["training"]["steps"] = STEPS
    job["spec"]["evaluation"] = {"everySteps": 60}
    image_runs.encode(job, root)
    return job


def trained(root: Path, job: dict[str, Any], ranks: int, killed: bool = False, then: int = 0, **env: str) -> str:
    """The digest of the final weights; killed on the way, and gone on with `then` ranks, where that is asked for."""
    process = token_runs.start(root, job, ranks, **env)
    if killed:
        done = functools.partial(token_runs.steps_done, root)
        eventually(done, functools.partial(operator.le, KILL_AFTER), within_seconds=120)
        eventually(functools.partial(token_runs.commits, root), within_seconds=60)
        token_runs.kill_everything(process)
        process = token_runs.start(root, job, then or ranks, **env)
    assert process.wait(timeout=240) == 0, (root / "train.log").read_text()[-3000:]
    record = token_runs.record(root)
    assert record["attempts"] == (2 if killed else 1)
    return str(record["details"]["parametersSha256"])


def read(root: Path) -> dict[int, Any]:
    """What each step read, as the ledger has it."""
    found = {}
    for commit in token_runs.commits(root):
        for line in (root / commit["history"]).read_text().splitlines() if commit["history"] else ():
            figures = json.loads(line)
            found[figures["step"]] = figures["read"]
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run on two ranks that nothing happens to, and its weights."""
    root = tmp_path_factory.mktemp("undisturbed") / "run"
    return root, trained(root, a_job(root), 2)


def test_killed_and_resumed_it_ends_with_the_same_bits(undisturbed: tuple[Path, str], tmp_path: Path) -> None:
    root = tmp_path / "run"
    assert trained(root, a_job(root), 2, killed=True) == undisturbed[1]
    assert read(root) == read(undisturbed[0])
    found = audit(Storage(str(root)))
    assert (found.found, found.starts, found.samples_read) == (0, 2, STEPS * 6)


def test_resized_it_trains_on_with_the_same_images(undisturbed: tuple[Path, str], tmp_path: Path) -> None:
    root = tmp_path / "run"
    trained(root, a_job(root), 2, killed=True, then=3)
    assert read(root) == read(undisturbed[0])
    assert audit(Storage(str(root))).found == 0
    assert token_runs.losses(root)[STEPS] == pytest.approx(token_runs.losses(undisturbed[0])[STEPS], rel=1e-3)


def test_from_a_store_with_faults_it_ends_with_the_same_bits(
    undisturbed: tuple[Path, str], tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.make_bucket("images")
    image_runs.written(s3_server.buckets / "images" / "tars", image_runs.digits(120))
    weather = Weather(seed=1, errors=0.05, cuts=0.02, late=0.01, late_seconds=0.5, latency_seconds=0.005)
    with s3_proxy(s3_server.url, weather.script()) as proxy:
        keys = {**s3_server.environment, "AWS_ENDPOINT_URL": proxy.url}
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        root = tmp_path / "run"
        job = a_job(root, shards="s3://images/tars/manifest.json")
        assert trained(root, job, 2, killed=True) == undisturbed[1]
        assert audit(Storage(str(root))).found == 0
        assert [asked for asked in proxy.asked if asked.range]
    assert read(root) == read(undisturbed[0])


def test_broken_images_end_a_run_that_may_lose_none(tmp_path: Path) -> None:
    root = tmp_path / "run"
    job = a_job(root, records=[*image_runs.digits(40), *[{"png": BROKEN}] * 8])
    process = token_runs.start(root, job, 2)
    assert process.wait(timeout=120) != 0
    said = token_runs.outcome(root)["message"]
    assert "holds an image that cannot be trained on: " in said
    assert "set spec.data.maxBadRecords" in said


def test_broken_images_are_left_out_by_every_stage_that_meets_them(tmp_path: Path) -> None:
    manifest = image_runs.written(tmp_path / "tars", [*image_runs.digits(60), *[{"png": BROKEN, "json": b"{}"}] * 6])
    job = image_runs.a_job(tmp_path / "run", {"digits": manifest}, evaluation={"everySteps": 10, "labels": "label"})
    job["spec"]["training"]["steps"] = 30
    job["spec"]["data"]["maxBadRecords"] = 60
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run(
        [PRETRAIN, "run", str(tmp_path / "job.yaml")],
        capture_output=True, text=True, timeout=400, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "30 steps, 180 images, final loss " in done.stdout
    assert re.search(r"^ +k-NN accuracy +0\.\d+ +0\.\d+ +0\.\d+$|^digits +k-NN accuracy", done.stdout, re.MULTILINE)
    details = token_runs.record(tmp_path / "run")["details"]
    assert details["standInSamples"] > 0
    storage = Storage(str(tmp_path / "run"))
    found = audit(storage)
    assert (found.found, found.stand_ins) == (0, details["standInSamples"])
    assert found.samples_read == 30 * 6 - details["standInSamples"]
    report = storage.read_json(layout.REPORT_JSON)
    assert report["evaluation"]["digits"]["knnAccuracy"] > 0
    assert {picture["name"] for picture in report["pictures"]} >= {"reconstructions"}
    page = render(tmp_path / "run" / layout.REPORT_HTML)
    assert (page.console, page.requests) == ([], [])
    assert page.dom.count('<img src="data:image/png;base64,') == len(report["pictures"])
    assert (tmp_path / "run" / layout.EXPORT_HUGGING_FACE / "reconstructions.png").exists()
