"""Runs that several test modules look at, and Kubernetes without kubelets."""

from pathlib import Path

import pytest
from support.cluster.fixtures import api_server_fixture, s3_server_fixture, simulated_nodes
from support.finished_runs import FinishedRun

__all__ = ["api_server_fixture", "s3_server_fixture", "simulated_nodes"]


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
