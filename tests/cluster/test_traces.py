"""A cluster leaves nothing on the machine, however it ends."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.cluster import control_groups, places, teardown
from support.cluster.cluster import DevelopmentCluster, running_cluster
from support.cluster.kubelet import KERNEL_SETTINGS
from support.cluster.missing import visibly
from support.cluster.network import Network
from support.eventually import eventually
from support.pods import Pods, a_pod


def traces(network: Network) -> list[str]:
    """Everything on this machine that belongs to a cluster."""
    prefix, folder = network.prefix, teardown.folder_of(network)
    found = [f"namespace {name}" for name in network.namespaces()]
    found += [f"link {path.name}" for path in Path("/sys/class/net").glob(prefix)]
    found += [f"control group {path}" for path in control_groups.existing(prefix)]
    found += [f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]
    found += [f"file {path}" for path in places.STATE.glob(f"{folder.name}*") if path == folder]
    found += [f"process {p.pid} {p.cmdline()}" for p in psutil.process_iter() if _mentions(p, str(folder))]
    return found


def machine() -> dict[str, str]:
    """What a cluster must not change about the machine."""
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    settings = {name: Path("/proc/sys", name).read_text() for name in [*KERNEL_SETTINGS, "net/ipv4/ip_forward"]}
    folders = {name: str(Path(name).exists()) for name in ("/run/containerd", "/var/log/pods", "/var/log/containers",
                                                           "/var/lib/kubelet", "/var/lib/cni")}  # fmt: skip
    return {"rules": re.sub(r"^#.*\n", "", rules, flags=re.MULTILINE), **settings, **folders}


def _mentions(process: psutil.Process, text: str) -> bool:
    try:
        return any(f"{text}/" in argument for argument in process.cmdline())
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(autouse=True)
def possible() -> None:
    """These make clusters of their own, whatever KUBECONFIG says."""
    with visibly():
        from support.cluster.cluster import require

        require()


class TestEnd:
    def test_nothing_stays_behind(self) -> None:
        before = machine()
        with running_cluster(nodes=1) as cluster:
            cluster.prometheus.start()
            eventually(lambda: "default" in cluster.kubectl("get", "serviceaccounts"))
            Pods(cluster.kubectl, "default").start(a_pod("any", cluster.busybox, "sleep", "1000"))
            assert len(traces(cluster.network)) > 5
        assert traces(cluster.network) == []
        assert machine() == before


class TestInterruptedRun:
    def test_is_removed_by_the_next_start(self) -> None:
        program = (
            "import signal\n"
            "from support.cluster.cluster import running_cluster\n"
            "with running_cluster(nodes=1) as cluster:\n"
            "    print(cluster.network.number, flush=True)\n"
            "    signal.pause()\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(places.REPOSITORY / "tests")}
        with subprocess.Popen(
            [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
        ) as run:
            assert run.stdout is not None
            network = Network(int(run.stdout.readline()))
            run.send_signal(signal.SIGKILL)
        # The kernel ends the processes at once; names and folders wait for the next start.
        folder = str(teardown.folder_of(network))
        eventually(lambda: [p for p in psutil.process_iter() if _mentions(p, folder)], lambda left: not left)

        teardown.clean_up()

        assert traces(network) == []


class TestSeveralClusters:
    def test_do_not_meet(self, cluster: DevelopmentCluster) -> None:
        with running_cluster(nodes=1) as other:
            assert len(other.kubectl.get("nodes")["items"]) == 1
        assert len(cluster.kubectl.get("nodes")["items"]) == len(cluster.nodes)
