"""A job on a real cluster: the operator's chart, its images, an S3 server; undisturbed, disturbed and suspended."""

import contextlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.charts import overlaid
from support.cluster import clocks
from support.cluster.cluster import DevelopmentCluster
from support.cluster.foreign import AnyCluster
from support.cluster.installation import kill_leader
from support.cluster.remote_job import STEPS, Made, RemoteJob, a_spec, folder_of
from support.eventually import eventually
from support.exports import generated
from support.pods import KILL
from support.token_runs import commits

from pretrain_api import layout

PRETRAIN = str(Path(sys.executable).parent / "pretrain")
SEED = int(os.environ.get("PRETRAIN_TEST_SEED", random.SystemRandom().randrange(1 << 30)))
"""Of the moments of the kills; printed by a failing test. Set PRETRAIN_TEST_SEED to replay."""

pytestmark = pytest.mark.timeout(1500)


def newest(job: RemoteJob) -> dict[str, Any]:
    """The newest commit that its storage holds."""
    return commits(job.made.folder)[-1]


@pytest.fixture(scope="module")
def undisturbed(installed: AnyCluster, corpus: str) -> RemoteJob:
    job = RemoteJob.applied(installed, "quiet", a_spec(installed, corpus))
    job.until("Succeeded")
    return job


