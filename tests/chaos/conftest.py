"""The cluster of the cluster tests."""

from support.cluster.fixtures import cluster, development_cluster, installed
from support.images.fixtures import operator_image, trainer_image

__all__ = ["cluster", "development_cluster", "installed", "operator_image", "trainer_image"]
