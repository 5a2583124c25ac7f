"""Ranks that live and do nothing, alone or with their whole machine: training goes on without them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import token_runs
from support.crew import Crew
from support.eventually import eventually

from pretrain_api.errors import EXIT_STOPPED
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.audit import audit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
MANY = 100_000


def a_job(root: Path) -> dict[str, Any]:
    job = token_runs.a_job(root, steps=MANY, globalBatchSize=12)
    job["spec"]["checkpoint"]["everySeconds"] = MANY
    job["spec"]["recovery"] = {"hangTimeoutSeconds": 2}
    return job


def log_of(root: Path) -> str:
    return (root / "train.log").read_text()


def assert_every_sample_once(root: Path) -> None:
    assert [str(difference) for difference in audit(Storage(str(root))).differences] == []


def until_steps(root: Path, more: int) -> None:
    before = token_runs.steps_done(root)
    eventually(lambda: token_runs.steps_done(root), lambda step: step > before + more, within_seconds=120)


def test_a_rank_that_does_not_run_is_named_and_all_go_on_from_memory(tmp_path: Path) -> None:
    agent = token_runs.start(tmp_path, a_job(tmp_path), ranks=2)
    try:
        until_steps(tmp_path, 100)
        token_runs.ranks_of(agent)[1].suspend()
        (told,) = eventually(lambda: token_runs.recoveries(tmp_path), within_seconds=60)
        assert (told.kind, told.rank, told.cause) == ("Restart", 1, "rank 1 does not run")
        assert told.lost_steps < 50  # nothing was committed: all but memory is a hundred steps back
        assert told.seconds > told.phases["stop"] > 2, "it was lost when it stood still, not when that was noticed"
        assert "rank 1 made no progress" in log_of(tmp_path)
        assert re.search(r"rank 0 made .*\(together\):.*in (finish_step|all_reduce)", log_of(tmp_path), re.DOTALL)
        until_steps(tmp_path, 10)
        agent.terminate()
        assert agent.wait(timeout=60) == EXIT_STOPPED
    finally:
        if agent.poll() is None:
            token_runs.kill_everything(agent)
    assert_every_sample_once(tmp_path)


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    found = Crew(tmp_path, a_job(tmp_path))
    yield found
    found.close()


@pytest.mark.parametrize("frozen", ["b", "a"], ids=["follower", "leader"])
def test_a_machine_that_is_frozen_is_told_of_and_left_behind(crew: Crew, tmp_path: Path, frozen: str) -> None:
    crew.start("a", "b", "c")
    crew.publish("a", "b", "c")
    until_steps(crew.workers["a"].folder, 100)
    crew.workers[frozen].freeze()
    others = [name for name in ("a", "b", "c") if name != frozen]
    (told,) = eventually(
        lambda: [each for name in others for each in crew.workers[name].silences][:1], within_seconds=60
    )
    assert (told.generation, told.workers) == (1, (frozen,))
    crew.publish(*others, planned=False, to=tuple(others))
    leader = crew.workers[others[0]]
    (recovery,) = eventually(lambda: leader.recoveries, within_seconds=60)
    assert (recovery.kind, recovery.worker) == ("Shrink", frozen)
    assert recovery.lost_steps < 50  # copies follow each other by time, not by steps: far fewer than were made
    until_steps(leader.folder, 5)
    for name in others:
        crew.workers[name].agent.terminate()
    for name in others:
        assert crew.workers[name].agent.wait(timeout=60) == EXIT_STOPPED
    assert_every_sample_once(tmp_path)
