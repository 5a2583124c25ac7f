"""etcd and the API server, and the controllers and the scheduler beside them, as processes of this machine.

Nodes are not here: `kwok` simulates some, `node` has real ones.
"""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.cluster import kubeconfig, places, processes, programs
from support.cluster.certificates import Authority
from support.cluster.kubectl import Kubectl
from support.cluster.ports import free_port
from support.cluster.processes import Process

SERVICE_NETWORK = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
"""Where pods find the API server."""


class ControlPlane:
    """One Kubernetes API, in a folder and with certificates of its own.

    What has to be known again by another process, or after a restart, is in the folder.
    """

    def __init__(self, folder: Path, address: str = "127.0.0.1", *, dies_with_parent: bool = True) -> None:
        self.folder = folder
        self.address = address
        self.dies_with_parent = dies_with_parent
        self.authority = Authority(folder / "certificates")
        self._ports = folder / "ports.json"
        if not self._ports.exists():
            ports = {"server": free_port(address), "etcd": free_port(), "etcd-peer": free_port()}
            self._ports.write_text(json.dumps(ports))
        self.port: int = json.loads(self._ports.read_text())["server"]
        self._flags: tuple[str, ...] = ()
        self.kubeconfig = self.kubeconfig_for("admin", "system:masters")

    @property
    def etcd(self) -> Process | None:
        return processes.named(self.folder, "etcd")

    @property
    def server(self) -> Process | None:
        return processes.named(self.folder, "kube-apiserver")

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.port}"

    @property
    def kubectl(self) -> Kubectl:
        """kubectl as administrator."""
        return Kubectl(self.kubeconfig)

    def kubeconfig_for(self, user: str, *groups: str) -> Path:
        """A file for a user by name, for tests of what one may do."""
        proof = self.authority.client(user, *groups)
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        return kubeconfig.write(path, self.url, self.authority.certificate, user, proof)

    def start(self, *flags: str) -> None:
        """etcd and the API server, until it is ready; `flags` are added to the API server's."""
        self._flags = flags
        self.start_etcd()
        self.start_server()

    def start_etcd(self) -> None:
        """Also after it was killed: what was stored is still there."""
        client, peer = (f"http://127.0.0.1:{self._port(name)}" for name in ("etcd", "etcd-peer"))
        process = self._start(
            "etcd",
            "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--log-level", "warn", "--logger", "zap",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
        )  # fmt: skip
        process.until(lambda: _healthy(f"{client}/health"))

    def start_server(self) -> None:
        """The API server on the running etcd: also after it was killed, at the same address."""
        own = self.authority.server("kube-apiserver", self.address, SERVICE_ADDRESS, "127.0.0.1", "localhost",
                                    "kubernetes.default.svc")  # fmt: skip
        tokens = self.authority.signing_key("service-accounts")
        to_kubelets = self.authority.client("kube-apiserver-kubelet-client", "system:masters")
        loopback = self.address.startswith("127.")
        process = self._start(
            "kube-apiserver",
            "--etcd-servers", f"http://127.0.0.1:{self._port('etcd')}",
            "--bind-address", self.address, "--advertise-address", self.address, "--secure-port", str(self.port),
            # An address of this machine alone cannot be an endpoint of the Service "kubernetes".
            "--endpoint-reconciler-type", "none" if loopback else "lease",
            "--tls-cert-file", own.certificate, "--tls-private-key-file", own.key,
            "--client-ca-file", self.authority.certificate,
            "--service-account-key-file", tokens.certificate, "--service-account-signing-key-file", tokens.key,
            "--service-account-issuer", "https://kubernetes.default.svc",
            "--service-cluster-ip-range", SERVICE_NETWORK,
            "--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
            "--kubelet-client-certificate", to_kubelets.certificate, "--kubelet-client-key", to_kubelets.key,
            "--kubelet-certificate-authority", self.authority.certificate,
            "--kubelet-preferred-address-types", "InternalIP",
            # Debian's etcd is too old for it. Switched off, clients list and watch; left on, they stumble over errors.
            "--feature-gates", "WatchList=false",
            "--allow-privileged", "--profiling=false",
            *self._flags,
        )  # fmt: skip
        process.until(self.is_ready)

    def start_controllers(self, *flags: str) -> None:
        """The controller manager: Jobs, garbage collection, service accounts, node states, namespaces."""
        self._start(
            "kube-controller-manager",
            "--kubeconfig", self.kubeconfig_for("system:kube-controller-manager"), "--bind-address", "127.0.0.1",
            "--secure-port", str(free_port()), "--leader-elect=false", "--use-service-account-credentials",
            "--root-ca-file", self.authority.certificate,
            "--service-account-private-key-file", self.authority.signing_key("service-accounts").key,
            "--node-monitor-grace-period=16s", "--node-monitor-period=2s", "--concurrent-gc-syncs=20",
            "--kube-api-qps=400", "--kube-api-burst=800",
            *flags,
        )  # fmt: skip

    def start_scheduler(self, *flags: str) -> None:
        self._start(
            "kube-scheduler",
            "--kubeconfig", self.kubeconfig_for("system:kube-scheduler"), "--bind-address", "127.0.0.1",
            "--secure-port", str(free_port()), "--leader-elect=false", "--kube-api-qps=400", "--kube-api-burst=800",
            *flags,
        )  # fmt: skip

    def is_ready(self) -> bool:
        return self.raw("/readyz") == b"ok"

    def raw(self, path: str) -> bytes:
        """The answer to a GET as administrator; empty while there is none."""
        proof = self.authority.client_of("admin")
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.load_cert_chain(proof.certificate, proof.key)
        try:
            with urllib.request.urlopen(self.url + path, context=context, timeout=5) as response:
                content: bytes = response.read()
        except OSError:
            return b""
        return content

    def stop(self) -> None:
        """End everything at once: nothing of it is needed again."""
        for process in processes.recorded(self.folder):
            process.kill()

    def _port(self, name: str) -> int:
        return int(json.loads(self._ports.read_text())[name])

    def _start(self, name: str, *arguments: str | Path) -> Process:
        command = [programs.find(name), *arguments]
        fate = self.dies_with_parent
        return processes.start(self.folder, name, command, dies_with_parent=fate, is_sparing=True)


@contextmanager
def api_server(*flags: str) -> Iterator[ControlPlane]:
    """etcd and the API server alone. `flags` are the API server's."""
    clean_up()
    folder, lock = places.new_folder("api")
    plane = ControlPlane(folder)
    try:
        plane.start(*flags)
        yield plane
    finally:
        plane.stop()
        places.remove_folder(folder, lock)


def clean_up() -> None:
    """End and remove what interrupted runs left."""
    for folder, lock in places.left_behind("api"):
        for process in processes.recorded(folder):
            process.kill()
        places.remove_folder(folder, lock)


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            answer: Any = json.load(response)
    except (OSError, ValueError, urllib.error.URLError):
        return False
    return bool(answer.get("health") in ("true", True))