class TestUndisturbed:
    def test_every_stage_is_complete_and_nobody_needs_the_pods(self, undisturbed: RemoteJob) -> None:
        status = undisturbed.status()
        assert [stage["state"] for stage in status["stages"]] == ["Complete"] * 8
        assert status["recovery"].get("failures", 0) == 0
        assert status["progress"]["step"] == STEPS
        assert not undisturbed.running()

    def test_kubectl_get_shows_how_far_it_is(self, undisturbed: RemoteJob) -> None:
        head, row = undisturbed.kubectl("get", "pretrainjobs").splitlines()
        assert head.split() == ["NAME", "STATE", "STEP", "LOSS", "THROUGHPUT", "WORKERS", "CHECKPOINT", "ETA", "AGE"]
        assert row.split()[:3] == ["quiet", "Succeeded", f"{STEPS}/{STEPS}"]

    def test_the_exported_model_loads_and_generates(self, undisturbed: RemoteJob) -> None:
        export = undisturbed.made.folder / "export" / "huggingface"
        assert generated(export, "def ").startswith("def ")

    def test_it_made_the_same_bytes_as_a_run_on_this_machine(
        self, undisturbed: RemoteJob, installed: AnyCluster, corpus: str, tmp_path: Path
    ) -> None:
        spec = a_spec(installed, corpus)
        del spec["storage"]["secretRef"]
        spec["workers"] = {"processesPerWorker": 2}
        job = {
            "apiVersion": "pretrain.dev/v1alpha1",
            "kind": "PretrainJob",
            "metadata": {"name": "local"},
            "spec": spec,
        }
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
        environment = {
            **os.environ, **installed.s3.environment, "OMP_NUM_THREADS": "1", "XDG_STATE_HOME": str(tmp_path),
        }  # fmt: skip
        done = subprocess.run(
            [PRETRAIN, "run", str(tmp_path / "job.yaml")], env=environment, capture_output=True, text=True, timeout=500
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        local = Made(folder_of(installed, spec["storage"]["uri"]))
        assert undisturbed.made.shards() == local.shards()
        assert undisturbed.made.losses() == local.losses()
        assert undisturbed.made.sha256() == local.sha256()


class TestDisturbed:
    def test_kills_of_operators_and_workers_and_a_suspension_change_nothing(
        self, undisturbed: RemoteJob, installed: AnyCluster, corpus: str
    ) -> None:
        """The leading operator dies once in each stage, a worker's pod is deleted, another one's rank is killed."""
        rng = random.Random(SEED)
        job = RemoteJob.applied(installed, "rough", a_spec(installed, corpus))
        for stage in ("Collect", "Prepare", "Tokenizer", "Encode"):
            eventually(job.status, lambda s, stage=stage: s.get("stage") == stage, 240, every_seconds=0.2)
            kill_leader(installed.kubectl)
        job.until("Training")
        eventually(job.status, lambda s: s.get("checkpoint", {}).get("step", 0) > 0, 120, every_seconds=0.2)
        deleted = rng.choice(job.running("pretrain.dev/stage=train"))
        job.kubectl("delete", "pod", deleted, "--grace-period=0", "--force")
        job.until("Recovering", 60)
        kill_leader(installed.kubectl)
        record = job.recovered(1)
        assert (record["kind"], record["worker"]) == ("Replace", deleted)
        victim = rng.choice(job.running("pretrain.dev/stage=train"))
        job.kubectl("exec", victim, "--", "python", "-c", KILL, "rank ")
        record = job.recovered(2)
        assert (record["kind"], record["worker"], record["cause"]) == ("Restart", victim, "exit -9 (SIGKILL)")
        assert job.attempts("Train") == 1

        job.edit(suspend=True)
        job.until("Suspended", 120)
        assert not job.running()
        job.edit(suspend=False)
        for stage in ("Evaluate", "Export"):
            eventually(job.status, lambda s, stage=stage: s.get("stage") == stage, 300, every_seconds=0.2)
            kill_leader(installed.kubectl)
        status = job.until("Succeeded")

        assert job.made.shards() == undisturbed.made.shards(), f"PRETRAIN_TEST_SEED={SEED}"
        assert job.made.losses() == undisturbed.made.losses(), f"PRETRAIN_TEST_SEED={SEED}"
        assert job.made.sha256() == undisturbed.made.sha256(), f"PRETRAIN_TEST_SEED={SEED}"
        assert (status["recovery"]["failures"], status["recovery"]["restarts"]) == (0, 2)


class TestGivenShards:
    def test_trains_on_another_jobs_shards_with_a_cache_and_weights_that_change_on_the_way(
        self, undisturbed: RemoteJob, installed: AnyCluster, corpus: str, tmp_path: Path
    ) -> None:
        root = undisturbed.spec["storage"]["uri"]
        made = {stage["name"]: stage["fingerprint"] for stage in undisturbed.status()["stages"]}
        ready = {
            "name": "ready",
            "shards": f"{root}/{layout.shards(made['Encode'], 'web')}/{layout.MANIFEST}",
            "weight": 3,
        }
        again = {**ready, "name": "again", "weight": 1}
        spec = overlaid(a_spec(installed, corpus), {"training": {"steps": 100_000}, "evaluation": {"everySteps": 0}})
        spec["data"] |= {"sources": [ready, again], "cache": {"path": "/cache"}}
        spec["tokenizer"] = {"uri": f"{root}/{layout.tokenizer(made['Tokenizer'])}"}
        spec["workers"]["template"] |= {
            "volumes": [{"name": "cache", "emptyDir": {}}],
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        }
        job = RemoteJob.applied(installed, "given", spec)
        eventually(job.status, lambda s: s.get("checkpoint", {}).get("step", 0) > 0, 400, every_seconds=0.2)
        worker = job.running("pretrain.dev/stage=train")[0]
        assert job.kubectl("exec", worker, "--", "find", "/cache/pretrain-records", "-type", "f").strip()

        job.edit(data={"sources": [{**ready, "weight": 1}, again]})
        eventually(lambda: newest(job)["segments"], lambda segments: len(segments) == 2, 180, every_seconds=0.2)
        job.edit(suspend=True)
        status = job.until("Suspended", 120)
        assert status["recovery"].get("failures", 0) == 0

        found = job.audited(tmp_path)
        assert (found["steps"], found["weights"]) == (newest(job)["step"], 2)
        assert found["samplesRead"] == found["steps"] * spec["training"]["globalBatchSize"]
        job.delete()


@pytest.fixture
def wrong_clocks(installed: AnyCluster) -> Iterator[None]:
    """For all that is created meanwhile, on a cluster whose nodes are ours. Not far back: its certificates are not old."""
    with contextlib.ExitStack() as stack:
        if isinstance(installed, DevelopmentCluster):
            stack.enter_context(clocks.of_their_own(installed.nodes, 600, -60))
        yield


def age_seconds(time: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()


class TestElastic:
    @pytest.mark.usefixtures("wrong_clocks")
    def test_workers_that_leave_or_are_killed_are_done_without_until_others_come(
        self, undisturbed: RemoteJob, installed: AnyCluster, corpus: str, tmp_path: Path
    ) -> None:
        """On machines whose clocks are wrong, of which nothing is seen."""
        spec = overlaid(a_spec(installed, corpus), {"training": {"steps": 100_000}, "workers": {"min": 1, "max": 2}})
        spec["checkpoint"]["everySeconds"] = 100_000
        copy_until_encode(undisturbed.made.folder, folder_of(installed, spec["storage"]["uri"]))
        job = RemoteJob.applied(installed, "elastic", spec)
        job.until("Training")
        eventually(job.status, lambda s: s["progress"].get("step", 0) > 0, 120, every_seconds=0.2)

        leaves = job.running("pretrain.dev/stage=train")[0]
        job.kubectl("delete", "pod", leaves, "--wait=false")
        grown = job.recovered(2)  # by one worker less, and then by one more
        assert (grown["kind"], grown.get("lostSteps", 0)) == ("Grow", 0)

        killed = job.running("pretrain.dev/stage=train")[0]
        job.kubectl("exec", killed, "--", "python", "-c", KILL, "pretrain_trainer.agent")
        assert job.recovered(4)["kind"] == "Grow"
        assert job.attempts("Train") == 1
        assert {leaves, killed}.isdisjoint(job.running("pretrain.dev/stage=train"))
        eventually(lambda: job.condition("Recovering"), lambda c: c["status"] == "False", within_seconds=60)
        status = job.status()
        assert 0 <= age_seconds(status["progress"]["updateTime"]) < 60
        assert 0 <= age_seconds(status["recovery"]["lastRecovery"]["time"]) < 120

        job.edit(suspend=True)
        status = job.until("Suspended", 120)
        assert (status["recovery"]["failures"], status["recovery"]["disruptions"]) == (1, 1)
        job.audited(tmp_path)
        if isinstance(installed, DevelopmentCluster):
            assert abs(age_seconds(newest(job)["time"])) > 50, "the clocks were right"
        assert abs(age_seconds(status["checkpoint"]["time"])) < 50
        job.delete()


@pytest.fixture(scope="module")
def training(undisturbed: RemoteJob, installed: AnyCluster, corpus: str) -> list[RemoteJob]:
    """Two jobs that train and would do so for hours, without a checkpoint so far. What comes before training lies in their
    storage."""
    jobs = []
    for name in ("long", "cut-off"):
        spec = overlaid(a_spec(installed, corpus), {"training": {"steps": 100_000}})
        spec["checkpoint"]["everySeconds"] = 100_000
        copy_until_encode(undisturbed.made.folder, folder_of(installed, spec["storage"]["uri"]))
        jobs.append(RemoteJob.applied(installed, name, spec))
    for job in jobs:
        job.until("Training")
    return jobs


def copy_until_encode(run: Path, other: Path) -> None:
    """What the stages before training left, into the folder of a run that has not begun."""
    for part in (
        "documents",
        "tokenizer",
        "shards",
        *(f"stages/{s}" for s in ("collect", "prepare", "tokenizer", "encode")),
    ):
        shutil.copytree(run / part, other / part)


class TestDeletion:
    def test_a_training_job_is_gone_within_its_grace_and_leaves_a_checkpoint(self, training: list[RemoteJob]) -> None:
        job = training[0]
        job.delete()
        assert not job.running("pretrain.dev/stage=train")
        eventually(job.pods, lambda pods: not pods, within_seconds=120)  # the rest is left to garbage collection
        assert commits(job.made.folder)

    def test_needs_no_storage(self, training: list[RemoteJob], installed: AnyCluster, corpus: str) -> None:
        """The server is gone, so that nothing can be saved: while one job trains and another one is at its first stages."""
        early = RemoteJob.applied(installed, "early", a_spec(installed, corpus))
        eventually(early.running, within_seconds=90)
        installed.s3.stop()
        try:
            for job in (training[1], early):
                job.kubectl("delete", "pretrainjob", job.name, "--wait=false")
            for job in (training[1], early):
                job.delete()
                assert not job.running()
                eventually(job.pods, lambda pods: not pods, within_seconds=120)
        finally:
            installed.s3.start()
