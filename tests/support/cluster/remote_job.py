"""A PretrainJob on the development cluster: applied, watched, mended, and what it left in its storage."""

import hashlib
import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from support.cluster.fixtures import new_namespace
from support.cluster.foreign import AnyCluster
from support.cluster.installation import OPERATORS
from support.cluster.s3 import CREDENTIALS, credentials
from support.corpora import texts
from support.eventually import eventually

from pretrain_api.cluster import CREDENTIAL_KEYS
from pretrain_api.types import API_VERSION, KIND

PRETRAIN = str(Path(sys.executable).parent / "pretrain")
BUCKET = "pretrain"
STEPS = 240
"""More than a minute of training on two idle cores: time for all that happens to a disturbed job."""


def a_corpus(cluster: AnyCluster) -> str:
    """Documents in the bucket; their address."""
    folder = cluster.s3.buckets / BUCKET / "corpus"
    cluster.s3.make_bucket(BUCKET)
    if not folder.exists():
        folder.mkdir()
        for number in range(4):
            lines = [json.dumps({"text": text}) for text, _ in zip(texts(number), range(60), strict=False)]
            (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return f"s3://{BUCKET}/corpus/*.jsonl"


def keys(cluster: AnyCluster, name: str = CREDENTIALS, **wrong: str) -> dict[str, Any]:
    """The Secret that lets a job into the S3 server, whose address stands in the job; `wrong` keys replace right ones."""
    right = {key: cluster.s3.environment[key] for key in CREDENTIAL_KEYS}
    return credentials({**right, **wrong}, name)


def folder_of(cluster: AnyCluster, uri: str) -> Path:
    """A run's storage as it lies on this machine."""
    if uri.startswith("s3://"):
        return cluster.s3.buckets / uri.removeprefix("s3://")
    return Path(uri.removeprefix("file://"))


def a_spec(cluster: AnyCluster, corpus: str) -> dict[str, Any]:
    """A job that two cores finish in some minutes, with two workers and two pods for each stage before training."""
    return {
        "storage": {
            "uri": f"s3://{BUCKET}/{secrets.token_hex(4)}",
            "endpointUrl": cluster.s3.url,
            "secretRef": {"name": CREDENTIALS},
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


@dataclass(frozen=True)
class Made:
    """What a run left in its folder."""

    folder: Path

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


@dataclass
class RemoteJob:
    """A PretrainJob in a namespace of its own."""

    cluster: AnyCluster
    namespace: str
    name: str
    spec: dict[str, Any]
    """As it was first applied."""

    @classmethod
    def applied(cls, cluster: AnyCluster, name: str, spec: dict[str, Any], namespace: str = "") -> "RemoteJob":
        """A new job in a namespace, without one in a new one."""
        found = cls(cluster, namespace or new_namespace(cluster), name, spec)
        found.apply(keys(cluster), found.manifest)
        return found

    @property
    def manifest(self) -> dict[str, Any]:
        metadata = {"name": self.name}
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": self.spec}

    @property
    def made(self) -> Made:
        """What it left in its storage."""
        return Made(folder_of(self.cluster, self.spec["storage"]["uri"]))

    def apply(self, *objects: Any) -> None:
        """Objects into its namespace."""
        self.kubectl("apply", "--server-side", "-f", "-", objects=list(objects))

    def edit(self, **spec: Any) -> None:
        self.kubectl("patch", "pretrainjob", self.name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def delete(self) -> None:
        """Returns once it is gone."""
        self.kubectl("delete", "pretrainjob", self.name, "--timeout=150s", "--ignore-not-found")

    def kubectl(self, *arguments: str, objects: Any = None) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, objects=objects, within_seconds=180)

    def status(self) -> dict[str, Any]:
        path = f"/apis/{API_VERSION}/namespaces/{self.namespace}/pretrainjobs/{self.name}"
        found: dict[str, Any] = self.cluster.kubectl.read(path).get("status", {})
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        found = [c for c in self.status().get("conditions", []) if c["type"] == kind]
        return found[0] if found else {"status": "Unknown", "message": ""}

    def pods(self, selector: str = "") -> list[dict[str, Any]]:
        chosen = f"pretrain.dev/job={self.name}" + (f",{selector}" if selector else "")
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        found: list[dict[str, Any]] = self.cluster.kubectl.read(path, labelSelector=chosen)["items"]
        return found

    def running(self, selector: str = "") -> list[str]:
        """Names of pods at work."""
        return [p["metadata"]["name"] for p in self.pods(selector) if p["status"].get("phase") == "Running"]

    def recovered(self, count: int) -> dict[str, Any]:
        """The newest recovery, once there were so many within starts of training."""
        status = eventually(self.status, lambda s: s["recovery"].get("restarts", 0) >= count, 180, every_seconds=0.2)
        found: dict[str, Any] = status["recovery"]["lastRecovery"]
        return found

    def attempts(self, stage: str) -> int:
        """How often a stage was started."""
        return next(int(entry["attempts"]) for entry in self.status()["stages"] if entry["name"] == stage)

    def until(self, state: str, within_seconds: float = 600) -> dict[str, Any]:
        """Wait for a state; a job that failed meanwhile fails the test with all that is known."""
        ends = {state, "Succeeded", "Failed"}
        try:
            status = eventually(self.status, lambda s: s.get("state") in ends, within_seconds, every_seconds=0.5)
            assert status["state"] == state, json.dumps(status, indent=1)
        except AssertionError:
            print(self.kubectl("get", "pods,jobs,events", "-o", "wide"), self.logs())
            raise
        return status

    def logs(self) -> str:
        operator = self.cluster.kubectl.run("logs", *OPERATORS, "--tail=40", "--prefix").stdout
        own = self.cluster.kubectl.run(
            "-n", self.namespace, "logs", "-l", f"pretrain.dev/job={self.name}", "--tail=30", "--prefix"
        ).stdout
        return operator + own

    def audited(self, folder: Path) -> dict[str, Any]:
        """What `pretrain data audit` finds out about it; that all is well, above all. The folder is for a file."""
        (folder / "job.yaml").write_text(yaml.safe_dump(self.manifest))
        done = subprocess.run(
            [PRETRAIN, "data", "audit", str(folder / "job.yaml"), "-o", "json"],
            env={**os.environ, **self.cluster.s3.environment}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found
