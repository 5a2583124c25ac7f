"""The cluster that all tests here share: the development cluster of this run, or the one that KUBECONFIG names."""

import pytest
from support.cluster.cluster import DevelopmentCluster
from support.cluster.fixtures import cluster, development_cluster, installed, namespace
from support.cluster.remote_job import a_corpus
from support.images.fixtures import operator_image, trainer_image

__all__ = ["cluster", "development_cluster", "installed", "namespace", "operator_image", "trainer_image"]


@pytest.fixture(scope="module")
def corpus(installed: DevelopmentCluster) -> str:
    """Documents in a bucket; their address."""
    return a_corpus(installed)
