"""Pods for tests, as strict as Pod Security can be, and what became of them."""

from typing import Any

from support.cluster.kubectl import Kubectl
from support.eventually import eventually

KILL = """
import os, signal, sys
for name in os.listdir('/proc'):
    if name.isdigit() and int(name) > 1:
        with open(f'/proc/{name}/comm') as comm, open(f'/proc/{name}/cmdline') as line:
            if comm.read().startswith(sys.argv[1]) or line.read().split(chr(0))[2:3] == [sys.argv[1]]:
                os.kill(int(name), signal.SIGKILL)
                break
"""
"""Kills the process whose name begins like this, or that runs this module."""


def a_pod(name: str, image: str, *command: str, node: str | None = None, **container: Any) -> dict[str, Any]:
    """A pod of one container that the restricted profile admits."""
    strict = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    main = {"name": "main", "image": image, "command": list(command), "securityContext": strict, **container}
    where = {"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [main], **where},
    }


class Pods:
    """The pods of one namespace."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self.namespace = namespace
        self._kubectl = kubectl

    def kubectl(self, *arguments: str, objects: Any = None) -> str:
        return self._kubectl("-n", self.namespace, *arguments, objects=objects)

    def start(self, pod: dict[str, Any]) -> str:
        """Create a pod and wait until it runs; its address."""
        self.kubectl("create", "-f", "-", objects=pod)
        name = pod["metadata"]["name"]
        status = eventually(lambda: self.status(name), lambda status: status["phase"] == "Running", 60)
        address: str = status["podIP"]
        return address

    def output(self, pod: dict[str, Any]) -> str:
        """Create a pod and wait until it has succeeded; what it printed."""
        self.kubectl("create", "-f", "-", objects=pod)
        name = pod["metadata"]["name"]
        status = eventually(lambda: self.status(name), lambda status: status["phase"] in ("Succeeded", "Failed"), 60)
        printed = self.kubectl("logs", name)
        assert status["phase"] == "Succeeded", f"{name}: {status}\n{printed}"
        return printed

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self._kubectl.get("pod", name, "-n", self.namespace)["status"]
        return status
