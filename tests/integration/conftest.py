"""Runs that several test modules look at, and Kubernetes without kubelets."""

from pathlib import Path

import pytest
from support.cluster.fixtures import api_server_fixture, s3_server_fixture, simulated_nodes
from support.finished_runs import FinishedRun

__all__ = ["api_server_fixture", "s3_server_fixture", "simulated_nodes"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests begin first, so that what is left at the end is short and no process waits for another."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A run up to Train. Tests that change it work on a copy."""
    run = FinishedRun(tmp_path_factory.mktemp("trained") / "run")
    run.train()
    return run


@pytest.fixture
def own_run(trained_run: FinishedRun, tmp_path: Path) -> FinishedRun:
    """A copy of the trained run for one test."""
    return trained_run.copy(tmp_path / "run")
