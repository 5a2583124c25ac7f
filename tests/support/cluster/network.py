"""The network of a cluster: a bridge in a namespace of its own, one link to this machine, one to each node.

Nothing of this machine's own network is changed: no rule, no forwarding, no address of its own links.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.cluster.missing import MissingPart

CLUSTERS = 16
"""How many may run at once on one machine; each has a /24 of nodes and 15 of pods."""
NODES = 15


@dataclass(frozen=True)
class Network:
    """Names and addresses of one cluster, by its number on this machine."""

    number: int

    @property
    def prefix(self) -> str:
        """Of every namespace, link and control group."""
        return f"pretrain-{self.number}"

    @property
    def address(self) -> str:
        """This machine's, for the API server and whatever else pods shall reach."""
        return f"10.88.{self.number}.1"

    def node_address(self, node: int) -> str:
        return f"10.88.{self.number}.{10 + node}"

    def pods(self, node: int) -> str:
        """Addresses of a node's pods."""
        return f"10.244.{self.number * CLUSTERS + node}.0/24"

    def namespace(self, node: int) -> str:
        return f"{self.prefix}-n{node}"

    def create(self, nodes: int) -> None:
        """Bridge, links and routes. Nodes are numbered from 1."""
        switch = f"{self.prefix}-switch"
        _ip("netns", "add", switch)
        _batch(
            switch,
            "link add br0 type bridge",
            "link set br0 up",
        )
        _batch(
            None,
            f"link add {self.prefix} type veth peer name host netns {switch}",
            f"address add {self.address}/24 dev {self.prefix}",
            f"link set {self.prefix} up",
        )
        _batch(switch, "link set host master br0 up")
        for node in range(1, nodes + 1):
            _ip("netns", "add", self.namespace(node))
            _ip("link", "add", "eth0", "netns", self.namespace(node), "type", "veth",
                "peer", "name", f"n{node}", "netns", switch)  # fmt: skip
            _batch(switch, f"link set n{node} master br0 up")
            _batch(
                self.namespace(node),
                "link set lo up",
                f"address add {self.node_address(node)}/24 dev eth0",
            )
            _ip("route", "add", self.pods(node), "via", self.node_address(node), "dev", self.prefix)
        for node in range(1, nodes + 1):
            self.connect(node, nodes)

    def connect(self, node: int, nodes: int) -> None:
        """Plug a node in. Its routes, which the kernel drops with the link, are set again."""
        others = [each for each in range(1, nodes + 1) if each != node]
        _batch(
            self.namespace(node),
            "link set eth0 up",
            f"route replace default via {self.address}",
            *[f"route replace {self.pods(each)} via {self.node_address(each)}" for each in others],
        )

    def disconnect(self, node: int) -> None:
        """Pull a node's plug."""
        _ip("-n", self.namespace(node), "link", "set", "eth0", "down")

    def delete(self) -> None:
        """Everything whose name has the prefix; what is gone already is fine."""
        if _exists(f"/sys/class/net/{self.prefix}"):
            _ip("link", "delete", self.prefix)
        for namespace in self.namespaces():
            _ip("netns", "delete", namespace)

    def namespaces(self) -> list[str]:
        listed = _ip("netns", "list")
        return re.findall(rf"^{re.escape(self.prefix)}-\S+", listed, re.MULTILINE)


def _exists(path: str) -> bool:
    return Path(path).exists()


def _batch(namespace: str | None, *lines: str) -> None:
    where = ["-n", namespace] if namespace else []
    _ip(*where, "-batch", "-", text="\n".join(lines))


def _ip(*arguments: str, text: str | None = None) -> str:
    program = shutil.which("ip")
    if program is None:
        raise MissingPart("nodes need the program ip: apt-get install iproute2")
    done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
