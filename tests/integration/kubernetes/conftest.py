"""The operator on a real API server, in a namespace of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture
def operator(simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path) -> Iterator[OperatorProcess]:
    """A running operator for the test's namespace."""
    with OperatorProcess(simulated_nodes.plane.kubeconfig, tmp_path, namespace=cluster.namespace) as operator:
        yield operator
