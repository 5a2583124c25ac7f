"""The cluster that all tests here share: the development cluster of this run, or the one that KUBECONFIG names."""

from support.cluster.fixtures import cluster, development_cluster, namespace

__all__ = ["cluster", "development_cluster", "namespace"]
