"""A job on a real cluster: the operator's chart, its images, an S3 server; undisturbed, disturbed and suspended."""

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster.cluster import DevelopmentCluster
from support.cluster.fixtures import new_namespace
from support.cluster.foreign import ForeignCluster
from support.cluster.installation import NAMESPACE, install_operator
from support.cluster.kubectl import Kubectl
from support.cluster.missing import MissingPart, visibly
from support.corpora import texts
from support.eventually import eventually
from support.exports import generated

PRETRAIN = str(Path(sys.executable).parent / "pretrain")
SEED = int(os.environ.get("PRETRAIN_TEST_SEED", random.SystemRandom().randrange(1 << 30)))
"""Of the moments of the kills; printed by a failing test. Set PRETRAIN_TEST_SEED to replay."""
STEPS = 240
"""More than a minute of training on two idle cores: time for all that happens to the disturbed job."""
BUCKET = "pretrain"
OPERATORS = ("-n", NAMESPACE, "-l", "app.kubernetes.io/name=pretrain-operator")

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def installed(cluster: DevelopmentCluster | ForeignCluster) -> Iterator[DevelopmentCluster]:
    """The cluster with the operator of this checkout."""
    with visibly():
        if isinstance(cluster, ForeignCluster):
            raise MissingPart("the S3 server of these tests is not in the network of the cluster that KUBECONFIG names")
        install_operator(cluster)
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def corpus(installed: DevelopmentCluster) -> str:
    """Documents in a bucket; their address."""
    folder = installed.s3.buckets / BUCKET / "corpus"
    installed.s3.make_bucket(BUCKET)
    folder.mkdir()
    for number in range(4):
        lines = [json.dumps({"text": text}) for text, _ in zip(texts(number), range(60), strict=False)]
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return f"s3://{BUCKET}/corpus/*.jsonl"


def a_spec(installed: DevelopmentCluster, corpus: str, folder: str) -> dict[str, Any]:
    """A job that two cores finish in some minutes, with two workers and two pods for each stage before training."""
    return {
        "storage": {
            "uri": f"s3://{BUCKET}/{folder}",
            "endpointUrl": installed.s3.url,
            "secretRef": {"name": "s3-credentials"},
        },
        "data": {
            "sources": [{"name": "web", "documents": corpus}],
            "prepare": {"deduplicate": {"exact": {}, "minhash": {}}, "parallelism": 2},
            "validation": {"fraction": 0.05},
        },
        "tokenizer": {"train": {"vocabSize": 600}},
        "model": {
            "config": {
                "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "vocab_size": 640,
                "tie_word_embeddings": True,
            }
        },
        "objective": {"causalLM": {}},
        "training": {
            "sequenceLength": 64, "globalBatchSize": 8, "microBatchSize": 2, "steps": STEPS,
            "optimizer": {"adamw": {"learningRate": 3e-3}}, "schedule": {"warmupSteps": 10},
        },
        "workers": {
            "min": 2, "max": 2,
            "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "3Gi"}},
            # The number of threads decides the order of sums: the runs that are compared must have the same.
            "template": {"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]},
        },
        "checkpoint": {"everySeconds": 2, "keepLast": 2},
        "evaluation": {"everySteps": 120},
        "recovery": {"maxFailures": 20},
    }  # fmt: skip


@dataclass
class RemoteJob:
    """A PretrainJob in a namespace of its own."""

    cluster: DevelopmentCluster
    namespace: str
    name: str
    folder: Path
    """Its storage, as the S3 server keeps it."""

    @classmethod
    def applied(cls, cluster: DevelopmentCluster, name: str, spec: dict[str, Any]) -> "RemoteJob":
        namespace = new_namespace(cluster)
        keys = {k: v for k, v in cluster.s3.environment.items() if k in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3-credentials"}, "stringData": keys}
        job = {"apiVersion": "pretrain.dev/v1alpha1", "kind": "PretrainJob", "metadata": {"name": name}, "spec": spec}
        found = cls(cluster, namespace, name, cluster.s3.buckets / BUCKET / spec["storage"]["uri"].rsplit("/", 1)[-1])
        found.kubectl("apply", "--server-side", "-f", "-", objects=[secret, job])
        return found

    def kubectl(self, *arguments: str, objects: Any = None) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, objects=objects, within_seconds=180)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "pretrainjob", self.name, "-o", "json"))
        return found.get("status", {})

    def pods(self, selector: str = "") -> list[dict[str, Any]]:
        chosen = f"pretrain.dev/job={self.name}" + (f",{selector}" if selector else "")
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", "pods", "-l", chosen, "-o", "json"))["items"]
        return found

    def running(self, selector: str = "") -> list[str]:
        """Names of pods at work."""
        return [p["metadata"]["name"] for p in self.pods(selector) if p["status"].get("phase") == "Running"]

    def until(self, state: str, within_seconds: float = 600) -> dict[str, Any]:
        """Wait for a state; a job that failed meanwhile fails the test with all that is known."""
        ends = {state, "Succeeded", "Failed"}
        try:
            status = eventually(self.status, lambda s: s.get("state") in ends, within_seconds, every_seconds=0.5)
            assert status["state"] == state, json.dumps(status, indent=1)
        except AssertionError:
            print(f"seed {SEED}", self.kubectl("get", "pods,jobs,events", "-o", "wide"), self.logs())
            raise
        return status

    def logs(self) -> str:
        operator = self.cluster.kubectl.run("logs", *OPERATORS, "--tail=40", "--prefix").stdout
        own = self.cluster.kubectl.run(
            "-n", self.namespace, "logs", "-l", f"pretrain.dev/job={self.name}", "--tail=30", "--prefix"
        ).stdout
        return operator + own

    def sha256(self) -> str:
        """Of the trained parameters, as the report states it."""
        found: str = json.loads((self.folder / "report" / "report.json").read_text())["training"]["parametersSha256"]
        return found

    def losses(self) -> list[tuple[int, float]]:
        steps = json.loads((self.folder / "report" / "report.json").read_text())["training"]["steps"]
        return [(step["step"], step["loss"]) for step in steps]

    def shards(self) -> dict[str, str]:
        """SHA-256 of each shard by its place."""
        root = self.folder / "shards"
        return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in root.rglob("*.tar")}


