"""What is done to the machines of a cluster and to what runs on them: nodes, control plane, storage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from support.chaos.place import Place
from support.cluster import clocks
from support.cluster.remote_job import BUCKET

NOTICE = "karpenter.sh/disrupted:NoSchedule"
"""How a node is announced to go."""


@contextlib.contextmanager
def without_kubelet(place: Place) -> Iterator[None]:
    node = place.a_node()
    node.program("kubelet").kill()
    try:
        yield
    finally:
        node.start_kubelet()


@contextlib.contextmanager
def without_containerd(place: Place) -> Iterator[None]:
    node = place.a_node()
    node.program("containerd").kill()
    try:
        yield
    finally:
        node.start_containerd()


@contextlib.contextmanager
def without_api_server(place: Place) -> Iterator[None]:
    server = place.cluster.plane.server
    assert server is not None
    server.kill()
    try:
        yield
    finally:
        place.cluster.plane.start_server()


@contextlib.contextmanager
def without_etcd(place: Place) -> Iterator[None]:
    etcd = place.cluster.plane.etcd
    assert etcd is not None
    etcd.kill()
    try:
        yield
    finally:
        place.cluster.plane.start_etcd()


@contextlib.contextmanager
def frozen(place: Place) -> Iterator[None]:
    node = place.a_node()
    node.freeze()
    try:
        yield
    finally:
        node.thaw()


@contextlib.contextmanager
def with_wrong_clock(place: Place) -> Iterator[None]:
    """The clock of a node jumps, and at the end back. Not far back: certificates of this cluster are not old."""
    node = place.a_node()
    clocks.set_ahead(node.folder, place.chance.choice((-60, 600)))
    try:
        yield
    finally:
        clocks.set_ahead(node.folder, 0)


@contextlib.contextmanager
def without_storage(place: Place) -> Iterator[None]:
    place.cluster.s3.stop()
    try:
        yield
    finally:
        place.cluster.s3.start()


@contextlib.contextmanager
def hanging_storage(place: Place) -> Iterator[None]:
    """Connections to it are taken and nothing is answered."""
    place.cluster.s3.freeze()
    try:
        yield
    finally:
        place.cluster.s3.thaw()


@contextlib.contextmanager
def full_storage(place: Place) -> Iterator[None]:
    with place.cluster.s3.full(BUCKET):
        yield


@contextlib.contextmanager
def drained(place: Place) -> Iterator[None]:
    """All that runs on a node is evicted, the operator too, and nothing comes until it is open again."""
    name, kubectl = place.a_node().name, place.cluster.kubectl
    flags = "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--skip-wait-for-delete-timeout=1"
    try:
        kubectl("drain", name, *flags, "--timeout=60s", within_seconds=90)
        yield
    finally:
        kubectl("uncordon", name)


@contextlib.contextmanager
def announced(place: Place) -> Iterator[None]:
    """A node says that it goes soon, and stays after all."""
    name, kubectl = place.a_node().name, place.cluster.kubectl
    kubectl("taint", "node", name, NOTICE)
    try:
        yield
    finally:
        kubectl("taint", "node", name, f"{NOTICE}-")
