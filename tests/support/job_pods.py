"""Pods of a job as processes of this machine: the pod's real program, a real API server, no container around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.cluster.control_plane import ControlPlane
from support.cluster.fixtures import new_namespace

from pretrain_api import cluster
from pretrain_api.events import Outcome
from pretrain_api.report import Report
from pretrain_api.stages import Stage
from pretrain_api.world import Member, World


class Surroundings:
    """A namespace with what the operator makes for a job: a service account that may do what a job's may, and the
    ConfigMaps."""

    def __init__(self, plane: ControlPlane, folder: Path, job: str = "tiny") -> None:
        self.plane, self.job, self.namespace = plane, job, new_namespace(plane)
        self.world, self.report = cluster.world_name(job), cluster.report_name(job)
        rules = [
            {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [self.world], "verbs": ["get", "watch"]},
            {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [self.report], "verbs": ["get", "patch"]},
        ]
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": job}
        subject = {"kind": "ServiceAccount", "name": job, "namespace": self.namespace}
        of_rbac = "rbac.authorization.k8s.io/v1"
        self._apply("v1", "ServiceAccount", job)
        self._apply(of_rbac, "Role", job, rules=rules)
        self._apply(of_rbac, "RoleBinding", job, roleRef=role, subjects=[subject])
        self._apply("v1", "ConfigMap", self.report)
        self.service_account = folder / "service-account"
        self.service_account.mkdir(parents=True)
        token = plane.kubectl("create", "token", job, "-n", self.namespace)
        (self.service_account / "token").write_text(token)
        (self.service_account / "ca.crt").write_bytes(plane.authority.certificate.read_bytes())

    def _apply(self, version: str, kind: str, name: str, **content: Any) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        self.plane.kubectl.apply({"apiVersion": version, "kind": kind, "metadata": metadata, **content})

    def publish(
        self, generation: int, uids: Sequence[str], port: int, attempt: int | None = None, *, planned: bool = True
    ) -> None:
        """The world with these pods, all of them on this machine; of an attempt of the same number, if not told
        otherwise."""
        roster = tuple(Member(worker=n, pod=f"w-{uid}", uid=uid, address="127.0.0.1") for n, uid in enumerate(uids))
        world = World(
            generation=generation, attempt=attempt or generation, roster=roster, leader="127.0.0.1", port=port,
            planned=planned,
        )  # fmt: skip
        self._apply("v1", "ConfigMap", self.world, data={cluster.WORLD_KEY: world.model_dump_json()})

    def reported(self) -> Report | None:
        """What the job's pods last reported."""
        found = self.plane.kubectl.get("configmap", self.report, "-n", self.namespace)
        text = found.get("data", {}).get(cluster.REPORT_KEY)
        return Report.model_validate_json(text) if text else None

    def environment(self, uid: str) -> dict[str, str]:
        """What the operator and Kubernetes put into a pod's environment."""
        return {
            "KUBERNETES_SERVICE_HOST": self.plane.address,
            "KUBERNETES_SERVICE_PORT": str(self.plane.port),
            cluster.ENV_NAMESPACE: self.namespace,
            cluster.ENV_POD_UID: uid,
            cluster.ENV_WORLD: self.world,
            cluster.ENV_REPORT: self.report,
        }


class Pod:
    """One run of the pod's program."""

    def __init__(
        self,
        folder: Path,
        stage: Stage,
        job: Path,
        upstream: Mapping[str, str],
        *arguments: str,
        service_account: Path = Path("/none"),
        **environment: str,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log, self._said = folder / "log", folder / "termination-log"
        command = [sys.executable, "-m", "pretrain_trainer.pod", "--stage", stage.value, "--job", str(job)]
        for name, fingerprint in upstream.items():
            command += ["--upstream", f"{name}={fingerprint}"]
        command += [*arguments, "--termination-log", str(self._said), "--service-account", str(service_account)]
        temporary = folder / "tmp"
        temporary.mkdir(exist_ok=True)
        own = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary), "HOME": str(temporary), **environment}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, env=own, stdout=log, stderr=log)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def outcome(self) -> Outcome:
        """The pod's termination message."""
        return Outcome.model_validate_json(self._said.read_bytes())

    def ended(self, within_seconds: float = 180) -> int:
        """The exit code."""
        return self.process.wait(timeout=within_seconds)


def written(folder: Path, job: Mapping[str, Any]) -> Path:
    """The job as its ConfigMap's file."""
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    return path
