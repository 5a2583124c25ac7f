"""The world of the training stage: who is in the first roster of a start, and in those that follow."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.jobs import a_job
from support.stage_runs import NOON, a_run

from pretrain_api.events import Outcome
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.world import Member, World
from pretrain_operator.brain import stages, world
from pretrain_operator.brain.observed import Observed, Worker


def spec(fewest: int, most: int, **parts: object) -> PretrainJobSpec:
    return a_job().with_spec(workers={"min": fewest, "max": most}, **parts).spec


def planned(most: int, attempt: int = 1) -> PretrainJobStatus:
    """The status right after a start of training with so many workers."""
    begun = stages.changed(
        stages.listed(PretrainJobStatus(), a_job().spec), Stage.TRAIN, state="Running", attempts=attempt, phase="finish"
    )
    return world.planned(begun, spec(1, most), attempt, 100)


def running(*numbers: int, since_seconds: float = 0) -> tuple[Worker, ...]:
    started = NOON - timedelta(seconds=since_seconds)
    return tuple(Worker(n, f"w{n}", f"uid-{n}", "Running", address=f"10.0.0.{n}", started=started) for n in numbers)


def a_world(*workers: Worker, generation: int = 1, attempt: int = 1) -> World:
    members = tuple(Member(worker=w.worker, pod=w.pod, uid=w.uid, address=w.address) for w in workers)
    leader = members[0].address if members else ""
    return World(generation=generation, attempt=attempt, roster=members, leader=leader)


def taken_away(worker: Worker, is_alive: bool = False) -> Worker:
    return replace(worker, state="Lost", is_alive=is_alive, reason="EvictionByEvictionAPI", node="a17")


def killed(worker: Worker) -> Worker:
    return replace(worker, state="Ended", is_alive=False, exit_code=137, reason="OOMKilled")


class TestSummary:
    def test_of_one_program_counts_its_starts(self) -> None:
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

    def test_tells_the_members_that_run_of_the_workers_that_are_wanted(self) -> None:
        seen = Observed(NOON, workers=running(0, 1, 3), world=a_world(*running(0, 1, 2), generation=7))
        found = world.gang(planned(4), seen, a_run()).world
        assert (found.generation, found.summary) == (7, "2/4")

    def test_never_goes_back_to_an_older_roster(self) -> None:
        newer = world.gang(planned(1), Observed(NOON, workers=running(0), world=a_world(generation=7)), a_run())
        older = Observed(NOON, workers=running(0), world=a_world(generation=6))
        assert world.gang(newer, older, a_run()).world.generation == 7


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

    def test_has_the_next_number_over_all_attempts(self) -> None:
        before = a_world(generation=7, attempt=1)
        found = world.next_world(planned(1, 2), spec(1, 1), Observed(NOON, workers=running(0), world=before), 2)
        assert isinstance(found, World)
        assert (found.generation, found.attempt) == (8, 2)

    def test_has_the_next_number_also_when_the_one_before_was_deleted(self) -> None:
        known = world.gang(planned(1), Observed(NOON, workers=running(0), world=a_world(generation=7)), a_run())
        found = world.next_world(known, spec(1, 1), Observed(NOON, workers=running(0)), 1)
        assert isinstance(found, World)
        assert found.generation == 8

    def test_stays_while_its_members_run(self) -> None:
        seen = Observed(NOON, workers=running(0), world=a_world(*running(0)))
        assert world.next_world(planned(1), spec(1, 1), seen, 1) is None

    def test_of_an_older_attempt_does_not_follow_a_newer_one(self) -> None:
        seen = Observed(NOON, workers=running(0), world=a_world(generation=5, attempt=5))
        assert world.next_world(planned(1), spec(1, 1), seen, 1) is None


def following(*workers: Worker, before: World, fewest: int = 1, most: int = 3, **parts: object) -> World | float | None:
    """What follows a roster, once the workers are seen so."""
    seen = Observed(NOON, workers=workers, world=before)
    return world.next_world(planned(most), spec(fewest, most, **parts), seen, 1)


THREE = a_world(*running(0, 1, 2))
W0, W1, W2, W3, W4 = running(0, 1, 2, 3, 4)


def numbers(found: World | float | None) -> list[int]:
    assert isinstance(found, World)
    return [member.worker for member in found.roster]


class TestLoss:
    @pytest.mark.parametrize("lost", [(taken_away(W1),), (killed(W1),), ()], ids=["evicted", "killed", "gone"])
    def test_leaves_the_member_out_at_once(self, lost: tuple[Worker, ...]) -> None:
        found = following(W0, *lost, W2, before=THREE)
        assert isinstance(found, World)
        assert (found.generation, found.attempt, numbers(found), found.planned) == (2, 1, [0, 2], False)
        assert found.reason == "worker w1 lost; 2 of 3 workers train."

    def test_with_notice_is_planned(self) -> None:
        found = following(W0, taken_away(W1, is_alive=True), W2, before=THREE)
        assert isinstance(found, World)
        assert found.planned

    def test_is_not_planned_when_one_of_several_has_gone(self) -> None:
        found = following(W0, taken_away(W1, is_alive=True), before=THREE)
        assert isinstance(found, World)
        assert not found.planned

    def test_of_the_leader_makes_the_next_one_the_leader(self) -> None:
        found = following(W1, W2, before=THREE)
        assert isinstance(found, World)
        assert (numbers(found), found.leader) == ([1, 2], "10.0.0.1")

    def test_is_made_up_for_by_one_that_runs_already(self) -> None:
        assert numbers(following(W0, W2, W3, before=THREE)) == [0, 2, 3]

    def test_keeps_the_order_of_the_members_before_those_that_join(self) -> None:
        before = a_world(W2, W4, W0)
        assert numbers(following(W0, W1, W2, before=before)) == [2, 0, 1]

    def test_below_the_fewest_is_waited_out(self) -> None:
        assert following(W0, before=THREE, fewest=2) is None
        assert following(W0, replace(W3, state="Waiting"), before=THREE, fewest=2) is None
        found = following(W0, W3, before=THREE, fewest=2)
        assert isinstance(found, World)
        assert (numbers(found), found.planned) == ([0, 3], False)

    def test_leaves_as_many_as_whole_groups_of_shards_allow(self) -> None:
        training = {**a_job().manifest["spec"]["training"], "parallelism": {"shard": 2}}
        four = a_world(W0, W1, W2, W3)
        assert numbers(following(W0, W2, W3, before=four, fewest=2, most=4, training=training)) == [0, 2]

    def test_of_all_members_is_the_end_of_the_attempt(self) -> None:
        assert following(W3, before=THREE) is None

    def test_does_not_matter_once_a_member_has_ended_by_its_own_word(self) -> None:
        failed = replace(W0, state="Ended", exit_code=1, outcome=Outcome(outcome="failed"))
        assert following(failed, W2, before=THREE) is None


class TestJoin:
    def test_is_planned_and_together_once_all_run(self) -> None:
        found = following(W0, W3, W4, before=a_world(W0))
        assert isinstance(found, World)
        assert (numbers(found), found.planned, found.generation) == ([0, 3, 4], True, 2)
        assert found.reason == "worker w3 and 1 other joined; 3 of 3 workers train."

    def test_waits_a_moment_for_others(self) -> None:
        (late,) = running(3, since_seconds=2)
        assert following(W0, late, before=a_world(W0)) == world.SETTLE_SECONDS - 2
        (settled,) = running(3, since_seconds=5)
        assert numbers(following(W0, settled, before=a_world(W0))) == [0, 3]

    def test_waits_no_longer_when_the_clock_was_set_back(self) -> None:
        (ahead,) = running(3, since_seconds=-1000)
        assert following(W0, ahead, before=a_world(W0)) == world.SETTLE_SECONDS

    def test_needs_an_address(self) -> None:
        assert following(W0, replace(W3, address=""), before=a_world(W0)) is None

    def test_that_lets_no_larger_number_train_does_not_happen(self) -> None:
        training = {**a_job().manifest["spec"]["training"], "parallelism": {"shard": 2}}
        assert following(W0, W1, W2, before=a_world(W0, W1), most=4, training=training) is None

    def test_of_one_that_counts_as_lost_in_an_older_view_does_not_happen(self) -> None:
        recorded = planned(2)
        recorded = recorded.model_copy(update={"world": recorded.world.model_copy(update={"lost": ["uid-1"]})})
        seen = Observed(NOON, workers=(W0, W1), world=a_world(W0))
        assert world.next_world(recorded, spec(1, 2), seen, 1) is None


def going(worker: Worker) -> Worker:
    return replace(worker, notice="taint cloud.google.com/impending-node-termination")


class TestNotice:
    def test_alone_changes_nothing(self) -> None:
        assert following(W0, going(W1), W2, before=THREE) is None

    def test_lets_one_that_has_come_relieve_the_member(self) -> None:
        found = following(W0, going(W1), W2, W3, before=THREE)
        assert isinstance(found, World)
        assert (numbers(found), found.planned) == ([0, 2, 3], True)
        assert found.reason == (
            "worker w1 relieved (taint cloud.google.com/impending-node-termination); 3 of 3 workers train."
        )

    def test_of_the_leader_makes_the_next_member_the_leader(self) -> None:
        assert numbers(following(going(W0), W1, W2, W3, before=THREE)) == [1, 2, 3]

    def test_of_two_waits_a_moment_for_the_second_who_relieves(self) -> None:
        (late,) = running(3, since_seconds=2)
        assert following(W0, going(W1), going(W2), late, before=THREE) == world.SETTLE_SECONDS - 2
        (settled,) = running(3, since_seconds=5)
        assert numbers(following(W0, going(W1), going(W2), settled, before=THREE)) == [0, 1, 3]

    def test_of_all_members_relieves_nobody_as_nobody_would_have_the_state(self) -> None:
        assert following(going(W0), going(W1), W3, W4, before=a_world(W0, W1), most=2) is None

    def test_of_the_only_one_left_keeps_it_beside_those_who_come(self) -> None:
        assert numbers(following(going(W0), W3, W4, before=a_world(W0, W1), most=2)) == [0, 3]

    def test_of_the_one_who_came_relieves_nobody(self) -> None:
        assert following(W0, going(W1), W2, going(W3), before=THREE) is None

    def test_is_no_reason_to_train_with_fewer(self) -> None:
        (settled,) = running(3, since_seconds=5)
        assert numbers(following(W0, going(W1), settled, before=a_world(W0, W1), most=3)) == [0, 1, 3]

    def test_makes_a_worker_the_last_to_be_taken_first(self) -> None:
        seen = Observed(NOON, workers=(going(W0), W1, W2))
        assert numbers(world.next_world(planned(2), spec(1, 2), seen, 1)) == [1, 2]


class TestWhole:
    def test_is_an_attempt_with_all_its_workers(self) -> None:
        assert not world.is_whole(planned(2), spec(1, 2), Observed(NOON, workers=running(0)), 1)
        assert world.is_whole(planned(2), spec(1, 2), Observed(NOON, workers=running(0, 1)), 1)

    def test_is_what_has_its_roster(self) -> None:
        assert world.is_whole(planned(2), spec(1, 2), Observed(NOON, workers=running(0), world=a_world()), 1)


class TestSpares:
    SPEC = a_job().with_spec(workers={"min": 2, "max": 2, "spares": 1}).spec

    def test_are_workers_more_than_train(self) -> None:
        assert world.with_spares(planned(2), self.SPEC) == 3
        assert not world.is_whole(planned(2), self.SPEC, Observed(NOON, workers=running(0, 1)), 1)

    def test_are_none_in_a_group(self) -> None:
        grouped = a_job().with_spec(scheduling={"gang": {"native": {}}}).spec
        spared = grouped.model_copy(update={"workers": self.SPEC.workers})
        assert world.with_spares(planned(2), spared) == 2

    def test_stay_outside_while_nobody_is_lost(self) -> None:
        observed = Observed(NOON, workers=running(0, 1, 2))
        first = world.next_world(planned(2), self.SPEC, observed, 1)
        assert isinstance(first, World)
        assert [m.worker for m in first.roster] == [0, 1]
        later = Observed(NOON, workers=running(0, 1, 2), world=first)
        assert world.next_world(planned(2), self.SPEC, later, 1) is None

    def test_take_a_lost_ones_place_at_once(self) -> None:
        first, lost, spare = running(0, 1, 2)
        observed = Observed(NOON, workers=(first, killed(lost), spare), world=a_world(first, lost))
        following = world.next_world(planned(2), self.SPEC, observed, 1)
        assert isinstance(following, World)
        assert [m.worker for m in following.roster] == [0, 2]
