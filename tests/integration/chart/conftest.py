"""A real API server that knows PretrainJobs, and namespaces to try things in."""

import pytest
from support.cluster import programs
from support.cluster.control_plane import ControlPlane
from support.cluster.fixtures import new_namespace
from support.cluster.kubectl import Kubectl
from support.cluster.missing import visibly
from support.crds import install_crd


@pytest.fixture(scope="session")
def helm() -> str:
    with visibly():
        return str(programs.find("helm"))


@pytest.fixture(scope="module")
def kubectl(api_server: ControlPlane) -> Kubectl:
    """kubectl as administrator of an API server with the CustomResourceDefinition."""
    install_crd(api_server.kubectl)
    return api_server.kubectl


@pytest.fixture(scope="module")
def namespace(api_server: ControlPlane) -> str:
    """A namespace under the strictest Pod Security."""
    return new_namespace(api_server)
