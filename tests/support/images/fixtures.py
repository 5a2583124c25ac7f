"""Pytest fixtures: the images, built and in every node of the cluster. Conftest files import them."""

from collections.abc import Iterator

import pytest
from support.cluster.cluster import DevelopmentCluster
from support.cluster.foreign import ForeignCluster
from support.cluster.missing import visibly
from support.images.build import build
from support.images.nodes import bring


@pytest.fixture(scope="session")
def operator_image(cluster: DevelopmentCluster | ForeignCluster) -> Iterator[str]:
    """Name of the operator's image."""
    with visibly():
        yield bring(build("operator"), cluster)


@pytest.fixture(scope="session")
def trainer_image(cluster: DevelopmentCluster | ForeignCluster) -> Iterator[str]:
    """Name of the trainer's image, the full one. Cold, this takes minutes: torch is installed."""
    with visibly():
        yield bring(build("trainer"), cluster)
