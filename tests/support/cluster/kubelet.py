"""Settings of a node's kubelet."""

import json
from pathlib import Path

from support.cluster import kubeconfig
from support.cluster.control_plane import ControlPlane

KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet wants of its kernel and would set for the whole machine. Nodes see files that say so."""


def write_settings(folder: Path, plane: ControlPlane, name: str, address: str) -> list[str | Path]:
    """The files of a node's kubelet; its arguments."""
    proof = plane.authority.client(f"system:node:{name}", "system:nodes")
    serving = plane.authority.server(f"kubelet-{name}", name, address)
    access = folder / "kubelet.kubeconfig"
    kubeconfig.write(access, plane.url, plane.authority.certificate, f"system:node:{name}", proof)
    (folder / "resolv.conf").write_text("")  # no name server is in reach of pods
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(plane.authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        # The machine's control groups may be of version 1, and belong to no init system.
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
        "resolvConf": str(folder / "resolv.conf"),
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        # Three renewals fit into the control plane's patience: a busy machine may miss two.
        "nodeLeaseDurationSeconds": 16,
        "nodeStatusUpdateFrequency": "4s",
        "serializeImagePulls": False,
        "shutdownGracePeriod": "0s",
        "healthzPort": 0,
    }
    (folder / "kubelet.json").write_text(json.dumps(settings, indent=1))
    return [
        "--config", folder / "kubelet.json", "--kubeconfig", access, "--root-dir", folder / "kubelet",
        "--node-ip", address, "--hostname-override", name,
    ]  # fmt: skip
