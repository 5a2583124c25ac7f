"""Helm for the chart's tests."""

import pytest
from support.cluster import programs
from support.cluster.missing import visibly


@pytest.fixture(scope="session")
def helm() -> str:
    """The program; rendering takes a tenth of a second."""
    with visibly():
        return str(programs.find("helm"))
