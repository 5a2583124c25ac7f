"""A node: namespaces of its own for network, mounts, processes and host name, and in them containerd and a kubelet.

The namespaces' first process is the node's power switch. When it ends, the kernel ends every other process in them and
takes the mounts down, so that no crash leaves a container behind.
"""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from support.cluster import containerd, control_groups, kubelet, processes, programs
from support.cluster.control_plane import SERVICE_ADDRESS, ControlPlane
from support.cluster.network import Network
from support.cluster.processes import Process
from support.eventually import eventually

PROGRAMS = ("containerd", "containerd-shim-runc-v2", "ctr", "kubelet")
INSTALLED = {
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "socat": "socat",
    "nsenter": "util-linux",
}
"""Program of the machine that a node uses -> Debian package."""

# Into the node's control groups, which are the root of what is started here.
_ENTER_GROUPS = """
for each in $GROUPS; do echo $$ > $each/cgroup.procs; done
exec "$@"
"""

# /run, /var/log and /var/lib are where containerd, CNI and the kubelet leave files that no flag moves elsewhere. Ended
# processes that lost their parent come to the first process, which never looks: SIGCHLD is ignored, so the kernel
# forgets them by itself.
_FIRST_PROCESS = """
for each in /run /var/log /var/lib; do mount -t tmpfs -o mode=755 tmpfs $each; done
for each in $SETTINGS; do mount --bind "$FOLDER/kernel/$each" "/proc/sys/$each"; done
for each in $HIERARCHIES; do
  mount --bind "$each/$GROUP" "$each"
  echo $$ > "$each/$LEAF/cgroup.procs"
done
echo 1 > /proc/sys/net/ipv4/ip_forward
iptables -w -t nat -A PREROUTING -d $SERVICE -p tcp --dport 443 -j DNAT --to-destination $SERVER
iptables -w -t nat -A OUTPUT -d $SERVICE -p tcp --dport 443 -j DNAT --to-destination $SERVER
hostname "$NAME"
trap '' CHLD
touch "$FOLDER/started"
exec sleep infinity
"""


