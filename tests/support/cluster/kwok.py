"""Simulated nodes: KWOK answers for kubelets that do not exist, pods included. The rest of Kubernetes is real."""

from pathlib import Path
from typing import Any

from support.cluster import processes, programs
from support.cluster.control_plane import ControlPlane
from support.cluster.processes import Process
from support.eventually import eventually

STAGES = Path(__file__).with_name("kwok_stages.yaml")
EXIT_CODE = "test.pretrain.dev/exit-code"
"""Annotation: the pod ends with this code."""
MESSAGE = "test.pretrain.dev/message"
"""Annotation: the termination message of a pod that ends."""
_LABEL = "type"


class SimulatedNodes:
    """Nodes of one control plane on which pods start at once, and end when a test says so."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.process: Process | None = None
        self.count = 0

    def start(self, nodes: int) -> None:
        """KWOK with its first nodes, until they are ready."""
        command = [
            programs.find("kwok"), "--kubeconfig", self.plane.kubeconfig, "--config", STAGES, "--manage-all-nodes",
            "--node-lease-duration-seconds", "40", "--cidr", "10.128.0.0/9", "--node-ip", "10.88.255.1", "-v", "WARN",
        ]  # fmt: skip
        self.process = processes.start(self.plane.folder, "kwok", command, dies_with_parent=self.plane.dies_with_parent)
        self.add(nodes)

    def add(self, nodes: int) -> list[str]:
        """More nodes, ready when this returns; their names."""
        names = [f"simulated-{number}" for number in range(self.count, self.count + nodes)]
        self.count += nodes
        self.plane.kubectl.apply([_node(name) for name in names])
        eventually(lambda: set(names) - self._ready(), lambda missing: not missing, 60)
        return names

    def finish(self, namespace: str, pod: str, exit_code: int, message: str = "") -> None:
        """Let a running pod end."""
        self.plane.kubectl(
            "annotate", "pod", pod, "-n", namespace, "--overwrite", f"{EXIT_CODE}={exit_code}", f"{MESSAGE}={message}"
        )

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()

    def _ready(self) -> set[str]:
        nodes = self.plane.kubectl.get("nodes", "-l", f"{_LABEL}=kwok")["items"]
        return {
            node["metadata"]["name"]
            for node in nodes
            for condition in node.get("status", {}).get("conditions", [])
            if condition["type"] == "Ready" and condition["status"] == "True"
        }


def _node(name: str) -> dict[str, Any]:
    labels = {
        _LABEL: "kwok",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
