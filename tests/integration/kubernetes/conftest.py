"""The operator on a real API server, in a namespace of its own for each test."""

from collections.abc import Iterator

import pytest
import yaml
from support.cluster.fixtures import new_namespace, simulated_nodes
from support.cluster.kwok import SimulatedNodes
from support.eventually import eventually
from support.kube import ROOT, Api, Cluster, OperatorProcess

__all__ = ["simulated_nodes"]


@pytest.fixture(scope="session")
def crd(simulated_nodes: SimulatedNodes) -> None:
    kubectl = simulated_nodes.plane.kubectl
    kubectl.apply(yaml.safe_load((ROOT / "manifests/crd.yaml").read_text()))
    eventually(lambda: simulated_nodes.plane.raw("/apis/pretrain.dev/v1alpha1/pretrainjobs"), bool, 60)


@pytest.fixture
def cluster(simulated_nodes: SimulatedNodes, crd: None) -> Cluster:
    plane = simulated_nodes.plane
    return Cluster(Api(plane), new_namespace(plane))


@pytest.fixture(scope="module")
def operator(
    simulated_nodes: SimulatedNodes, crd: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """A running operator for all namespaces."""
    with OperatorProcess(simulated_nodes.plane.kubeconfig, tmp_path_factory.mktemp("operator")) as operator:
        yield operator.until_ready()
