"""Settings of a node's containerd: everything in the node's own folders, nothing shared with another node."""

import json
from pathlib import Path

from support.cluster import clocks

PAUSE = "localhost/pretrain/pause:1"
"""Image of the container that holds a pod's namespaces."""


def write_settings(folder: Path, network: str, pods: str) -> list[str | Path]:
    """The files of a node's containerd; its arguments."""
    (folder / "cni").mkdir(exist_ok=True)
    (folder / "cni" / "10-pods.conflist").write_text(json.dumps(_pod_network(network, pods), indent=1))
    (folder / "containerd.toml").write_text(
        _SETTINGS.format(folder=folder, pause=PAUSE, runc=clocks.write_runc(folder))
    )
    return ["--config", folder / "containerd.toml"]


def _pod_network(name: str, pods: str) -> dict[str, object]:
    return {
        "cniVersion": "1.0.0",
        "name": name,
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni-addresses",
                    "ranges": [[{"subnet": pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }


# /run is the node's own: see `node`. Its socket is not there, since this machine uses it too.
# Without CAP_SYS_RESOURCE, which sandboxes often lack, runc dies when it shall lower a process's OOM score.
_SETTINGS = """version = 3
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
address = "{folder}/containerd.sock"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "{folder}/cni"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false
"""
