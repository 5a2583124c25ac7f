"""From the end of a pod to the next optimizer step, on a cluster: operator, API server and kubelets are part of it.

    .venv/bin/python benchmarks/elastic/pods.py --output benchmarks/elastic/results/pods.json     # as root, three quarters of an hour
    .venv/bin/python benchmarks/elastic/pods.py --rounds 5 --only "deleted by force"

The development cluster of the tests, all of it on this machine, with two workers of a small model on two nodes. A worker, the one that
leads or the other by turns, loses its agent (SIGKILL), its whole container (SIGKILL) or its pod (deleted without grace). Without a spare the other one
goes on alone; with one it takes the lost one's place. A round begins when all are back. The time runs until every rank that is
left has made a step, as the workers tell it; all clocks are this machine's.
"""

# ruff: noqa: E402 - what the tests share is found once sys.path names it
import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parents[1] / "tests"))

import psutil
from figures import quantile, write
from rich.progress import Progress
from support.charts import overlaid
from support.cluster.cluster import running_cluster
from support.cluster.installation import installed_operator
from support.cluster.remote_job import RemoteJob, a_corpus, a_spec
from support.eventually import eventually

from pretrain_api.cluster import WORLD_KEY, world_name
from pretrain_api.types.status import RecoveryRecord
from pretrain_api.world import World

TRAINING = "pretrain.dev/stage=train"
TARGETS = {"without a spare": 4.0, "with a spare": 5.0}
"""Seconds, p95."""
KUBEFLOW = {"agent killed": "8.8 to 13.4", "deleted by force": "10.2 to 17.5"}
"""Seconds of Kubeflow Trainer 2.1 with two pods on a machine of this kind, back to the last checkpoint."""


def agent(pod: dict[str, Any]) -> psutil.Process:
    """The agent of a pod, as a process of this machine."""
    uid = pod["metadata"]["uid"]
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if uid in words and "pretrain_trainer.agent" in words and words[words.index(uid) - 1] == "--uid":
            return process
    raise LookupError(f"pod {pod['metadata']['name']} has no agent")


def _agent_killed(job: RemoteJob, pod: dict[str, Any]) -> None:
    agent(pod).kill()


def _container_killed(job: RemoteJob, pod: dict[str, Any]) -> None:
    """Its process 1, with which the kernel ends all others."""
    top = agent(pod)
    while "pretrain_trainer.pod" not in top.cmdline():
        top = top.parent() or sys.exit("no process of the pod's program")
    top.kill()


def _deleted(job: RemoteJob, pod: dict[str, Any]) -> None:
    path = f"/api/v1/namespaces/{job.namespace}/pods/{pod['metadata']['name']}"
    job.cluster.kubectl("delete", "--raw", path, "-f", "-", objects={"gracePeriodSeconds": 0})


WAYS: dict[str, Callable[[RemoteJob, dict[str, Any]], None]] = {
    "agent killed": _agent_killed,
    "container killed": _container_killed,
    "deleted by force": _deleted,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="of each way to end, with and without a spare")
    parser.add_argument("--only", choices=[*WAYS], help="one way to end")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    ways = [options.only] if options.only else list(WAYS)
    load = os.getloadavg()[0]
    found: dict[str, dict[str, list[tuple[float, str]]]] = {}
    with running_cluster() as cluster, installed_operator(cluster), Progress() as bar:
        corpus = a_corpus(cluster)
        for setting, spares in (("without a spare", 0), ("with a spare", 1)):
            changes = {
                "data": {"prepare": {"parallelism": 1}},
                "training": {"steps": 1_000_000},
                "evaluation": {"everySteps": 0},
                "workers": {"min": 1, "max": 2, "spares": spares},
                "checkpoint": {"everySeconds": 100_000},
                "recovery": {"maxFailures": 1_000_000},
            }
            job = RemoteJob.applied(cluster, "pods", overlaid(a_spec(cluster, corpus), changes))
            job.until("Training")
            task = bar.add_task(setting, total=options.rounds * len(ways))
            for number in range(options.rounds):
                for way in ways:
                    found.setdefault(way, {}).setdefault(setting, []).append(_round(job, way, number, 2 + spares))
                    bar.advance(task)
            job.delete()
    _print(found)
    write(options.output, load, {"rounds": options.rounds, "secondsAndPhases": found, "kubeflow": KUBEFLOW})


def _round(job: RemoteJob, way: str, number: int, pods: int) -> tuple[float, str]:
    """Seconds of one recovery, and of its phases: of `stop` most is what it takes until the operator has seen the end."""
    _until_all_are_back(job, pods)
    roster = _world(job).roster
    uid = roster[number % len(roster)].uid  # the first one leads
    (victim,) = [pod for pod in job.pods(TRAINING) if pod["metadata"]["uid"] == uid]
    began = time.time()
    WAYS[way](job, victim)
    record = eventually(lambda: _newest(job), lambda found: _is_since(found, began), 120, every_seconds=0.05)
    assert record.time is not None
    return round(record.time.timestamp() + float(record.seconds) - began, 3), record.phases


def _until_all_are_back(job: RemoteJob, pods: int) -> None:
    """Two train, and a spare has imported what it needs and waits."""

    def are_ready() -> bool:
        status, running = job.status(), job.running(TRAINING)
        if status.get("state") != "Training" or status["world"]["summary"] != "2/2" or len(running) != pods:
            return False
        members = {member.pod for member in _world(job).roster}
        return len(members) == 2 and all(
            "waiting for a world" in job.kubectl("logs", name) for name in running if name not in members
        )

    eventually(are_ready, within_seconds=240, every_seconds=1)
    step = job.status()["progress"]["step"]
    eventually(lambda: job.status()["progress"]["step"], lambda now: now > step, within_seconds=120, every_seconds=1)


def _newest(job: RemoteJob) -> RecoveryRecord:
    return RecoveryRecord.model_validate(job.status()["recovery"].get("lastRecovery", {}))


def _is_since(record: RecoveryRecord, began: float) -> bool:
    """Whether it is one of a loss since then; that of a worker that came before may be told of late."""
    is_loss = record.kind in ("Shrink", "Replace")
    return is_loss and record.time is not None and record.time.timestamp() > began - 0.5


def _world(job: RemoteJob) -> World:
    """The newest roster."""
    path = f"/api/v1/namespaces/{job.namespace}/configmaps/{world_name(job.name)}"
    return World.model_validate_json(job.cluster.kubectl.read(path)["data"][WORLD_KEY])


def _print(found: dict[str, dict[str, list[tuple[float, str]]]]) -> None:
    print(f"{'':18} {'':16} {'p50':>6} {'p95':>6} {'most':>6}  target of p95")
    for way, settings in found.items():
        for setting, rounds in settings.items():
            ordered = sorted(seconds for seconds, _ in rounds)
            figures = (quantile(ordered, 0.5), quantile(ordered, 0.95), ordered[-1])
            told = " ".join(f"{figure:6.2f}" for figure in figures)
            print(f"{way:18} {setting:16} {told}  {TARGETS[setting]} s")


if __name__ == "__main__":
    main()
