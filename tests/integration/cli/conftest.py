"""A real API server that knows PretrainJobs, a namespace for each test, and the command in it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster.control_plane import ControlPlane
from support.cluster.fixtures import new_namespace
from support.cluster.kubectl import Kubectl
from support.command_place import CommandPlace
from support.crds import install_crd
from support.kubelet_logs import Kubelet


@pytest.fixture(scope="session")
def kubectl(api_server: ControlPlane) -> Kubectl:
    """kubectl as administrator of an API server with the CustomResourceDefinition."""
    install_crd(api_server.kubectl)
    return api_server.kubectl


@pytest.fixture
def place(
    api_server: ControlPlane,
    kubectl: Kubectl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> CommandPlace:
    """A namespace of its own; KUBECONFIG points at it."""
    namespace = new_namespace(api_server)
    # No controller runs that would make it, and no pod is accepted without.
    kubectl("create", "serviceaccount", "default", "-n", namespace)
    content = json.loads(api_server.kubeconfig.read_text())
    content["contexts"][0]["context"]["namespace"] = namespace
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(content))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    return CommandPlace(kubectl, namespace, tmp_path, kubeconfig, capfdbinary)


@pytest.fixture
def kubelet(api_server: ControlPlane, kubectl: Kubectl, place: CommandPlace) -> Iterator[Kubelet]:
    """A node whose logs the test writes."""
    with Kubelet(api_server, f"node-{place.namespace}").running() as kubelet:
        yield kubelet
