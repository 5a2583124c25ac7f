"""A cluster in tests of the operator: plain requests, the operator's process, and the programs of pods that KWOK runs."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.cluster.control_plane import ControlPlane
from support.cluster.kwok import EXIT_CODE, MESSAGE
from support.cluster.ports import free_port
from support.eventually import eventually
from support.jobs import JobBuilder, a_job

from pretrain_api.cluster import JOB_FILE, LABEL_PHASE, LABEL_STAGE, LABEL_WORKER, job_name

Manifest = dict[str, Any]
JOBS = "/apis/pretrain.dev/v1alpha1/namespaces/{}/pretrainjobs"
ROOT = Path(__file__).resolve().parents[2]


class Api:
    """Requests as administrator over one connection at a time. Raises ApiFault for every answer that is not 2xx."""

    def __init__(self, plane: ControlPlane) -> None:
        proof = plane.authority.client_of("admin")
        self._context = ssl.create_default_context(cafile=str(plane.authority.certificate))
        self._context.load_cert_chain(proof.certificate, proof.key)
        self._address = (plane.address, plane.port)

    def __call__(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Manifest:
        connection = http.client.HTTPSConnection(*self._address, context=self._context, timeout=30)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": kind, "Accept": "application/json"})
            response = connection.getresponse()
            answer: Manifest = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 300:
            raise ApiFault(response.status, str(answer.get("message")))
        return answer

    def get(self, path: str) -> Manifest:
        return self("GET", path)

    def items(self, path: str) -> list[Manifest]:
        found: list[Manifest] = self("GET", path)["items"]
        return found

    def merge(self, path: str, patch: Manifest) -> Manifest:
        return self("PATCH", path, patch, "application/merge-patch+json")


class ApiFault(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass
class Cluster:
    """One namespace of a control plane, as a test of the operator sees it."""

    api: Api
    namespace: str

    def apply(self, manifest: Manifest) -> None:
        """Make a PretrainJob."""
        self.api("POST", JOBS.format(self.namespace), manifest)

    def job(self, name: str = "test") -> Manifest:
        return self.api.get(f"{JOBS.format(self.namespace)}/{name}")

    def status(self, name: str = "test") -> Manifest:
        found: Manifest = self.job(name).get("status", {})
        return found

    def edit(self, name: str = "test", **spec: Any) -> None:
        self.api.merge(f"{JOBS.format(self.namespace)}/{name}", {"spec": spec})

    def report_step(self, step: int, attempt: int = 1, time: str = "2026-01-01T00:00:00Z") -> None:
        """Tell the operator what worker 0 of a training would, and wait until it knows."""
        told = {"version": 1, "stage": "Train", "attempt": attempt, "time": time}
        content = json.dumps({**told, "figures": {"step": step}})
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/test-report"
        self.api.merge(path, {"data": {"report": content}})
        self.until(lambda status: status["progress"].get("step") == step)

    def accepted(self) -> dict[str, Any]:
        """The spec that the job's programs are started with."""
        name = job_name("test", self.status()["acceptedJob"])
        config = self.api("GET", f"/api/v1/namespaces/{self.namespace}/configmaps/{name}")
        spec: dict[str, Any] = json.loads(config["data"][JOB_FILE])["spec"]
        return spec

    def delete(self, name: str = "test") -> None:
        self.api("DELETE", f"{JOBS.format(self.namespace)}/{name}")

    def is_there(self, name: str = "test") -> bool:
        try:
            self.job(name)
        except ApiFault as fault:
            if fault.status != 404:
                raise
            return False
        return True

    def children(self, plural: str, group: str = "api/v1") -> list[Manifest]:
        return self.api.items(f"/{group}/namespaces/{self.namespace}/{plural}")

    def pods(self, stage: str = "") -> list[Manifest]:
        found = self.children("pods")
        return [p for p in found if stage in ("", p["metadata"]["labels"].get(LABEL_STAGE))]

    def state(self, name: str = "test") -> str:
        return str(self.status(name).get("state", ""))

    def condition(self, kind: str, name: str = "test") -> Manifest:
        found: list[Manifest] = self.status(name).get("conditions", [])
        return next((c for c in found if c["type"] == kind), {"status": "Unknown", "reason": "", "message": ""})

    def until(self, holds: Callable[[Manifest], bool], within_seconds: float = 90, name: str = "test") -> Manifest:
        """The first status that holds."""
        return eventually(lambda: self.status(name), holds, within_seconds, every_seconds=0.2)

    def until_state(self, *states: str, within_seconds: float = 120, name: str = "test") -> Manifest:
        return self.until(lambda status: status.get("state") in states, within_seconds, name)

    def alive(self) -> list[str]:
        """Names of pods that may still run."""
        return [p["metadata"]["name"] for p in self.pods() if p["status"].get("phase") not in ("Succeeded", "Failed")]

    def until_none_alive(self, within_seconds: float = 60) -> None:
        eventually(self.alive, lambda names: not names, within_seconds, every_seconds=0.2)

    def running(self, stage: str, count: int, within_seconds: float = 90) -> list[Manifest]:
        """So many pods of a stage that run and are not leaving, as soon as there are."""

        def look() -> list[Manifest]:
            return [
                p
                for p in self.pods(stage)
                if p["status"].get("phase") == "Running" and "deletionTimestamp" not in p["metadata"]
            ]

        return eventually(look, lambda pods: len(pods) == count, within_seconds, every_seconds=0.2)

    def training(self, workers: int, attempt: int, within_seconds: float = 90) -> list[Manifest]:
        """The workers of an attempt once a roster of it is published, and recorded as the newest one."""
        self.until(lambda s: s.get("world", {}).get("generation", 0) > 0, within_seconds)
        eventually(self.world, lambda world: world.get("attempt") == attempt, within_seconds, every_seconds=0.2)
        self.until(lambda s: s["world"]["generation"] == self.world()["generation"], within_seconds)
        return self.running("train", workers, within_seconds)

    def world(self, name: str = "test") -> Manifest:
        """The published roster; empty before there is one."""
        data = self.api.get(f"/api/v1/namespaces/{self.namespace}/configmaps/{name}-world").get("data", {})
        found: Manifest = json.loads(data.get("world", "{}"))
        return found

    def published(self) -> Manifest | None:
        """The roster where its ConfigMap is there and has one."""
        try:
            return self.world() or None
        except ApiFault as fault:
            if fault.status != 404:
                raise
            return None

    def events(self) -> list[tuple[str, str]]:
        """Reasons and messages of the job's events, oldest first."""
        found = [e for e in self.children("events") if e["involvedObject"]["kind"] == "PretrainJob"]
        return [(e["reason"], e["message"]) for e in sorted(found, key=lambda e: e["lastTimestamp"])]

    def end(self, pod: str, exit_code: int, outcome: Mapping[str, Any] | None = None) -> None:
        """Let the program of a pod end."""
        message = json.dumps(outcome) if outcome else ""
        annotations = {EXIT_CODE: str(exit_code), MESSAGE: message}
        self.api.merge(f"/api/v1/namespaces/{self.namespace}/pods/{pod}", {"metadata": {"annotations": annotations}})


