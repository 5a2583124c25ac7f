"""A namespace of a real API server, and the `pretrain` command as a user of it has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster.kubectl import Kubectl
from support.jobs import a_job

from pretrain_api.types import API_VERSION
from pretrain_cli.cluster import jobs
from pretrain_cli.cluster.connection import Method, connect
from pretrain_cli.main import main

_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Printed:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


@dataclass
class CommandPlace:
    """A namespace, and the command as a user of it has it."""

    kubectl: Kubectl
    namespace: str
    folder: Path
    kubeconfig: Path
    capture: pytest.CaptureFixture[bytes]

    def run(self, *arguments: str) -> Printed:
        """Run `pretrain ...` here."""
        self.capture.readouterr()
        code = main([*arguments])
        printed = self.capture.readouterr()
        return Printed(code, printed.out.decode(), printed.err.decode())

    def file(self, name: str = "gpt", **spec: Any) -> str:
        """A job file."""
        manifest = a_job().with_spec(storage={"uri": f"s3://bucket/{name}"}, **spec).manifest
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**manifest, "metadata": {"name": name}}))
        return str(path)

    def submitted(self, *names: str, **spec: Any) -> None:
        for name in names:
            assert self.run("submit", self.file(name, **spec)).code == 0

    def status(self, name: str, **status: Any) -> None:
        """Write a job's status, as the operator does."""
        job = {"apiVersion": API_VERSION, "kind": "PretrainJob", "metadata": {"name": name}, "status": status}
        self._send(
            "PATCH", f"{jobs.path_of(self.namespace, name)}/status", job, _APPLY, fieldManager="test", force=True
        )

    def pod(self, job: str, node: str, state: str = "running", attempt: int = 1, worker: int = 0) -> str:
        """A training pod of a job on a node; gives its name."""
        name = f"{job}-w{worker}-{attempt}"
        labels = {"job": job, "stage": "train", "attempt": str(attempt), "worker": str(worker), "phase": "finish"}
        security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        pod = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {f"pretrain.dev/{key}": value for key, value in labels.items()}},
            "spec": {
                "nodeName": node, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0,
                "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{"name": "trainer", "image": "trainer", "securityContext": security}],
            },
        }  # fmt: skip
        self._send("POST", f"/api/v1/namespaces/{self.namespace}/pods", pod, "application/json")
        self.pod_state(name, state)
        return name

    def pod_state(self, name: str, state: str) -> None:
        """waiting, running or terminated."""
        phase = {"waiting": "Pending", "running": "Running", "terminated": "Succeeded"}[state]
        details = {"waiting": {"reason": "ContainerCreating"}, "running": {}, "terminated": {"exitCode": 0}}[state]
        container = {"name": "trainer", "image": "trainer", "imageID": "", "ready": False, "restartCount": 0}
        status = {"phase": phase, "containerStatuses": [{**container, "state": {state: details}}]}
        place = f"/api/v1/namespaces/{self.namespace}/pods/{name}/status"
        self._send("PATCH", place, {"status": status}, "application/merge-patch+json")

    def event(self, kind: str, name: str, reason: str, message: str, warning: bool = False) -> None:
        """An event about the job or a pod of it."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "metadata": {"generateName": f"{name}-"},
            "involvedObject": {"kind": kind, "name": name, "namespace": self.namespace},
            "type": "Warning" if warning else "Normal", "reason": reason, "message": message,
            "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        }  # fmt: skip
        self._send("POST", f"/api/v1/namespaces/{self.namespace}/events", event, "application/json")

    def delete(self, kind: str, name: str) -> None:
        """Remove a pod or a job at once, as the operator does."""
        place = (
            jobs.path_of(self.namespace, name) if kind == "job" else f"/api/v1/namespaces/{self.namespace}/pods/{name}"
        )
        self._send("DELETE", place, {"gracePeriodSeconds": 0}, "application/json")

    def _send(self, method: Method, path: str, body: dict[str, Any], content_type: str, **query: object) -> None:
        connect(str(self.kubeconfig)).send(method, path, body, content_type, **query)
