"""Pytest fixtures: an API server, simulated nodes, a whole cluster, a namespace for each test. Conftest files import them."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from support.cluster.cluster import DevelopmentCluster, kept, running_cluster
from support.cluster.control_plane import ControlPlane, api_server
from support.cluster.foreign import AnyCluster, ForeignCluster
from support.cluster.installation import installed_operator
from support.cluster.kubectl import Kubectl
from support.cluster.kwok import SimulatedNodes
from support.cluster.missing import MissingPart, visibly
from support.cluster.s3 import S3Server
from support.cluster.s3 import s3_server as an_s3_server
from support.eventually import eventually


class HasKubectl(Protocol):
    """Anything with an API: a control plane or a cluster."""

    @property
    def kubectl(self) -> Kubectl: ...


@pytest.fixture(scope="session", name="api_server")
def api_server_fixture() -> Iterator[ControlPlane]:
    """etcd and a real API server (3 s). No controller runs: nothing is collected, no Job makes pods, pods stay Pending,
    and a new namespace has no default service account."""
    with visibly(), api_server() as plane:
        yield plane


@pytest.fixture(scope="session")
def simulated_nodes() -> Iterator[SimulatedNodes]:
    """API server, controller manager, scheduler and KWOK with 4 nodes (8 s): pods run without containers. The control
    plane is `.plane`."""
    with visibly(), api_server() as plane:
        plane.start_controllers()
        plane.start_scheduler()
        nodes = SimulatedNodes(plane)
        try:
            nodes.start(4)
            yield nodes
        finally:
            nodes.stop()


@pytest.fixture(scope="session", name="s3_server")
def s3_server_fixture() -> Iterator[S3Server]:
    """An S3 server on a folder of this machine."""
    with visibly(), an_s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyCluster]:
    """A cluster with two nodes that run containers (10 s), or the one that KUBECONFIG names."""
    given = os.environ.get("KUBECONFIG")
    if given is None:
        with visibly(), running_cluster() as started:
            yield started
        return
    ours = [running for running in kept() if running.kubeconfig == Path(given)]
    if ours:
        yield ours[0]
        return
    foreign = ForeignCluster(Path(given), tmp_path_factory.mktemp("foreign"))
    try:
        yield foreign
    finally:
        foreign.stop()


@pytest.fixture(scope="session")
def development_cluster(cluster: AnyCluster) -> DevelopmentCluster:
    """The cluster, for tests that do something to its nodes or its control plane."""
    with visibly():
        if isinstance(cluster, ForeignCluster):
            raise MissingPart(
                "nodes of the cluster that KUBECONFIG names cannot be cut off, frozen or killed from here"
            )
    return cluster


@pytest.fixture(scope="module")
def installed(cluster: AnyCluster) -> Iterator[AnyCluster]:
    """The cluster with the operator of this checkout."""
    with visibly(), installed_operator(cluster):
        yield cluster


@pytest.fixture
def namespace(cluster: AnyCluster) -> Iterator[str]:
    """A namespace for one test, under the strictest Pod Security."""
    name = new_namespace(cluster)
    # Pods need the account, which the controller manager adds some moments later.
    eventually(lambda: cluster.kubectl.run("get", "serviceaccount", "default", "-n", name).returncode == 0)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def new_namespace(cluster: HasKubectl) -> str:
    """A namespace with a name of its own, under the strictest Pod Security."""
    name = f"test-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    return name
