"""The development cluster: control plane, nodes and their network on this machine, S3 and Prometheus beside them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from support.cluster import node, programs, teardown
from support.cluster.containerd import PAUSE
from support.cluster.control_plane import ControlPlane
from support.cluster.kubectl import Kubectl
from support.cluster.missing import MissingPart
from support.cluster.mounts import require_mounts, require_no_chroot
from support.cluster.network import CLUSTERS, NODES, Network
from support.cluster.node import Node
from support.cluster.places import Lock
from support.cluster.prometheus import Prometheus
from support.cluster.s3 import S3Server
from support.cluster.scratch_image import busybox_image


class DevelopmentCluster:
    """A Kubernetes cluster on this machine. `network.number` tells several apart; everything lies in `folder`."""

    busybox = "localhost/pretrain/busybox:1"
    """An image with a shell that every node has."""

    def __init__(self, network: Network, nodes: int, *, dies_with_parent: bool = True) -> None:
        if not 1 <= nodes <= NODES:
            raise ValueError(f"a cluster has 1 to {NODES} nodes, not {nodes}")
        self.network = network
        self.folder = teardown.folder_of(network)
        self._count = nodes
        self._dies_with_parent = dies_with_parent

    @cached_property
    def plane(self) -> ControlPlane:
        return ControlPlane(self.folder, self.network.address, dies_with_parent=self._dies_with_parent)

    @cached_property
    def nodes(self) -> list[Node]:
        return [Node(self.folder, self.plane, self.network, n + 1, self._count) for n in range(self._count)]

    @cached_property
    def s3(self) -> S3Server:
        """Reachable from pods."""
        return S3Server(self.folder / "s3", self.network.address, dies_with_parent=self._dies_with_parent)

    @cached_property
    def prometheus(self) -> Prometheus:
        """Started by whoever needs it."""
        return Prometheus(self.folder / "prometheus", dies_with_parent=self._dies_with_parent)

    @property
    def kubeconfig(self) -> Path:
        return self.plane.kubeconfig

    @property
    def kubectl(self) -> Kubectl:
        return self.plane.kubectl

    def start(self) -> None:
        """Bring everything up, until all nodes are Ready."""
        self.folder.mkdir()
        self.network.create(self._count)
        self.plane.start()
        self.plane.start_controllers()
        self.plane.start_scheduler()
        self.s3.start()
        archives = [
            busybox_image(self.folder / f"{name.split('/')[-1]}.tar", name, programs.find("busybox"), command)
            for name, command in ((PAUSE, ["sleep", "infinity"]), (self.busybox, ["sh"]))
        ]
        for each in self.nodes:
            each.switch_on()
            for archive in archives:
                each.ctr("images", "import", str(archive))
            each.start_kubelet()
        self.wait_until_ready()

    def load_image(self, archive: Path) -> None:
        """Bring the image of an archive into every node. Those of the Dockerfile come by `support.images.nodes`."""
        for each in self.nodes:
            each.ctr("images", "import", str(archive))

    def node(self, name: str) -> Node:
        (found,) = [each for each in self.nodes if each.name == name]
        return found

    def wait_until_ready(self, within_seconds: float = 120) -> None:
        node.wait_until_ready(self.plane, [each.name for each in self.nodes], within_seconds)


@contextmanager
def running_cluster(nodes: int = 2) -> Iterator[DevelopmentCluster]:
    """A cluster for the length of a test run."""
    cluster, lock = _claimed(nodes, dies_with_parent=True)
    try:
        cluster.start()
        yield cluster
    finally:
        teardown.tear_down(cluster.network)
        lock.remove()


def bring_up(nodes: int) -> DevelopmentCluster:
    """The cluster that stays until it is taken down; a running one as it is."""
    for running in kept():
        return running
    cluster, lock = _claimed(nodes, dies_with_parent=False)
    try:
        cluster.start()
        teardown.keep(cluster.network, nodes)
    except BaseException:
        teardown.tear_down(cluster.network)
        lock.remove()
        raise
    lock.release()
    return cluster


def kept() -> list[DevelopmentCluster]:
    """The cluster that `bring_up` made, if it runs."""
    return [DevelopmentCluster(network, nodes, dies_with_parent=False) for network, nodes in teardown.kept()]


def _claimed(nodes: int, *, dies_with_parent: bool) -> tuple[DevelopmentCluster, Lock]:
    """A cluster that is not there yet, and the right to make it."""
    require()
    teardown.clean_up()
    for number in range(CLUSTERS):
        if lock := teardown.claim(Network(number)):
            return DevelopmentCluster(Network(number), nodes, dies_with_parent=dies_with_parent), lock
    raise MissingPart(f"{CLUSTERS} clusters run on this machine already")


def require() -> None:
    """Say everything that is missing at once."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise MissingPart(
            "nodes with containers need root on Linux; point KUBECONFIG at a cluster of yours to use that one instead"
        )
    require_mounts()
    require_no_chroot()
    missing = []
    for name in node.PROGRAMS:
        with suppress(MissingPart):
            programs.find(name)
            continue
        missing.append("`make cluster-programs`")
    packages = node.missing_programs()
    if packages:
        missing.append(f"`apt-get install {' '.join(packages)}`")
    if missing:
        raise MissingPart(f"nodes with containers need {' and '.join(sorted(set(missing)))}")