@pytest.fixture(scope="module")
def undisturbed(installed: DevelopmentCluster, corpus: str) -> RemoteJob:
    job = RemoteJob.applied(installed, "quiet", a_spec(installed, corpus, "quiet"))
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
        assert head.split() == ["NAME", "STATE", "STEP", "LOSS", "TOKENS/S", "WORKERS", "CHECKPOINT", "ETA", "AGE"]
        assert row.split()[:3] == ["quiet", "Succeeded", f"{STEPS}/{STEPS}"]

    def test_the_exported_model_loads_and_generates(self, undisturbed: RemoteJob) -> None:
        export = undisturbed.folder / "export" / "huggingface"
        assert generated(export, "def ").startswith("def ")

    def test_it_made_the_same_bytes_as_a_run_on_this_machine(
        self, undisturbed: RemoteJob, installed: DevelopmentCluster, corpus: str, tmp_path: Path
    ) -> None:
        spec = a_spec(installed, corpus, "local")
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
        local = RemoteJob(installed, "", "local", installed.s3.buckets / BUCKET / "local")
        assert undisturbed.shards() == local.shards()
        assert undisturbed.losses() == local.losses()
        assert undisturbed.sha256() == local.sha256()


class TestDisturbed:
    def test_kills_of_operators_and_workers_and_a_suspension_change_nothing(
        self, undisturbed: RemoteJob, installed: DevelopmentCluster, corpus: str
    ) -> None:
        """The leading operator dies once in each stage, a worker's pod is deleted, another one's rank is killed."""
        rng = random.Random(SEED)
        job = RemoteJob.applied(installed, "rough", a_spec(installed, corpus, "rough"))
        for stage in ("Collect", "Prepare", "Tokenizer", "Encode"):
            eventually(job.status, lambda s, stage=stage: s.get("stage") == stage, 240, every_seconds=0.2)
            kill_leader(installed.kubectl)
        job.until("Training")
        eventually(job.status, lambda s: s.get("checkpoint", {}).get("step", 0) > 0, 120, every_seconds=0.2)
        job.kubectl("delete", "pod", rng.choice(job.running("pretrain.dev/stage=train")), "--grace-period=0", "--force")
        job.until("Recovering", 60)
        kill_leader(installed.kubectl)
        job.until("Training", 180)
        victim = rng.choice(job.running("pretrain.dev/stage=train"))
        job.kubectl("exec", victim, "--", "python", "-c", KILL_A_RANK)
        eventually(job.status, lambda s: s["recovery"].get("failures", 0) > 0, 90, every_seconds=0.2)

        job.kubectl("patch", "pretrainjob", job.name, "--type=merge", "-p", '{"spec": {"suspend": true}}')
        job.until("Suspended", 120)
        assert not job.running()
        job.kubectl("patch", "pretrainjob", job.name, "--type=merge", "-p", '{"spec": {"suspend": false}}')
        for stage in ("Evaluate", "Export"):
            eventually(job.status, lambda s, stage=stage: s.get("stage") == stage, 300, every_seconds=0.2)
            kill_leader(installed.kubectl)
        status = job.until("Succeeded")

        assert job.shards() == undisturbed.shards(), f"PRETRAIN_TEST_SEED={SEED}"
        assert job.losses() == undisturbed.losses(), f"PRETRAIN_TEST_SEED={SEED}"
        assert job.sha256() == undisturbed.sha256(), f"PRETRAIN_TEST_SEED={SEED}"
        assert status["recovery"]["failures"] == 1, "only the killed rank is a failure"


