"""What is done to a cluster that trains. Each event is a context: what it breaks is mended at its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from support.chaos.place import Place
from support.cluster.installation import kill_leader
from support.cluster.kubectl import Failed
from support.eventually import eventually
from support.pods import KILL

Break = Callable[[Place], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True)
class Event:
    """One kind of fault."""

    name: str
    broken: Break
    seconds: float = 0.0
    """How long it stays broken."""
    alone: bool = False
    """Whether no other event can begin while it lasts, as the API server is needed for that."""


def _at_once(action: Callable[[Place], object]) -> Break:
    """Of what needs no mending."""

    @contextlib.contextmanager
    def broken(place: Place) -> Iterator[None]:
        action(place)
        yield

    return broken


def _killed(what: str) -> Break:
    """A process of a worker, by the beginning of its name or its module. The kubelet that carries it out may have come back
    from the event before a moment ago, and not answer yet."""

    def is_done(place: Place) -> bool:
        try:
            place.job.kubectl("exec", place.a_worker(), "--", "python", "-c", KILL, what)
        except Failed as error:
            if "error dialing backend" not in str(error):  # what was begun must not be done twice
                raise
            return False
        return True

    return _at_once(lambda place: eventually(lambda: is_done(place), within_seconds=60, every_seconds=1))


def _deleted(*flags: str) -> Break:
    return _at_once(lambda place: place.job.kubectl("delete", "pod", place.a_worker(), "--wait=false", *flags))


def _evicted(place: Place) -> None:
    name = place.a_worker()
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": place.job.namespace},
    }
    path = f"/api/v1/namespaces/{place.job.namespace}/pods/{name}/eviction"
    place.cluster.kubectl("create", "--raw", path, "-f", "-", objects=eviction)


@contextlib.contextmanager
def _without_kubelet(place: Place) -> Iterator[None]:
    node = place.a_node()
    node.program("kubelet").kill()
    try:
        yield
    finally:
        node.start_kubelet()


@contextlib.contextmanager
def _without_containerd(place: Place) -> Iterator[None]:
    node = place.a_node()
    node.program("containerd").kill()
    try:
        yield
    finally:
        node.start_containerd()


@contextlib.contextmanager
def _without_api_server(place: Place) -> Iterator[None]:
    server = place.cluster.plane.server
    assert server is not None
    server.kill()
    try:
        yield
    finally:
        place.cluster.plane.start_server()


@contextlib.contextmanager
def _without_etcd(place: Place) -> Iterator[None]:
    etcd = place.cluster.plane.etcd
    assert etcd is not None
    etcd.kill()
    try:
        yield
    finally:
        place.cluster.plane.start_etcd()


@contextlib.contextmanager
def _cut_off(place: Place) -> Iterator[None]:
    node = place.a_node()
    node.cut_off()
    try:
        yield
    finally:
        node.reconnect()


@contextlib.contextmanager
def _frozen(place: Place) -> Iterator[None]:
    node = place.a_node()
    node.freeze()
    try:
        yield
    finally:
        node.thaw()


def _dropped(*which: str) -> Break:
    """Of what leaves a node, its pods' packets included: iptables' words for which ones."""

    @contextlib.contextmanager
    def broken(place: Place) -> Iterator[None]:
        node, rules = place.a_node(), [(chain, "-o", "eth0", *which, "-j", "DROP") for chain in ("FORWARD", "OUTPUT")]
        for rule in rules:
            done = node.run("iptables", "-I", *rule)
            assert done.returncode == 0, done.stderr
        try:
            yield
        finally:
            for rule in rules:
                node.run("iptables", "-D", *rule)

    return broken


@contextlib.contextmanager
def _slow(place: Place) -> Iterator[None]:
    """A megabit a second out of a node."""
    node = place.a_node()
    done = node.run(
        "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "1mbit", "burst", "16k", "latency", "200ms"
    )
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        node.run("tc", "qdisc", "delete", "dev", "eth0", "root")


@contextlib.contextmanager
def _without_storage(place: Place) -> Iterator[None]:
    place.cluster.s3.stop()
    try:
        yield
    finally:
        place.cluster.s3.start()


EVENTS = (
    Event("rank killed", _killed("rank ")),
    Event("agent killed", _killed("pretrain_trainer.agent")),
    Event("pod deleted", _deleted()),
    Event("pod deleted by force", _deleted("--grace-period=0", "--force")),
    Event("pod evicted", _at_once(_evicted)),
    Event("operator killed", _at_once(lambda place: kill_leader(place.cluster.kubectl))),
    Event("kubelet away", _without_kubelet, 10),
    Event("containerd away", _without_containerd, 10),
    Event("API server away", _without_api_server, 15, alone=True),
    Event("etcd away", _without_etcd, 15, alone=True),
    Event("node cut off", _cut_off, 30),
    Event("node frozen", _frozen, 30),
    Event("storage away", _without_storage, 15),
    Event("network slow", _slow, 15),
    Event("packets lost", _dropped("-m", "statistic", "--mode", "random", "--probability", "0.05"), 15),
    Event("node heard by nobody", _dropped(), 30),
)
