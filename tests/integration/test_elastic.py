"""A training whose roster changes: workers are lost, replaced and added, and it goes on from the memory of those that are
left."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support import token_runs
from support.crew import Crew, Worker
from support.eventually import eventually

from pretrain_api.errors import EXIT_STOPPED
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.audit import audit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
MANY = 100_000
"""Steps, more than any test makes."""


def a_job(root: Path, shard: int = 1) -> dict[str, Any]:
    """Of which nothing is saved unless it is asked to stop."""
    job = token_runs.a_job(root, steps=MANY, globalBatchSize=12, parallelism={"shard": shard})
    job["spec"]["checkpoint"]["everySeconds"] = 100_000
    return job


@pytest.fixture
def crew(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Crew]:
    shard = getattr(request, "param", 1)
    found = Crew(tmp_path, a_job(tmp_path, shard), ranks=shard)
    yield found
    found.close()


def until_it_makes_steps(leader: Worker) -> int:
    """Some more than it has told of now."""
    before = leader.steps
    return eventually(lambda: leader.steps, lambda step: step > before + 3, within_seconds=120)


def two_that_train(crew: Crew) -> None:
    """Workers a, which leads, and b."""
    crew.start("a", "b")
    crew.publish("a", "b")
    until_it_makes_steps(crew.workers["a"])


def until_recovered(leader: Worker, number: int) -> None:
    found = eventually(lambda: leader.recoveries, lambda told: told and told[-1].number >= number, within_seconds=120)
    assert found[-1].number == number, leader.log


def stopped(crew: Crew, *names: str) -> None:
    """All are asked to leave, and save."""
    for name in names:
        crew.workers[name].agent.terminate()
    for name in names:
        assert crew.workers[name].agent.wait(timeout=120) == EXIT_STOPPED, crew.workers[name].log


def assert_every_sample_once(root: Path) -> int:
    """What was committed; the last step."""
    found = audit(Storage(str(root)))
    assert [str(difference) for difference in found.differences] == []
    assert sorted(token_runs.losses(root)) == list(range(1, found.steps + 1))
    return found.steps


@pytest.mark.parametrize("crew", [1, 2], indirect=True, ids=["replicas", "shards"])
def test_a_roster_that_shrinks_and_grows_loses_no_sample_and_hardly_a_step(crew: Crew, tmp_path: Path) -> None:
    a, b, c = "a", "b", "c"
    crew.start(a, b, c)
    crew.publish(a, b, c)
    until_it_makes_steps(crew.workers[a])

    killed = datetime.now(UTC)
    crew.workers[b].kill()
    eventually(lambda: not token_runs.ranks_of(crew.workers[a].agent), within_seconds=30)  # they can do nothing alone
    published = datetime.now(UTC)
    crew.publish(a, c, planned=False)
    until_recovered(crew.workers[a], 1)

    crew.start("d")
    crew.publish(a, c, "d")
    until_recovered(crew.workers[a], 2)
    until_it_makes_steps(crew.workers[a])

    crew.workers[a].kill()  # it led them
    crew.publish(c, "d", planned=False)
    until_recovered(crew.workers[c], 3)
    until_it_makes_steps(crew.workers[c])
    stopped(crew, c, "d")

    steps = assert_every_sample_once(tmp_path)
    told = [*crew.workers[a].recoveries, *crew.workers[c].recoveries]
    assert [(each.kind, each.worker) for each in told] == [("Shrink", b), ("Grow", "d"), ("Shrink", a)]
    assert told[1].lost_steps == 0
    assert killed <= told[0].time <= published
    assert told[0].seconds > (published - told[0].time).total_seconds()
    assert {each.cause for each in told} == {"the test wants it"}
    assert "resumed at step" in crew.workers[c].log
    assert crew.workers[c].log.count("from memory") == 1  # the first rank says so, and it was that once
    assert crew.workers[a].log.count("from memory") == 2

    # The same training by one worker alone: other worlds only sum in another order.
    quiet = tmp_path / "quiet"
    quiet.mkdir()
    alone = token_runs.start(quiet, a_job(quiet))
    try:
        eventually(lambda: token_runs.steps_done(quiet), lambda step: step >= min(steps, 60), within_seconds=120)
        alone.terminate()
        assert alone.wait(timeout=60) == EXIT_STOPPED
    finally:
        if alone.poll() is None:
            token_runs.kill_everything(alone)
    expected, found = token_runs.losses(quiet), token_runs.losses(tmp_path)
    common = sorted(set(expected) & set(found))
    assert len(common) >= min(steps, 60), (len(expected), len(found), steps)
    assert [found[step] for step in common] == pytest.approx([expected[step] for step in common], rel=1e-3)


def test_survivors_wait_for_a_world_for_as_long_as_it_takes(crew: Crew, tmp_path: Path) -> None:
    two_that_train(crew)
    crew.workers["b"].kill()
    eventually(lambda: "waiting for a world of attempt 1 behind 1" in crew.workers["a"].log, within_seconds=60)
    assert crew.workers["a"].agent.poll() is None
    crew.start("c")
    crew.publish("a", "c", planned=False)
    until_recovered(crew.workers["a"], 1)
    assert [(each.kind, each.worker) for each in crew.workers["a"].recoveries] == [("Replace", "b")]
    stopped(crew, "a", "c")
    assert_every_sample_once(tmp_path)


def test_who_is_asked_to_leave_hands_over_without_a_checkpoint(crew: Crew, tmp_path: Path) -> None:
    two_that_train(crew)
    crew.workers["a"].agent.terminate()
    crew.publish("b")
    assert crew.workers["a"].agent.wait(timeout=60) == EXIT_STOPPED
    until_recovered(crew.workers["b"], 1)
    assert token_runs.commits(tmp_path) == []
    (told,) = crew.workers["b"].recoveries
    assert (told.kind, told.worker, told.lost_steps) == ("Shrink", "a", 0)
    stopped(crew, "b")
    assert_every_sample_once(tmp_path)


def test_without_such_a_world_they_save_and_the_others_wait(crew: Crew, tmp_path: Path) -> None:
    two_that_train(crew)
    crew.workers["b"].agent.terminate()
    assert crew.workers["b"].agent.wait(timeout=60) == EXIT_STOPPED
    assert json.loads((crew.workers["b"].folder / "outcome.json").read_text())["outcome"] == "stopped"
    assert len(token_runs.commits(tmp_path)) == 1
    assert crew.workers["a"].agent.poll() is None
    crew.publish("a")
    until_recovered(crew.workers["a"], 1)
    stopped(crew, "a")
    assert_every_sample_once(tmp_path)
