"""The world of the training stage: one gang, a new generation with each start, one roster for each."""

from dataclasses import replace
from datetime import timedelta

from support.jobs import a_job
from support.stage_runs import NOON, a_run

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.world import World
from pretrain_operator.brain import stages, world
from pretrain_operator.brain.observed import Observed, Worker


def spec(fewest: int, most: int, **parts: object) -> PretrainJobSpec:
    return a_job().with_spec(workers={"min": fewest, "max": most}, **parts).spec


def planned(most: int, attempt: int = 1) -> PretrainJobStatus:
    """The status right after a start of training with so many workers."""
    begun = stages.changed(
        stages.listed(PretrainJobStatus()), Stage.TRAIN, state="Running", attempts=attempt, phase="finish"
    )
    return world.planned(begun, spec(1, most), attempt, 100)


def running(*numbers: int, since_seconds: float = 0) -> tuple[Worker, ...]:
    started = NOON - timedelta(seconds=since_seconds)
    return tuple(Worker(n, f"w{n}", f"uid-{n}", "Running", address=f"10.0.0.{n}", started=started) for n in numbers)


class TestGang:
    def test_each_start_of_training_is_a_generation(self) -> None:
        found = world.gang(planned(1, attempt=4), Observed(NOON), a_run(attempt=4)).world
        assert (found.generation, found.workers, found.ready, found.summary) == (4, 1, 1, "1/1")

    def test_ended_training_has_no_worker_ready(self) -> None:
        assert world.gang(planned(1), Observed(NOON), a_run(state="Ended")).world.ready == 0

    def test_without_training_there_is_no_world(self) -> None:
        assert world.gang(PretrainJobStatus(), Observed(NOON), None).world.generation == 0

    def test_counts_the_workers_that_run(self) -> None:
        waiting = Worker(2, "w2", "uid-2", "Waiting")
        seen = Observed(NOON, workers=(*running(0, 1), waiting))
        assert world.gang(planned(3), seen, a_run()).world.summary == "2/3"

    def test_has_no_more_workers_than_the_body_can_start(self) -> None:
        assert world.planned(PretrainJobStatus(), spec(1, 8), 1, most=1).world.workers == 1


class TestNextWorld:
    def test_is_published_when_all_run(self) -> None:
        found = world.next_world(planned(2), spec(2, 2), Observed(NOON, workers=running(1, 0)), 1)
        assert isinstance(found, World)
        assert (found.generation, [m.worker for m in found.roster], found.leader) == (1, [0, 1], "10.0.0.0")

    def test_waits_for_the_others_with_the_fewest_there(self) -> None:
        seen = Observed(NOON, workers=running(0, 1, since_seconds=10))
        assert world.next_world(planned(4), spec(2, 4), seen, 1) == world.PATIENCE_SECONDS - 10

    def test_goes_on_with_the_fewest_after_a_while(self) -> None:
        seen = Observed(NOON, workers=running(0, 2, 3, since_seconds=31))
        found = world.next_world(planned(4), spec(2, 4), seen, 1)
        assert isinstance(found, World)
        assert [m.worker for m in found.roster] == [0, 2, 3]

    def test_is_as_large_as_whole_groups_of_shards_allow(self) -> None:
        training = {**a_job().manifest["spec"]["training"], "parallelism": {"shard": 2}}
        seen = Observed(NOON, workers=running(0, 1, 2, since_seconds=31))
        found = world.next_world(planned(4), spec(2, 4, training=training), seen, 1)
        assert isinstance(found, World)
        assert len(found.roster) == 2

    def test_does_nothing_below_the_fewest(self) -> None:
        seen = Observed(NOON, workers=running(0, since_seconds=1000))
        assert world.next_world(planned(4), spec(2, 4), seen, 1) is None

    def test_waits_for_an_address(self) -> None:
        without = tuple(replace(w, address="") for w in running(0))
        assert world.next_world(planned(1), spec(1, 1), Observed(NOON, workers=without), 1) is None

    def test_is_published_once_for_a_generation(self) -> None:
        first = world.next_world(planned(1), spec(1, 1), Observed(NOON, workers=running(0)), 1)
        assert isinstance(first, World)
        assert world.next_world(planned(1), spec(1, 1), Observed(NOON, workers=running(0), world=first), 1) is None

    def test_of_an_older_generation_does_not_follow_a_newer_one(self) -> None:
        newer = World(generation=5, attempt=5, roster=(), leader="")
        assert world.next_world(planned(1), spec(1, 1), Observed(NOON, workers=running(0), world=newer), 1) is None


class TestLateWorkers:
    def test_are_left_out(self) -> None:
        first = world.next_world(planned(2), spec(1, 2), Observed(NOON, workers=running(0, since_seconds=31)), 1)
        assert isinstance(first, World)
        assert world.left_out(Observed(NOON, workers=running(0, 1), world=first), 1) == (1,)

    def test_before_the_roster_nobody_is_late(self) -> None:
        assert world.left_out(Observed(NOON, workers=running(0, 1)), 1) == ()


class TestWhole:
    def test_is_an_attempt_with_all_its_workers(self) -> None:
        assert not world.is_whole(planned(2), Observed(NOON, workers=running(0)), 1)
        assert world.is_whole(planned(2), Observed(NOON, workers=running(0, 1)), 1)

    def test_is_what_has_its_roster(self) -> None:
        roster = World(generation=1, attempt=1, roster=(), leader="")
        assert world.is_whole(planned(2), Observed(NOON, workers=running(0), world=roster), 1)
