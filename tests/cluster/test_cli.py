"""`pretrain logs` with real kubelets and containers. The pods stand for a job's: no operator is needed to read logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster.cluster import DevelopmentCluster
from support.crds import install_crd
from support.eventually import eventually
from support.jobs import a_job
from support.pods import Pods, a_pod

from pretrain_api import crd
from pretrain_api.types import API_VERSION

PRETRAIN = str(Path(sys.executable).parent / "pretrain")
CRD_NAME = crd.definition()["metadata"]["name"]


@pytest.fixture(scope="module", autouse=True)
def definition(cluster: DevelopmentCluster) -> Iterator[None]:
    """The CustomResourceDefinition, taken away again where it was not there: the chart's tests bring their own."""
    kubectl = cluster.kubectl
    was_there = kubectl.run("get", "crd", CRD_NAME).returncode == 0
    if not was_there:
        install_crd(kubectl)
    yield
    if not was_there:
        kubectl("delete", "crd", CRD_NAME)


class Job:
    """A job "gpt" whose pods run shell commands."""

    def __init__(self, cluster: DevelopmentCluster, namespace: str, folder: Path) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._pods = Pods(cluster.kubectl, namespace)
        manifest = {**a_job().with_spec(storage={"uri": "s3://bucket/run"}).manifest, "metadata": {"name": "gpt"}}
        (folder / "job.yaml").write_text(yaml.safe_dump(manifest))
        assert self.pretrain("submit", str(folder / "job.yaml")).returncode == 0

    def pretrain(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PRETRAIN, *arguments, "-n", self._namespace], env=self._environment(), capture_output=True, text=True
        )

    def follow(self, output: Path) -> subprocess.Popen[bytes]:
        with open(output, "wb") as file:
            command = [PRETRAIN, "logs", "gpt", "--follow", "-n", self._namespace]
            return subprocess.Popen(command, env=self._environment(), stdout=file)

    def worker(self, index: int, script: str, attempt: int = 1, node: str = "") -> str:
        """A training worker that runs a shell script; gives its pod's name."""
        name = f"gpt-w{index}-{attempt}"
        pod = a_pod(name, self._cluster.busybox, "sh", "-c", script, node=node)
        labels = {"job": "gpt", "stage": "train", "phase": "finish", "attempt": str(attempt), "worker": str(index)}
        pod["metadata"]["labels"] = {f"pretrain.dev/{key}": value for key, value in labels.items()}
        self._pods.kubectl("create", "-f", "-", objects=pod)
        return name

    def has_ended(self, pod: str) -> None:
        eventually(lambda: self._pods.status(pod), lambda status: status.get("phase") in ("Succeeded", "Failed"), 120)

    def state(self, state: str) -> None:
        """Write the job's state, as the operator does."""
        job: dict[str, Any] = {"apiVersion": API_VERSION, "kind": "PretrainJob", "metadata": {"name": "gpt"}}
        job["status"] = {"state": state}
        self._pods.kubectl("apply", "--server-side", "--subresource=status", "-f", "-", objects=json.dumps(job))

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self._cluster.kubeconfig)}


@pytest.fixture
def job(cluster: DevelopmentCluster, namespace: str, tmp_path: Path) -> Job:
    return Job(cluster, namespace, tmp_path)


def test_logs_of_all_workers_are_merged_by_time(job: Job) -> None:
    names = [
        job.worker(0, "echo first; sleep 2; echo third; printf 'last words'"),
        job.worker(1, f"sleep 1; echo {'x' * 40_000}; echo '[rank1]: second'; sleep 2"),
    ]
    for name in names:
        job.has_ended(name)
    printed = job.pretrain("logs", "gpt").stdout.splitlines()
    assert [line for line in printed if line.startswith("[train/0]")] == [
        "[train/0] first", "[train/0] third", "[train/0] last words",
    ]  # fmt: skip
    assert [line for line in printed if line.startswith("[train/1")] == [
        f"[train/1] {'x' * 40_000}", "[train/1 rank 1] second",
    ]  # fmt: skip
    assert job.pretrain("logs", "gpt", "--worker", "0", "--tail", "1").stdout == "[train/0] last words\n"


def test_following_joins_the_next_attempt_and_ends_with_the_job(job: Job, tmp_path: Path) -> None:
    first = job.worker(0, "echo attempt 1; sleep 1; echo lost; exit 1")
    following = job.follow(tmp_path / "log")
    job.has_ended(first)
    second = job.worker(0, "echo attempt 2; sleep 1; echo done", attempt=2)
    job.has_ended(second)
    job.state("Succeeded")
    assert following.wait(60) == 0
    lines = [f"[train/0] {text}" for text in ("attempt 1", "lost", "attempt 2", "done")]
    assert (tmp_path / "log").read_text().splitlines() == lines
    assert job.pretrain("logs", "gpt", "--previous").stdout.splitlines() == lines[:2]


def test_following_over_a_node_that_was_cut_off_gives_every_line_once(
    job: Job, development_cluster: DevelopmentCluster, tmp_path: Path
) -> None:
    node = development_cluster.nodes[1]
    count = "n=0; while [ $n -lt 600 ]; do echo line $n; n=$((n+1)); sleep 0.05; done"
    pod = job.worker(0, count, node=node.name)
    following = job.follow(tmp_path / "log")
    eventually(lambda: (tmp_path / "log").read_text(), lambda text: "line 50\n" in text, 120)
    node.cut_off()
    node.reconnect()
    job.has_ended(pod)
    job.state("Succeeded")
    assert following.wait(120) == 0
    assert (tmp_path / "log").read_text().splitlines() == [f"[train/0] line {n}" for n in range(600)]
