"""The cluster that all tests here share: the development cluster of this run, or the one that KUBECONFIG names."""

from collections.abc import Iterator

import pytest
from support.cluster.cluster import DevelopmentCluster
from support.cluster.fixtures import cluster, development_cluster, namespace
from support.cluster.foreign import ForeignCluster
from support.cluster.installation import installed_operator
from support.cluster.missing import MissingPart, visibly
from support.cluster.remote_job import a_corpus
from support.images.fixtures import operator_image, trainer_image

__all__ = ["cluster", "development_cluster", "namespace", "operator_image", "trainer_image"]


@pytest.fixture(scope="module")
def installed(cluster: DevelopmentCluster | ForeignCluster) -> Iterator[DevelopmentCluster]:
    """The cluster with the operator of this checkout."""
    with visibly():
        if isinstance(cluster, ForeignCluster):
            raise MissingPart("the S3 server of these tests is not in the network of the cluster that KUBECONFIG names")
        with installed_operator(cluster):
            yield cluster


@pytest.fixture(scope="module")
def corpus(installed: DevelopmentCluster) -> str:
    """Documents in a bucket; their address."""
    return a_corpus(installed)
