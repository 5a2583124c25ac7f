"""Starting, running again, suspension and the deadline of a job as a whole."""

from datetime import timedelta

import pytest
from support.jobs import a_job
from support.stage_runs import NOON

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import CheckpointStatus, Progress, RecoveryRecord, RecoveryStatus
from pretrain_operator.brain import lifecycle, stages

OPENED = stages.listed(lifecycle.opened(PretrainJobStatus(), NOON, generation=3), a_job().spec)
LATER = NOON + timedelta(hours=1)


class TestOpened:
    def test_starts_the_clock_once(self) -> None:
        assert (OPENED.start_time, OPENED.observed_generation) == (NOON, 3)
        assert lifecycle.opened(OPENED, LATER, 3) == OPENED


class TestRunAgain:
    def test_asks_every_stage_anew_and_keeps_what_is_known_of_it(self) -> None:
        done = stages.completed(OPENED, Stage.COLLECT, "0123", NOON, NOON, "5 documents")
        again = stages.entry(lifecycle.run_again(done, LATER), Stage.COLLECT)
        assert (again.state, again.fingerprint, again.completion_time) == ("Pending", "0123", NOON)

    def test_counts_a_stage_that_went_down_with_its_body_as_a_disruption(self) -> None:
        running = stages.changed(OPENED, Stage.TRAIN, state="Running", attempts=2)
        again = lifecycle.run_again(running, LATER)
        assert (again.recovery.disruptions, again.recovery.failures) == (1, 0)
        assert stages.entry(again, Stage.TRAIN).attempts == 2

    def test_keeps_what_is_told_since_the_job_began_and_begins_the_budget_anew(self) -> None:
        told = RecoveryStatus(
            failures=2, restarts=3, last_recovery=RecoveryRecord(kind="Restart"), recent_failures=[NOON]
        )
        again = lifecycle.run_again(OPENED.model_copy(update={"recovery": told}), LATER).recovery
        assert again == told.model_copy(update={"recent_failures": []})

    @pytest.mark.parametrize("state", ["Failed", "Succeeded"])
    def test_after_the_end_starts_clock_and_conditions_anew(self, state: str) -> None:
        ended = lifecycle.ended(OPENED, state, NOON)
        again = lifecycle.run_again(ended, LATER)
        assert (again.state, again.start_time, again.completion_time, again.conditions) == ("Pending", LATER, None, [])

    def test_after_an_interruption_goes_on_with_the_clock(self) -> None:
        assert lifecycle.run_again(OPENED, LATER).start_time == NOON


class TestRedefined:
    def test_forgets_how_far_another_training_was(self) -> None:
        trained = OPENED.model_copy(update={"checkpoint": CheckpointStatus(step=5), "progress": Progress(step=7)})
        assert lifecycle.run_again(trained, LATER).checkpoint == CheckpointStatus(step=5)
        assert lifecycle.redefined(trained) == OPENED


class TestDeadline:
    def test_is_none_without_a_setting_or_while_suspended(self) -> None:
        assert lifecycle.seconds_to_deadline(a_job().spec, OPENED, LATER) is None
        suspended = lifecycle.suspended_since(OPENED, NOON)
        assert lifecycle.seconds_to_deadline(a_job().with_deadline(60).spec, suspended, LATER) is None

    def test_moves_by_the_time_spent_suspended(self) -> None:
        resumed = lifecycle.resumed(lifecycle.suspended_since(OPENED, NOON), LATER)
        assert resumed.suspended_seconds == 3600
        assert lifecycle.seconds_to_deadline(a_job().with_deadline(60).spec, resumed, LATER) == 60

    def test_counts_no_suspension_when_the_clock_was_set_back_meanwhile(self) -> None:
        suspended = lifecycle.suspended_since(OPENED, LATER)
        assert lifecycle.resumed(suspended, NOON).suspended_seconds == 0
