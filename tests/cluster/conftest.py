"""The cluster that all tests here share: the development cluster of this run, or the one that KUBECONFIG names."""

from support.cluster.fixtures import cluster, development_cluster, namespace
from support.images.fixtures import operator_image, trainer_image

__all__ = ["cluster", "development_cluster", "namespace", "operator_image", "trainer_image"]
