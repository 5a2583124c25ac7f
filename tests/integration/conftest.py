"""Runs that several test modules look at, and Kubernetes without kubelets."""

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path

import psutil
import pytest
from support.cluster.fixtures import api_server_fixture, s3_server_fixture, simulated_nodes
from support.finished_runs import FinishedRun

__all__ = ["api_server_fixture", "s3_server_fixture", "simulated_nodes"]


_WAITING = {"chart", "cli", "kubernetes"}
"""Folders of tests that wait for an API server most of the time; the others compute."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests begin first, so that what is left at the end is short and no process waits for another; those
    that wait and those that compute take turns, so that the cores are busy all the time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    turns: dict[Path, float] = {}
    for kind in (True, False):
        files = [path for path in dict.fromkeys(item.path for item in items) if (path.parent.name in _WAITING) == kind]
        files.sort(key=lambda path: path not in slow)
        turns |= {path: number / len(files) for number, path in enumerate(files)}
    items.sort(key=lambda item: turns[item.path])


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


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture(autouse=True)
def nothing_runs_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a failed test has left running ends with it: training without end takes a core from every test behind it."""
    yield
    folder = request.node.funcargs.get("tmp_path")
    if folder and request.node.stash.get(_FAILED, False):
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(str(folder) in word for word in process.cmdline()):
                    process.kill()