def a_storage() -> Manifest:
    """Storage that pods can reach and no other job names: an operator of all namespaces lets one job work in each."""
    uri = f"s3://bucket/{secrets.token_hex(4)}"
    return {"uri": uri, "endpointUrl": "http://store:9000", "secretRef": {"name": "s3"}}


def a_cluster_job(**spec: Any) -> JobBuilder:
    """A small job with a storage of its own."""
    return a_job().with_spec(**{"storage": a_storage(), **spec})


Fate = Callable[[Manifest], tuple[int, Mapping[str, Any]] | None]
"""What becomes of a running pod: exit code and outcome, or None to let it run."""


def succeeds(pod: Manifest) -> tuple[int, Mapping[str, Any]]:
    """The program does its work at once, as the real one would tell it."""
    labels = pod["metadata"]["labels"]
    is_last = labels.get(LABEL_PHASE, "finish") == "finish"
    return 0, {"outcome": "complete", "fingerprint": f"{labels[LABEL_STAGE]}-made" if is_last else ""}


def succeeds_except(*stages: str) -> Fate:
    """All programs do their work, but those of some stages run on."""
    return lambda pod: None if pod["metadata"]["labels"].get(LABEL_STAGE) in stages else succeeds(pod)


@dataclass
class Programs:
    """Plays the programs of a namespace's pods in a thread: each pod that runs meets its fate."""

    cluster: Cluster
    fate: Fate = succeeds
    needs_world: bool = True
    seen: dict[str, Manifest] = field(default_factory=dict)
    """Every pod that ever ran, by uid, as it was first seen running."""
    faults: list[BaseException] = field(default_factory=list)

    @contextlib.contextmanager
    def playing(self) -> Iterator[Programs]:
        stop = threading.Event()
        thread = threading.Thread(target=self._play, args=(stop,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()
        assert self.faults == []

    def _play(self, stop: threading.Event) -> None:
        while not stop.wait(0.2):
            try:
                self._turn()
            except (ApiFault, OSError) as fault:
                if not isinstance(fault, OSError) and fault.status not in (404, 409, 429, 500, 503):
                    self.faults.append(fault)

    def _turn(self) -> None:
        world = self._roster()
        for pod in self.cluster.pods():
            uid, labels = pod["metadata"]["uid"], pod["metadata"].get("labels", {})
            if pod["status"].get("phase") != "Running" or EXIT_CODE in pod["metadata"].get("annotations", {}):
                continue
            if LABEL_WORKER in labels and self.needs_world and uid not in world:
                continue
            self.seen.setdefault(uid, pod)
            if (fate := self.fate(pod)) is not None:
                self.cluster.end(pod["metadata"]["name"], *fate)

    def _roster(self) -> set[str]:
        worlds = [c["data"]["world"] for c in self.cluster.children("configmaps") if "world" in c.get("data", {})]
        return {member["uid"] for world in worlds for member in json.loads(world)["roster"]}


class OperatorProcess:
    """The real operator in a process of its own."""

    def __init__(
        self,
        kubeconfig: Path,
        folder: Path,
        *flags: str,
        namespace: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`environment`: variables beside those of this process."""
        self.health, self.metrics = free_port(), free_port()
        self.log = folder / f"operator-{self.health}.log"
        serve = [f"--health-address=127.0.0.1:{self.health}", f"--metrics-address=127.0.0.1:{self.metrics}"]
        only = [f"--namespace={namespace}"] if namespace else []
        election = [] if any("lease" in flag for flag in flags) else ["--no-leader-election"]
        self._command = [sys.executable, "-m", "pretrain_operator", "--trainer-image=trainer:test", *serve, *only]
        self._command += [*election, *flags]
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> OperatorProcess:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log, cwd=ROOT)
        return self

    def until_ready(self, within_seconds: float = 60) -> OperatorProcess:
        eventually(lambda: self.answer(self.health, "/readyz")[0], lambda code: code == 200, within_seconds)
        return self

    def answer(self, port: int, path: str) -> tuple[int, str]:
        """Status and text of a GET; 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (TimeoutError, OSError):
            return 0, ""

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end; gives its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def __enter__(self) -> OperatorProcess:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.kill()
        print(self.log.read_text()[-20000:])  # shown when the test fails