class Node:
    """One machine of a cluster, as far as Kubernetes can tell. Numbered from 1."""

    def __init__(self, folder: Path, plane: ControlPlane, network: Network, number: int, nodes: int) -> None:
        self.number = number
        self.name = f"node-{number}"
        self.folder = folder / self.name
        self.network = network
        self.address = network.node_address(number)
        self._plane = plane
        self._nodes = nodes
        self._group = f"{network.prefix}/{self.name}"
        self._switch: Process | None = None

    @property
    def containerd_socket(self) -> Path:
        return self.folder / "containerd.sock"

    def switch_on(self) -> None:
        """Boot: containerd, until it answers. What an earlier life of the node stored is still there."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "started").unlink(missing_ok=True)
        for name, value in kubelet.KERNEL_SETTINGS.items():
            path = self.folder / "kernel" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
        control_groups.create(self._group)
        self._switch = processes.start(
            self.folder,
            "first-process",
            [*_in_groups(self._group),
             "nsenter", f"--net=/run/netns/{self.network.namespace(self.number)}",
             "unshare", "--cgroup", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc",
             "sh", "-ec", _FIRST_PROCESS],
            environment={
                "FOLDER": str(self.folder),
                "SETTINGS": " ".join(kubelet.KERNEL_SETTINGS),
                "HIERARCHIES": " ".join(map(str, control_groups.roots())),
                "GROUP": self._group,
                "LEAF": control_groups.LEAF,
                "SERVICE": SERVICE_ADDRESS,
                "SERVER": f"{self._plane.address}:{self._plane.port}",
                "NAME": self.name,
            },
            dies_with_parent=self._plane.dies_with_parent,
        )  # fmt: skip
        self._switch.until((self.folder / "started").exists)
        self.start_containerd()

    def start_containerd(self) -> None:
        arguments = containerd.write_settings(self.folder, self.network.namespace(self.number),
                                              self.network.pods(self.number))  # fmt: skip
        path = f"{programs.find('containerd-shim-runc-v2').parent}:{os.environ['PATH']}"
        # A socket that a crash left would look like an answer.
        self.containerd_socket.unlink(missing_ok=True)
        process = self._start("containerd", arguments, {"PATH": path})
        process.until(lambda: self.containerd_socket.exists() and self.ctr("version", check=False).returncode == 0)

    def start_kubelet(self) -> None:
        """Join the cluster. The node is Ready some seconds later."""
        self._start("kubelet", kubelet.write_settings(self.folder, self._plane, self.name, self.address))

    def ctr(self, *arguments: str, check: bool = True, source: int | None = None) -> "subprocess.CompletedProcess[str]":
        """containerd's own client, in the namespace that the kubelet uses."""
        command = [programs.find("ctr"), "--address", self.containerd_socket, "--namespace", "k8s.io", *arguments]
        done = subprocess.run(command, stdin=source, capture_output=True, text=True)
        if check and done.returncode:
            raise RuntimeError(f"ctr {' '.join(arguments)} on {self.name}: {done.stderr.strip()}")
        return done

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """A program of this machine inside the node."""
        return subprocess.run([*self._inside(), *command], capture_output=True, text=True, timeout=60)

    def processes(self) -> list[psutil.Process]:
        """Everything that runs on the node, the first process first: kubelet and containerd, which were started from
        outside and are nobody's children there, and what is in containers, which have namespaces of their own below."""
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            first = psutil.Process(self._first())
            found, namespace = {first.pid: first}, _namespace(first.pid)
            for process in psutil.process_iter():
                with suppress(psutil.NoSuchProcess):
                    if namespace and _namespace(process.pid) == namespace:
                        found |= {each.pid: each for each in (process, *process.children(recursive=True))}
            return list(found.values())
        return []

    def program(self, name: str) -> psutil.Process:
        """The node's `kubelet` or `containerd`."""
        found = [process for process in self.processes() if process.name() == name and processes.runs(process)]
        if len(found) != 1:
            ended = processes.named(self.folder, name)
            raise AssertionError(f"{len(found)} {name} on {self.name}: {ended.log_end() if ended else 'never started'}")
        return found[0]

    def cut_off(self) -> None:
        """Pull the plug of its network; everything on it goes on."""
        self.network.disconnect(self.number)

    def reconnect(self) -> None:
        self.network.connect(self.number, self._nodes)

    def freeze(self) -> None:
        """Stop every process where it is, as a hanging machine does."""
        # Some start others while we look, so look until all stand still.
        eventually(self._stop_those_that_run, lambda running: not running, 20)

    def thaw(self) -> None:
        for process in self.processes()[1:]:
            with suppress(psutil.NoSuchProcess):
                if (outside := process.parent()) and outside.name() == "nsenter":
                    _signal(outside, signal.SIGCONT)  # it stops with the program that it waits for
            _signal(process, signal.SIGCONT)

    def switch_off(self) -> None:
        """Cut its power. Containers are gone with everything else; the disk stays."""
        everything = self.processes()
        for first in everything[:1]:
            _signal(first, signal.SIGKILL)
        processes.wait_for_end(everything)
        for process in processes.recorded(self.folder):
            process.kill()
            process.record.unlink(missing_ok=True)
        control_groups.remove(self._group)

    def _stop_those_that_run(self) -> list[psutil.Process]:
        running = [each for each in self.processes()[1:] if processes.runs(each) and not _is_stopped(each)]
        for process in running:
            _signal(process, signal.SIGSTOP)
        return running

    def _start(self, name: str, arguments: Sequence[str | Path], environment: dict[str, str] | None = None) -> Process:
        leaf = f"{self._group}/{control_groups.LEAF}"
        command = [*_in_groups(leaf), *self._inside(), programs.find(name), *arguments]
        fate = self._plane.dies_with_parent
        return processes.start(self.folder, name, command, environment, dies_with_parent=fate, is_sparing=True)

    def _inside(self) -> list[str]:
        return ["nsenter", "--target", str(self._first()), "--net", "--mount", "--pid", "--uts", "--ipc",
                "--cgroup"]  # fmt: skip

    def _first(self) -> int:
        """The id of the node's first process, as this machine sees it."""
        record = json.loads((self.folder / "processes" / "first-process.json").read_text())
        outer = psutil.Process(record["pid"])
        if abs(outer.create_time() - record["created"]) > 0.05:
            raise psutil.NoSuchProcess(record["pid"])
        return int(outer.children()[0].pid)


def _in_groups(name: str) -> list[str]:
    """The beginning of a command that runs in a group of every hierarchy."""
    groups = " ".join(str(root / name) for root in control_groups.roots())
    return ["env", f"GROUPS={groups}", "sh", "-ec", _ENTER_GROUPS, "sh"]


def missing_programs() -> list[str]:
    """Packages that have to be installed before a node can run."""
    return sorted({package for program, package in INSTALLED.items() if not shutil.which(program)})


def _namespace(pid: int) -> str:
    """The processes that a process sees; empty for one that is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _is_stopped(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_STOPPED)
    return True


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def wait_until_ready(plane: ControlPlane, names: Sequence[str], within_seconds: float = 120) -> None:
    """Until the API says so of every node named."""
    eventually(lambda: ready_nodes(plane), lambda ready: set(names) <= ready, within_seconds, every_seconds=0.3)


def ready_nodes(plane: ControlPlane) -> set[str]:
    nodes = json.loads(plane.raw("/api/v1/nodes") or b'{"items": []}')["items"]
    return {
        node["metadata"]["name"]
        for node in nodes
        for condition in node.get("status", {}).get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
