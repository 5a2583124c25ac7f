"""What is recorded of recoveries that needed no new start, and which recoveries are over."""

from dataclasses import replace
from datetime import timedelta
from typing import Literal

from support.stage_runs import NOON, a_run

from pretrain_api.recoveries import Recovery
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import Condition
from pretrain_operator.brain import recoveries
from pretrain_operator.brain.observed import StageRun


def a_recovery(number: int) -> Recovery:
    return Recovery(
        number=number,
        kind="Restart",
        rank=1,
        cause="exit -9 (SIGKILL)",
        time=NOON + timedelta(minutes=number),
        seconds=0.4125,
        lost_steps=1,
        phases={"stop": 0.1, "step": 0.3125},
    )


def recovered(number: int, attempt: int = 1) -> StageRun:
    return replace(a_run(), attempt=attempt, recovery=a_recovery(number))


def test_a_recovery_is_recorded_with_who_why_and_how_long() -> None:
    status = recoveries.taken_in(PretrainJobStatus(), recovered(1))
    assert (status.recovery.restarts, status.recovery.failures) == (1, 0)
    record = status.recovery.last_recovery
    assert record is not None
    assert (record.worker, record.rank, record.cause, record.lost_steps) == ("gpt-w0", 1, "exit -9 (SIGKILL)", 1)
    assert (record.seconds, record.phases) == ("0.412", "stop 0.100, step 0.312")


def test_a_change_of_the_roster_names_the_worker_that_was_lost() -> None:
    change = a_recovery(1).model_copy(update={"kind": "Shrink", "worker": "gpt-w1", "rank": -1})
    record = recoveries.taken_in(PretrainJobStatus(), replace(a_run(), recovery=change)).recovery.last_recovery
    assert record is not None
    assert (record.kind, record.worker, record.rank) == ("Shrink", "gpt-w1", -1)


def test_the_same_one_seen_again_counts_once() -> None:
    once = recoveries.taken_in(PretrainJobStatus(), recovered(1))
    assert recoveries.taken_in(once, recovered(1)) == once
    assert recoveries.taken_in(once, a_run()) == once
    assert recoveries.taken_in(once, None) == once


def test_those_in_between_that_nobody_saw_count_too() -> None:
    status = recoveries.taken_in(recoveries.taken_in(PretrainJobStatus(), recovered(1)), recovered(4))
    assert status.recovery.restarts == 4


def test_a_new_start_counts_from_one_again() -> None:
    status = recoveries.taken_in(recoveries.taken_in(PretrainJobStatus(), recovered(3)), recovered(2, attempt=2))
    assert status.recovery.restarts == 5
    record = status.recovery.last_recovery
    assert record is not None
    assert (record.attempt, record.number) == (2, 2)


def test_an_older_report_that_comes_late_changes_nothing() -> None:
    status = recoveries.taken_in(PretrainJobStatus(), recovered(3))
    assert recoveries.taken_in(status, recovered(2)) == status


def test_another_leader_counts_from_the_beginning() -> None:
    status = recoveries.taken_in(PretrainJobStatus(), recovered(3))
    later = a_recovery(1).model_copy(update={"time": NOON + timedelta(minutes=4), "cause": "later"})
    status = recoveries.taken_in(status, replace(a_run(), recovery=later))
    assert status.recovery.restarts == 4
    assert status.recovery.last_recovery is not None
    assert status.recovery.last_recovery.cause == "later"
    assert recoveries.taken_in(status, replace(a_run(), recovery=later)) == status


class TestBetween:
    """What is over between two recorded statuses."""

    def test_one_within_a_start_is_told_once_with_its_phases(self) -> None:
        before, after = PretrainJobStatus(), recoveries.taken_in(PretrainJobStatus(), recovered(1))
        [found] = recoveries.between(before, after)
        assert (found.rung, found.began, found.seconds) == ("Restart", NOON + timedelta(minutes=1), 0.412)
        assert found.phases == (("stop", 0.1), ("step", 0.312))
        assert found.described["cause"] == "exit -9 (SIGKILL)"
        assert list(recoveries.between(after, after)) == []

    def test_one_by_a_new_start_is_a_wait_for_it_and_the_start(self) -> None:
        lost = a_condition("Recovering", "True", "Restarting", seconds=0)
        waiting = a_condition("Running", "False", "WaitingToRetry", seconds=0)
        mended = a_condition("Recovering", "False", "Recovered", seconds=30)
        running = a_condition("Running", "True", "Train", seconds=12)
        before, after = PretrainJobStatus(conditions=[lost, waiting]), PretrainJobStatus(conditions=[mended, running])
        [found] = recoveries.between(before, after)
        assert (found.rung, found.began, found.seconds) == ("Restore", NOON, 30)
        assert found.phases == (("wait", 12), ("start", 18))

    def test_where_the_new_start_came_at_once_there_is_no_wait(self) -> None:
        lost, running = a_condition("Recovering", "True", "Restarting", 0), a_condition("Running", "True", "Train", -60)
        mended = a_condition("Recovering", "False", "Recovered", seconds=30)
        before, after = PretrainJobStatus(conditions=[lost, running]), PretrainJobStatus(conditions=[mended, running])
        assert [found.phases for found in recoveries.between(before, after)] == [(("start", 30),)]

    def test_while_it_lasts_and_where_a_smaller_roster_mended_it_there_is_none(self) -> None:
        lost, shrunk = (a_condition("Recovering", "True", reason, 0) for reason in ("Restarting", "Shrinking"))
        mended = PretrainJobStatus(conditions=[a_condition("Recovering", "False", "Recovered", 30)])
        assert list(recoveries.between(PretrainJobStatus(), PretrainJobStatus(conditions=[lost]))) == []
        assert list(recoveries.between(PretrainJobStatus(conditions=[shrunk]), mended)) == []


def a_condition(kind: str, status: Literal["True", "False"], reason: str, seconds: float) -> Condition:
    """Since so many seconds after noon."""
    return Condition(type=kind, status=status, reason=reason, last_transition_time=NOON + timedelta(seconds=seconds))
