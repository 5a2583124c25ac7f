"""Where chaos happens: a cluster, a job that trains on it, and what it has saved so far."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import token_runs
from support.cluster.cluster import DevelopmentCluster
from support.cluster.kubectl import Failed
from support.cluster.node import Node
from support.cluster.remote_job import RemoteJob
from support.eventually import eventually

TRAINING = "pretrain.dev/stage=train"
Break = Callable[["Place"], contextlib.AbstractContextManager[None]]
"""Something to break, and mended at its end."""


@dataclass(frozen=True)
class Seen:
    """What was in storage at some time."""

    seconds: float
    """Since chaos began."""
    step: int
    """The newest one that was committed."""


@dataclass
class Place:
    """A training job among faults. What it saved is read where the S3 server keeps it, so that looking depends on nothing
    that is broken."""

    cluster: DevelopmentCluster
    job: RemoteJob
    chance: random.Random
    began: float = field(default_factory=time.monotonic)
    seen: list[Seen] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def folder(self) -> Path:
        return self.job.made.folder

    def look(self) -> int:
        """The newest committed step. Raises AssertionError when the log of commits is not what it should be."""
        commits = token_runs.commits(self.folder)
        sequences, steps = [c["sequence"] for c in commits], [c["step"] for c in commits]
        assert sequences == sorted(set(sequences)), f"numbers of commits: {sequences}"
        assert steps == sorted(set(steps)), f"a commit went back: {steps}"
        starts = [c["generation"] for c in commits]
        assert starts == sorted(starts), f"an earlier start committed behind a later one: {starts}"
        step = steps[-1] if steps else 0
        if not self.seen or self.seen[-1].step != step:
            self.seen.append(Seen(self.seconds, step))
        return step

    def a_node(self) -> Node:
        """One where a worker trains."""
        names = sorted({pod["spec"]["nodeName"] for pod in self._training()})
        return self.cluster.node(self.chance.choice(names))

    def node_of(self, pod: str) -> Node:
        return self.cluster.node(self._pod(pod)["spec"]["nodeName"])

    def container_of(self, pod: str) -> str:
        """The container's id, by which its control group is called as well."""
        return str(self._pod(pod)["status"]["containerStatuses"][0]["containerID"]).rpartition("/")[2]

    def a_worker(self) -> str:
        """A pod that trains."""
        return self.chance.choice(sorted(pod["metadata"]["name"] for pod in self._training()))

    def _pod(self, name: str) -> dict[str, Any]:
        return next(pod for pod in self.job.pods(TRAINING) if pod["metadata"]["name"] == name)

    def _training(self) -> list[dict[str, Any]]:
        """Workers that run. An event may come right behind another one that has left none for a moment."""

        def look() -> list[dict[str, Any]]:
            pods = self.job.pods(TRAINING)
            return [
                p for p in pods if p["status"].get("phase") == "Running" and "deletionTimestamp" not in p["metadata"]
            ]

        return eventually(look, within_seconds=120, every_seconds=0.5)

    def status(self) -> dict[str, Any]:
        """The job's status as far as the API server answers."""
        try:
            return self.job.status()
        except (Failed, json.JSONDecodeError, OSError):
            return {}
