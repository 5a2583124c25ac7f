"""Pytest fixtures: an API server, simulated nodes, a namespace for each test. Conftest files import what they offer."""

import secrets
from collections.abc import Iterator

import pytest
from support.cluster.control_plane import ControlPlane, api_server
from support.cluster.kwok import SimulatedNodes
from support.cluster.missing import visibly


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


def new_namespace(plane: ControlPlane) -> str:
    """A namespace with a name of its own, under the strictest Pod Security."""
    name = f"test-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    plane.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    return name
