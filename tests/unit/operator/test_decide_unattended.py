"""The rules where nobody waits in front of a job: deletion, its time after the end, phases, repairs, edits, leftovers."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from support.jobs import a_job
from support.stage_runs import NOON, a_run, an_ended_run
from support.worlds import a_worker, a_world, evicted, killed, waiting

from pretrain_api.events import Outcome
from pretrain_api.stages import PHASES, Stage
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.world import World
from pretrain_operator.brain import conditions, edits, lifecycle, stages, world
from pretrain_operator.brain.decide import decide
from pretrain_operator.brain.observed import Observed, Start, Trouble, Worker
from pretrain_operator.brain.plan import (
    Decision,
    DeleteJob,
    DropWorkers,
    KeepSpec,
    KillStage,
    PublishWorld,
    ReleaseJob,
    Requeue,
    StartStage,
    StopStage,
)

SPEC = a_job().spec
COLLECT = Start(Stage.COLLECT, 1)
OPENED = stages.listed(lifecycle.opened(PretrainJobStatus(), NOON, 1), SPEC).model_copy(
    update={"accepted_job": edits.digest(SPEC)}
)
COLLECTING = stages.changed(OPENED, Stage.COLLECT, state="Running", attempts=1, phase="finish", start_time=NOON)


def seen(seconds: float = 0, **parts: Any) -> Observed:
    return Observed(NOON + timedelta(seconds=seconds), is_unattended=True, accepted=SPEC, **parts)


def running(**changes: Any) -> dict[str, Any]:
    """Collect at work."""
    return {"runs": {Stage.COLLECT: a_run(Stage.COLLECT, **changes)}, "alive": frozenset({COLLECT})}


def training(*workers: Worker) -> tuple[PretrainJobStatus, dict[str, Any]]:
    status = OPENED
    for stage in (Stage.COLLECT, Stage.PREPARE, Stage.TOKENIZER, Stage.ENCODE):
        status = stages.completed(status, stage, stage.lower(), NOON, NOON)
    status = stages.changed(status, Stage.TRAIN, state="Running", attempts=1, phase="finish", start_time=NOON)
    return status, {"workers": workers, "alive": frozenset({Start(Stage.TRAIN, 1)})}


def ends(status: PretrainJobStatus, now: datetime) -> PretrainJobStatus:
    return lifecycle.ended(status, "Succeeded", now)


class TestDeletion:
    def test_asks_everything_that_is_there_to_leave(self) -> None:
        decision = decide(SPEC, COLLECTING, seen(5, deleted=NOON, **running()))
        assert StopStage(Stage.COLLECT, 1) in decision.plan
        assert conditions.is_stopping(decision.recorded)

    def test_lets_the_job_go_once_nothing_is_there(self) -> None:
        assert decide(SPEC, COLLECTING, seen(5, deleted=NOON)).plan == (ReleaseJob(),)

    def test_kills_what_does_not_leave_and_then_waits_no_longer(self) -> None:
        late = decide(SPEC, COLLECTING, seen(61, deleted=NOON, **running()))
        assert KillStage(Stage.COLLECT, 1) in late.plan
        assert decide(SPEC, COLLECTING, seen(71, deleted=NOON, **running())).plan == (ReleaseJob(),)

    def test_needs_no_spec_and_no_end(self) -> None:
        assert decide(None, COLLECTING, seen(5, deleted=NOON)).plan == (ReleaseJob(),)
        assert decide(SPEC, ends(COLLECTING, NOON), seen(5, deleted=NOON)).plan == (ReleaseJob(),)


class TestAfterTheEnd:
    def test_nothing_runs_on(self) -> None:
        decision = decide(SPEC, ends(COLLECTING, NOON), seen(5, alive=frozenset({COLLECT})))
        assert KillStage(Stage.COLLECT, 1) in decision.plan

    def test_the_job_is_deleted_when_its_time_is_over(self) -> None:
        spec = a_job().with_spec(ttlSecondsAfterFinished=60).spec
        assert decide(spec, ends(COLLECTING, NOON), seen(20)).plan == (Requeue(40),)
        assert decide(spec, ends(COLLECTING, NOON), seen(60)).plan == (DeleteJob(),)

    def test_the_job_stays_without_such_a_time(self) -> None:
        assert decide(SPEC, ends(COLLECTING, NOON), seen(10**9)).plan == ()


class TestPhases:
    def test_follow_each_other_in_one_attempt(self) -> None:
        prepared = stages.completed(OPENED, Stage.COLLECT, "c", NOON, NOON)
        decision, started = decide(SPEC, prepared, seen(parts=3)), []
        while True:
            start = next(a for a in decision.plan if isinstance(a, StartStage))
            started.append((start.phase, start.attempt, start.parts))
            if start.phase == "finish":
                break
            run = an_ended_run(0, "complete", Stage.PREPARE, phase=start.phase)
            decision = decide(SPEC, decision.recorded, seen(parts=3, runs={Stage.PREPARE: run}))
        assert started == [(phase.name, 1, 3 if phase.indexed else 1) for phase in PHASES[Stage.PREPARE]]

    def test_are_left_out_when_one_of_them_finds_the_record(self) -> None:
        begun = stages.changed(OPENED, Stage.COLLECT, state="Running", attempts=1, phase="collect")
        run = an_ended_run(0, "complete", Stage.COLLECT, phase="collect", words={"fingerprint": "c", "skipped": True})
        decision = decide(SPEC, begun, seen(parts=3, runs={Stage.COLLECT: run}))
        assert stages.entry(decision.recorded, Stage.COLLECT).state == "Complete"

    def test_go_on_where_they_were_left_after_a_failure(self) -> None:
        begun = stages.changed(OPENED, Stage.PREPARE, state="Running", attempts=1, phase="write")
        begun = stages.completed(begun, Stage.COLLECT, "c", NOON, NOON)
        run = an_ended_run(1, "failed", Stage.PREPARE, phase="write")
        failed = decide(SPEC, begun, seen(parts=3, runs={Stage.PREPARE: run})).recorded
        start = next(a for a in decide(SPEC, failed, seen(60, parts=3)).plan if isinstance(a, StartStage))
        assert (start.phase, start.attempt) == ("write", 2)


class TestRepairs:
    def told(self, code: str, seconds: float = 10) -> Decision:
        words = {"code": code, "message": f"s3://bucket: no. [{code}]"}
        run = an_ended_run(2, "userError", Stage.COLLECT, words=words)
        return decide(SPEC, COLLECTING, seen(seconds, runs={Stage.COLLECT: run}))

    def test_of_storage_are_waited_for_and_shown(self) -> None:
        decision = self.told("no-credentials")
        stalled = conditions.condition(decision.recorded, conditions.STALLED)
        assert (decision.recorded.state, stalled.status) == ("Stalled", "True")
        assert "[no-credentials]" in stalled.message
        assert decision.recorded.recovery.failures == 0

    def test_are_tried_with_growing_pauses(self) -> None:
        status, pauses = self.told("unreachable").recorded, []
        for attempt in range(2, 9):
            now = NOON + timedelta(seconds=attempt * 100)
            again = decide(SPEC, status, replace(seen(), now=now))
            run = an_ended_run(2, "userError", Stage.COLLECT, attempt=attempt, words={"code": "unreachable"})
            decision = decide(SPEC, again.recorded, replace(seen(), now=now, runs={Stage.COLLECT: run}))
            pauses.append(decision.look_again_seconds)
            status = decision.recorded
        assert pauses == [2, 4, 8, 16, 30, 30, 30]

    def test_of_what_the_user_wrote_end_the_job(self) -> None:
        assert self.told("unknown-format").recorded.state == "Failed"

    def test_are_not_waited_for_by_a_person(self) -> None:
        run = an_ended_run(2, "userError", Stage.COLLECT, words={"code": "no-credentials"})
        plain = Observed(NOON, runs={Stage.COLLECT: run})
        assert decide(SPEC, COLLECTING, plain).recorded.state == "Failed"


class TestEdits:
    def test_that_the_running_program_must_know_restart_it_gracefully(self) -> None:
        wanted = a_job().with_spec(workers={"resources": {"limits": {"memory": "1Gi"}}}).spec
        decision = decide(wanted, COLLECTING, seen(**running()))
        assert StopStage(Stage.COLLECT, 1) in decision.plan
        assert KeepSpec(wanted) in decision.plan
        stopped = an_ended_run(75, "stopped", Stage.COLLECT)
        again = decide(wanted, decision.recorded, replace(seen(5, runs={Stage.COLLECT: stopped}), accepted=wanted))
        assert StartStage(Stage.COLLECT, 2, {}) in again.plan
        assert again.recorded.recovery.disruptions == 0

    def test_that_it_need_not_know_leave_it_alone(self) -> None:
        decision = decide(a_job().with_budget(3).spec, COLLECTING, seen(**running()))
        assert not [a for a in decision.actions if isinstance(a, StopStage)]

    def test_that_cannot_be_read_are_shown_and_the_job_goes_on(self) -> None:
        decision = decide(SPEC, COLLECTING, seen(invalid="spec.x: wrong.", **running()))
        assert conditions.condition(decision.recorded, conditions.ACCEPTED).reason == "Invalid"
        assert decision.recorded.state == "Collecting"

    def test_of_a_job_that_never_had_a_spec_start_it(self) -> None:
        refused = decide(None, PretrainJobStatus(), seen(invalid="spec.x: wrong."))
        assert refused.actions == ()
        assert "spec.x" in conditions.condition(refused.recorded, conditions.ACCEPTED).message
        assert refused.recorded.state == "Stalled"
        assert StartStage(Stage.COLLECT, 1, {}) in decide(SPEC, refused.recorded, seen()).plan

    def test_a_stop_that_was_begun_goes_on_when_its_reason_is_gone(self) -> None:
        stopping = decide(a_job().suspended().spec, COLLECTING, seen(**running())).recorded
        assert StopStage(Stage.COLLECT, 1) in decide(SPEC, stopping, seen(1, **running())).plan


class TestLeftovers:
    def test_keep_a_new_start_from_beginning(self) -> None:
        failed = stages.changed(COLLECTING, Stage.COLLECT, state="Failed")
        decision = decide(SPEC, failed, seen(60, alive=frozenset({COLLECT})))
        assert decision.actions == (KillStage(Stage.COLLECT, 1),)

    def test_of_a_disrupted_start_may_save_before_they_are_killed(self) -> None:
        lost = Worker(0, "w0", "u", "Lost", reason="EvictionByEvictionAPI", started=NOON)
        status, parts = training(lost, Worker(1, "w1", "v", "Running", address="10.0.0.1", started=NOON))
        first = decide(SPEC, status, seen(**parts))
        assert first.actions == (StopStage(Stage.TRAIN, 1),)
        assert first.recorded.recovery.disruptions == 1
        second = decide(SPEC, first.recorded, seen(20, **parts))
        assert second.actions == (StopStage(Stage.TRAIN, 1),)
        assert second.recorded.recovery.disruptions == 1
        assert decide(SPEC, second.recorded, seen(31, **parts)).actions == (KillStage(Stage.TRAIN, 1),)
        again = decide(SPEC, second.recorded, seen(32))
        assert [(a.stage, a.attempt) for a in again.actions if isinstance(a, StartStage)] == [(Stage.TRAIN, 2)]

    def test_keep_a_roster_from_being_published(self) -> None:
        worker = Worker(0, "w0", "u", "Running", address="10.0.0.1", started=NOON)
        status, parts = training(worker)
        status = status.model_copy(update={"world": status.world.model_copy(update={"workers": 1, "generation": 1})})
        assert any(isinstance(a, PublishWorld) for a in decide(SPEC, status, seen(**parts)).plan)
        old = {**parts, "alive": parts["alive"] | {Start(Stage.TRAIN, 0)}}
        assert decide(SPEC, status, seen(**old)).actions == (KillStage(Stage.TRAIN, 0),)


def elastic(
    fewest: int, *workers: Worker, before: World, **parts: Any
) -> tuple[PretrainJobSpec, PretrainJobStatus, Any]:
    """A job of three workers that trains with a roster."""
    spec = a_job().with_spec(workers={"min": fewest, "max": 3}, **parts).spec
    status, seen_parts = training(*workers)
    status = world.planned(status.model_copy(update={"accepted_job": edits.digest(spec)}), spec, 1, 3)
    return spec, status, replace(seen(**seen_parts), accepted=spec, world=before)


class TestLostMember:
    def test_is_left_out_and_replaced_at_once(self) -> None:
        spec, status, observed = elastic(1, a_worker(0), evicted(1), a_worker(2), before=a_world(0, 1, 2))
        decision = decide(spec, status, observed)
        [publishes] = [a for a in decision.plan if isinstance(a, PublishWorld)]
        [starts] = [a for a in decision.plan if isinstance(a, StartStage)]
        assert [m.worker for m in publishes.world.roster] == [0, 2]
        assert (starts.attempt, starts.workers, starts.parts) == (1, (3,), 3)
        assert stages.entry(decision.recorded, Stage.TRAIN).state == "Running"
        assert decision.recorded.state == "Recovering"
        assert (decision.recorded.recovery.disruptions, decision.recorded.world.lost) == (1, ["uid-1"])

    def test_is_counted_once_when_the_operator_dies_before_it_acts(self) -> None:
        spec, status, observed = elastic(1, a_worker(0), killed(1), a_worker(2), before=a_world(0, 1, 2))
        first = decide(spec, status, observed)
        second = decide(spec, first.recorded, observed)
        assert (second.plan, second.recorded.recovery.failures) == (first.plan, 1)

    def test_ends_the_job_when_too_many_were_killed(self) -> None:
        workers = (a_worker(0), killed(1), killed(2))
        spec, status, observed = elastic(1, *workers, before=a_world(0, 1, 2), recovery={"maxFailures": 2})
        decision = decide(spec, status, observed)
        assert decision.recorded.state == "Failed"
        assert "worker w1 on node node-1, OutOfMemory" in conditions.condition(decision.recorded, "Succeeded").message

    def test_is_waited_for_below_the_fewest_and_said(self) -> None:
        spec, status, observed = elastic(2, a_worker(0), evicted(1), evicted(2), before=a_world(0, 1, 2))
        decision = decide(spec, status, observed)
        assert [type(a) for a in decision.actions] == [StartStage]
        running = conditions.condition(decision.recorded, conditions.RUNNING)
        assert (running.status, running.reason) == ("False", "WaitingForWorkers")
        assert "at least 2" in running.message
        there = replace(observed, workers=(a_worker(0), a_worker(3), waiting(4)))
        decision = decide(spec, decision.recorded, there)
        [publishes] = decision.actions
        assert isinstance(publishes, PublishWorld)
        assert conditions.condition(decision.recorded, conditions.RUNNING).status == "True"

    def test_ends_the_attempt_where_the_group_was_counted(self) -> None:
        workers = (a_worker(0), evicted(1), a_worker(2))
        spec, status, observed = elastic(1, *workers, before=a_world(0, 1, 2), scheduling={"queueName": "research"})
        decision = decide(spec, status, observed)
        assert decision.actions == (StopStage(Stage.TRAIN, 1),)
        assert decision.recorded.recovery.disruptions == 1

    def test_changes_nothing_while_the_job_stops(self) -> None:
        spec, status, observed = elastic(1, a_worker(0), evicted(1), a_worker(2), before=a_world(0, 1, 2), suspend=True)
        decision = decide(spec, status, observed)
        assert decision.actions == (StopStage(Stage.TRAIN, 1),)
        assert decision.recorded.recovery.disruptions == 0

    def test_that_was_counted_is_not_counted_again_when_it_ends_the_attempt_after_all(self) -> None:
        spec, status, observed = elastic(1, a_worker(0), killed(1), before=a_world(0, 1))
        counted = decide(spec, status, observed).recorded
        failed = a_worker(0, state="Ended", is_alive=False, exit_code=1, outcome=Outcome(outcome="failed"))
        gone = replace(observed, workers=(failed, killed(1)), alive=frozenset())
        decision = decide(spec, counted, gone)
        assert stages.entry(decision.recorded, Stage.TRAIN).state == "Failed"
        assert decision.recorded.recovery.failures == 1

    def test_is_made_up_for_by_joiners_together(self) -> None:
        spec, status, observed = elastic(1, a_worker(0), a_worker(3), waiting(4), before=a_world(0, generation=2))
        waits = decide(spec, status, observed)
        assert (waits.actions, waits.look_again_seconds) == ((), world.SETTLE_SECONDS)
        [publishes] = decide(spec, status, replace(observed, workers=(*(a_worker(n) for n in (0, 3, 4)),))).actions
        assert isinstance(publishes, PublishWorld)
        assert (publishes.world.generation, publishes.world.planned) == (3, True)

    def test_is_not_replaced_by_more_than_are_wanted(self) -> None:
        workers = (a_worker(0), a_worker(1), a_worker(2), waiting(3))
        spec, status, observed = elastic(1, *workers, before=a_world(0, 1, 2))
        assert decide(spec, status, observed).actions == (DropWorkers(1, (3,)),)

    def test_is_replaced_after_a_pause_when_replacements_end_before_they_join(self) -> None:
        workers = (a_worker(0), a_worker(1, state="Ended", is_alive=False, exit_code=1, ended=NOON))
        spec, status, observed = elastic(1, *workers, before=a_world(0))
        waits = decide(spec, status, observed)
        assert (waits.actions, waits.look_again_seconds) == ((), 1)
        [starts] = decide(spec, waits.recorded, replace(observed, now=NOON + timedelta(seconds=2))).actions
        assert isinstance(starts, StartStage)
        assert starts.workers == (2, 3)
        assert waits.recorded.recovery.failures == 0


class TestQueue:
    def test_is_said_while_it_holds_the_stage_back_and_not_afterwards(self) -> None:
        waits = decide(SPEC, COLLECTING, seen(is_queued=True, is_waiting=True, **running()))
        assert waits.recorded.state == "Queued"
        assert conditions.condition(waits.recorded, conditions.RUNNING).reason == "Queued"
        assert waits.look_again_seconds is not None
        goes_on = decide(SPEC, waits.recorded, seen(**running()))
        assert goes_on.recorded.state == "Collecting"
        assert conditions.condition(goes_on.recorded, conditions.RUNNING).status == "True"


class TestTroubles:
    def test_are_shown_while_the_program_is_waited_for(self) -> None:
        trouble = Trouble("Unschedulable", "Pod x fits on no node.")
        decision = decide(SPEC, COLLECTING, seen(troubles=(trouble,), is_waiting=True, **running()))
        assert conditions.condition(decision.recorded, conditions.STALLED).message == "Pod x fits on no node."
        assert decision.look_again_seconds is not None

    def test_pods_that_never_ran_are_made_again_when_they_would_be_made_otherwise(self) -> None:
        decision = decide(SPEC, COLLECTING, seen(**running(is_outdated=True)))
        assert StopStage(Stage.COLLECT, 1) in decision.plan