KILL_A_RANK = """
import os, signal
for name in os.listdir('/proc'):
    if name.isdigit():
        with open(f'/proc/{name}/cmdline', 'rb') as file:
            words = file.read().split(b'\\0')
        if b'pretrain_trainer' in words and b'-u' in words:
            os.kill(int(name), signal.SIGKILL)
"""


def kill_leader(kubectl: Kubectl) -> None:
    """Remove the pod that leads, without grace."""
    holder = kubectl.get("lease", "pretrain-operator", "-n", NAMESPACE)["spec"].get("holderIdentity", "")
    name = holder.partition("_")[0]
    kubectl.run("delete", "pod", name, "-n", NAMESPACE, "--grace-period=0", "--force", "--wait=false")


class TestDeletion:
    def test_a_training_job_is_gone_within_its_grace_and_leaves_a_checkpoint(
        self, installed: DevelopmentCluster, corpus: str
    ) -> None:
        spec = a_spec(installed, corpus, "long")
        spec["training"]["steps"] = 100_000
        spec["checkpoint"]["everySeconds"] = 100_000
        job = RemoteJob.applied(installed, "long", spec)
        job.until("Training")
        job.kubectl("delete", "pretrainjob", job.name, "--timeout=150s")
        assert not job.running("pretrain.dev/stage=train")
        eventually(job.pods, lambda pods: not pods, within_seconds=120)  # the rest is left to garbage collection
        assert list((job.folder / "checkpoints" / "log").iterdir())


class TestTroubles:
    def test_a_missing_secret_and_then_a_missing_bucket_are_named_and_mended_in_place(
        self, installed: DevelopmentCluster, corpus: str
    ) -> None:
        spec = a_spec(installed, corpus, "troubled")
        spec["storage"]["secretRef"]["name"] = "not-there"
        spec["storage"]["uri"] = "s3://later/run"
        job = RemoteJob.applied(installed, "troubled", spec)
        stalled(job, "not-there", "spec.storage.secretRef")
        keys = job.cluster.s3.environment
        secret = {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "not-there"},
            "stringData": {k: keys[k] for k in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")},
        }  # fmt: skip
        job.kubectl("apply", "--server-side", "-f", "-", objects=secret)
        stalled(job, "later", "spec.storage.uri", within_seconds=120)
        job.cluster.s3.make_bucket("later")
        eventually(job.status, lambda s: s["stages"][0]["state"] == "Complete", 120, every_seconds=0.5)
        job.kubectl("delete", "pretrainjob", job.name, "--timeout=150s")


def stalled(job: RemoteJob, *words: str, within_seconds: float = 45) -> None:
    """Wait for a Stalled condition that names what is wrong."""

    def message() -> str:
        found = [c for c in job.status().get("conditions", []) if c["type"] == "Stalled" and c["status"] == "True"]
        return str(found[0]["message"]) if found else ""

    eventually(message, lambda text: all(word in text for word in words), within_seconds, every_seconds=0.5)
