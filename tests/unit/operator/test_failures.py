"""What a program's end means, how failures are counted, and what the last words are."""

from datetime import timedelta

import pytest
from support.jobs import a_job
from support.stage_runs import NOON, a_run, an_ended_run

from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import CheckpointStatus, Failure
from pretrain_operator.brain import failures
from pretrain_operator.brain.failures import Verdict
from pretrain_operator.brain.observed import StageRun

FAILED = failures.failure(an_ended_run(1, "failed", words={"kind": "Runtime", "message": "RuntimeError: x"}), NOON)


class TestVerdict:
    @pytest.mark.parametrize(
        ("run", "expected"),
        [
            (an_ended_run(0, "complete"), Verdict.COMPLETE),
            (an_ended_run(-9, "complete"), Verdict.COMPLETE),
            (an_ended_run(2, "userError"), Verdict.USER_ERROR),
            (an_ended_run(1, "userError"), Verdict.USER_ERROR),
            (an_ended_run(2), Verdict.USER_ERROR),
            (an_ended_run(75, "stopped"), Verdict.DISRUPTION),
            (an_ended_run(75), Verdict.DISRUPTION),
            (an_ended_run(-15), Verdict.DISRUPTION),
            (an_ended_run(143), Verdict.DISRUPTION),
            (a_run(state="Lost"), Verdict.DISRUPTION),
            (an_ended_run(1, "failed"), Verdict.FAILURE),
            (an_ended_run(1), Verdict.FAILURE),
            (an_ended_run(-9), Verdict.FAILURE),
            (an_ended_run(0), Verdict.FAILURE),
        ],
        ids=lambda value: value.name if isinstance(value, Verdict) else f"{value.exit_code}-{value.outcome}"[:40],
    )
    def test_of_a_program_that_nobody_asked_to_stop(self, run: StageRun, expected: Verdict) -> None:
        assert failures.verdict(run, asked_to_stop=False) is expected

    @pytest.mark.parametrize(
        "run", [an_ended_run(75, "stopped"), an_ended_run(-9), an_ended_run(1, "failed"), an_ended_run(1)]
    )
    def test_of_one_that_was_asked_is_stopped(self, run: StageRun) -> None:
        assert failures.verdict(run, asked_to_stop=True) is Verdict.STOPPED

    def test_of_one_that_was_asked_and_was_faster_is_complete(self) -> None:
        assert failures.verdict(an_ended_run(0, "complete"), asked_to_stop=True) is Verdict.COMPLETE


class TestFailure:
    def test_names_the_rank_that_spoke(self) -> None:
        failed = failures.failure(an_ended_run(1, "failed", said_rank=3, words={"kind": "OutOfMemory"}), NOON)
        assert (failed.worker, failed.node, failed.rank, failed.kind) == ("gpt-w0", "a17", 3, "OutOfMemory")

    def test_of_a_killed_rank_shows_the_end_of_the_log(self) -> None:
        run = an_ended_run(137, "failed", said_rank=1, words={"kind": "Signal"}, last_lines="connection reset")
        failed = failures.failure(run, NOON)
        assert (failed.rank, failed.kind) == (1, "Signal")
        assert failed.message == "exit -9 (SIGKILL)\nconnection reset"

    def test_that_a_pod_has_put_into_words_is_not_said_twice(self) -> None:
        words = {"kind": "Signal", "message": "exit -9 (SIGKILL)\nconnection reset"}
        failed = failures.failure(an_ended_run(137, "failed", said_rank=1, words=words), NOON)
        assert failed.message == "exit -9 (SIGKILL)\nconnection reset"

    def test_shows_the_log_when_the_program_said_nothing(self) -> None:
        failed = failures.failure(an_ended_run(-11, last_lines="Fatal Python error"), NOON)
        assert failed.message == "exit -11 (SIGSEGV)\nFatal Python error"

    def test_of_a_user_is_the_message_alone(self) -> None:
        failed = failures.failure(
            an_ended_run(2, "userError", words={"code": "empty-glob", "message": "spec.x: wrong."}), NOON
        )
        assert (failed.kind, failed.message) == ("UserError", "spec.x: wrong.")


