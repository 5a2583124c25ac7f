"""The cluster that all tests here share: the development cluster of this run, or the one that KUBECONFIG names."""

import pytest
from support.cluster.fixtures import cluster, development_cluster, installed, namespace
from support.cluster.foreign import AnyCluster
from support.cluster.remote_job import a_corpus
from support.images.fixtures import operator_image, trainer_image

__all__ = ["cluster", "development_cluster", "installed", "namespace", "operator_image", "trainer_image"]


_LONGEST = ("test_pipeline.py", "test_chaos.py", "test_readme.py", "test_shared_volume.py", "test_troubles.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no process is left alone with one at the end."""
    turns = {name: turn for turn, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: turns.get(item.path.name, len(turns)))


@pytest.fixture(scope="module")
def corpus(installed: AnyCluster) -> str:
    """Documents in a bucket; their address."""
    return a_corpus(installed)
