"""What is recorded of recoveries, within a start and by a new one, and which are over."""

from dataclasses import replace
from datetime import timedelta
from typing import Literal

from support.stage_runs import NOON, a_run

from pretrain_api.recoveries import Recovery
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import Condition, Progress
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


def test_one_that_is_told_again_by_a_clock_that_was_set_is_the_same() -> None:
    status = recoveries.taken_in(PretrainJobStatus(), recovered(3))
    later = a_recovery(3).model_copy(update={"time": a_recovery(3).time + timedelta(hours=1)})
    assert recoveries.taken_in(status, replace(a_run(), recovery=later)) == status


def test_a_long_cause_is_cut_short() -> None:
    """A rank may hang at a place with a long name."""
    long = a_recovery(1).model_copy(update={"cause": "x" * 5000})
    record = recoveries.taken_in(PretrainJobStatus(), replace(a_run(), recovery=long)).recovery.last_recovery
    assert record is not None
    assert record.cause == "x" * 256


class TestBetween:
    """What is over between two recorded statuses."""

    def test_one_within_a_start_is_told_once_with_its_phases(self) -> None:
        before, after = PretrainJobStatus(), recoveries.taken_in(PretrainJobStatus(), recovered(1))
        [found] = recoveries.between(before, after)
        assert (found.rung, found.began, found.seconds) == ("Restart", NOON + timedelta(minutes=1), 0.412)
        assert found.phases == (("stop", 0.1), ("step", 0.312))
        assert found.described["cause"] == "exit -9 (SIGKILL)"
        assert list(recoveries.between(after, after)) == []


class TestRestored:
    """A recovery by a new start, of which the status knows how long it was waited for and what was told before."""

    LOST = PretrainJobStatus(
        conditions=[
            Condition(type="Recovering", status="True", reason="Restarting", message="Train failed: Signal\nWait.",
                      last_transition_time=NOON),
            Condition(type="Running", status="False", reason="WaitingToRetry", last_transition_time=NOON),
        ],
        progress=Progress(step=564),
    )  # fmt: skip
    RUN = replace(a_run(), attempt=2, figures={"step": 498.0, "resumedStep": 497.0})

    @staticmethod
    def mended(running: float) -> PretrainJobStatus:
        conditions = [
            a_condition("Recovering", "False", "Recovered", seconds=30),
            a_condition("Running", "True", "Train", seconds=running),
        ]
        return PretrainJobStatus(conditions=conditions, progress=Progress(step=498))

    def test_has_its_wait_its_start_and_the_steps_that_are_missed(self) -> None:
        record = recoveries.restored(self.LOST, self.mended(12), self.RUN).recovery.last_recovery
        assert record is not None
        assert (record.kind, record.time, record.attempt, record.seconds) == ("Restore", NOON, 2, "30.000")
        assert (record.lost_steps, record.cause) == (67, "Train failed: Signal")
        assert list(recoveries.phases(record)) == [("wait", 12), ("start", 18)]

    def test_is_told_once(self) -> None:
        after = recoveries.restored(self.LOST, self.mended(12), self.RUN)
        [found] = recoveries.between(self.LOST, after)
        assert (found.rung, found.began, found.seconds, found.phases) == (
            "Restore",
            NOON,
            30,
            (("wait", 12), ("start", 18)),
        )
        assert recoveries.restored(after, after, self.RUN) == after
        assert list(recoveries.between(after, after)) == []

    def test_where_the_new_start_came_at_once_there_is_no_wait(self) -> None:
        record = recoveries.restored(self.LOST, self.mended(-60), self.RUN).recovery.last_recovery
        assert record is not None
        assert list(recoveries.phases(record)) == [("start", 30)]

    def test_while_it_lasts_and_where_a_smaller_roster_mended_it_there_is_none(self) -> None:
        assert recoveries.restored(PretrainJobStatus(), self.LOST, self.RUN) == self.LOST
        shrunk = PretrainJobStatus(conditions=[a_condition("Recovering", "True", "Shrinking", 0)])
        assert recoveries.restored(shrunk, self.mended(12), self.RUN) == self.mended(12)

    def test_one_within_the_new_start_counts_from_one(self) -> None:
        after = recoveries.restored(self.LOST, self.mended(12), self.RUN)
        later = a_recovery(1).model_copy(update={"time": NOON + timedelta(minutes=4)})
        status = recoveries.taken_in(after, replace(self.RUN, recovery=later))
        assert (status.recovery.restarts, status.recovery.last_recovery and status.recovery.last_recovery.kind) == (
            1,
            "Restart",
        )


def a_condition(kind: str, status: Literal["True", "False"], reason: str, seconds: float) -> Condition:
    """Since so many seconds after noon."""
    return Condition(type=kind, status=status, reason=reason, last_transition_time=NOON + timedelta(seconds=seconds))