class TestHeadline:
    def test_of_a_traceback_is_its_last_line_and_of_a_kill_the_signal(self) -> None:
        raised = failures.failure(an_ended_run(1, last_lines="Traceback ...\nValueError: no"), NOON)
        killed = failures.failure(an_ended_run(-9, last_lines="step 1\n---"), NOON)
        assert failures.headline(raised) == "Exit: ValueError: no"
        assert failures.headline(killed) == "Signal: exit -9 (SIGKILL)"

    def test_without_words_is_the_kind(self) -> None:
        assert failures.headline(Failure(kind="Exit")) == "Exit"


class TestBudget:
    def status(self, *seconds: float) -> PretrainJobStatus:
        status = PretrainJobStatus()
        for second in seconds:
            status = failures.counted(
                status, FAILED, a_job().with_budget(3, 100).spec, NOON + timedelta(seconds=second)
            )
        return status

    def test_is_spent_by_as_many_failures_as_it_says_within_the_window(self) -> None:
        spec = a_job().with_budget(3, 100).spec
        assert [failures.exhausted(self.status(*range(n)), spec) for n in range(5)] == [False, False, False, True, True]

    def test_forgets_what_left_the_window(self) -> None:
        assert not failures.exhausted(self.status(0, 50, 120), a_job().with_budget(3, 100).spec)
        assert self.status(0, 50, 120).recovery.failures == 3

    def test_of_zero_ends_the_job_at_the_first_failure(self) -> None:
        assert failures.exhausted(self.status(0), a_job().with_budget(0).spec)
        assert not failures.exhausted(self.status(), a_job().with_budget(0).spec)

    def test_is_whole_again_when_the_newest_checkpoint_is_further_than_ever(self) -> None:
        status = self.status(0, 1).model_copy(update={"checkpoint": CheckpointStatus(step=10)})
        reset = failures.reset_by_checkpoint(status)
        assert (reset.recovery.recent_failures, reset.recovery.progress_mark) == ([], 10)
        again = failures.counted(reset, FAILED, a_job().spec, NOON)
        assert failures.reset_by_checkpoint(again) == again

    def test_waits_longer_each_time_up_to_half_a_minute(self) -> None:
        pauses = [failures.pause_seconds(self.status(*[0] * n), NOON) for n in range(8)]
        assert pauses == [0, 1, 2, 4, 8, 16, 30, 30]

    def test_does_not_wait_for_time_that_has_passed(self) -> None:
        assert failures.pause_seconds(self.status(0, 0, 0), NOON + timedelta(seconds=3)) == 1

    def test_does_not_wait_for_a_clock_that_was_set_back(self) -> None:
        assert failures.pause_seconds(self.status(0, 0, 0), NOON - timedelta(hours=1)) == 0


class TestLastWords:
    def test_name_the_first_failure_of_the_streak_and_the_next_step(self) -> None:
        spec = a_job().with_budget(2).spec
        status = failures.counted(failures.counted(PretrainJobStatus(), FAILED, spec, NOON), FAILED, spec, NOON)
        assert failures.last_words(status, spec, "pretrain logs gpt -n ml") == (
            "Failed in Train after 2 failures in 3600 s. First: worker gpt-w0 on node a17, rank 0, Runtime: exit 1\n"
            "RuntimeError: x\n"
            "`pretrain logs gpt -n ml --stage Train` shows more; once the cause is gone, run the job again: it goes on where it was."
        )

    def test_advise_on_numbers_that_are_not_finite(self) -> None:
        failed = failures.failure(an_ended_run(1, "failed", words={"kind": "NonFinite"}), NOON)
        spec = a_job().with_budget(1).spec
        assert "Lower the learning rate" in failures.last_words(
            failures.counted(PretrainJobStatus(), failed, spec, NOON), spec, "pretrain logs gpt"
        )
