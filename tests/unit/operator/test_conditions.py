"""Conditions keep the rules of Kubernetes, and the printed state is a word that people understand."""

from datetime import timedelta

import pytest
from support.stage_runs import NOON

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_operator.brain import conditions

LATER = NOON + timedelta(seconds=40)


class TestStated:
    def test_moves_the_transition_time_only_with_the_status(self) -> None:
        status = conditions.stated(PretrainJobStatus(), conditions.RUNNING, "True", "Collect", "x", NOON)
        status = conditions.stated(status, conditions.RUNNING, "True", "Prepare", "y", LATER)
        assert conditions.condition(status, conditions.RUNNING).last_transition_time == NOON
        status = conditions.stated(status, conditions.RUNNING, "False", "Waiting", "z", LATER)
        assert conditions.condition(status, conditions.RUNNING).last_transition_time == LATER
        assert len(status.conditions) == 1

    def test_says_since_when_a_program_is_asked_to_leave(self) -> None:
        status = conditions.stated(PretrainJobStatus(), conditions.RUNNING, "Unknown", conditions.STOPPING, "x", NOON)
        assert conditions.is_stopping(status)
        assert conditions.stopping_seconds(status, LATER) == 40


class TestPrinted:
    @pytest.mark.parametrize(
        ("stage", "has_stepped", "expected"),
        [(Stage.COLLECT, False, "Collecting"), (Stage.TRAIN, False, "Starting"), (Stage.TRAIN, True, "Training")],
    )
    def test_follows_the_stage(self, stage: Stage, has_stepped: bool, expected: str) -> None:
        assert conditions.printed(PretrainJobStatus(), stage, has_stepped, is_queued=False).state == expected

    def test_is_recovering_after_training_was_interrupted(self) -> None:
        status = conditions.stated(PretrainJobStatus(), conditions.RECOVERING, "True", "Restarting", "x", NOON)
        assert conditions.printed(status, Stage.TRAIN, has_stepped=False, is_queued=False).state == "Recovering"

    @pytest.mark.parametrize(
        ("stage", "has_stepped", "expected"),
        [(Stage.COLLECT, False, "Stalled"), (Stage.TRAIN, False, "Stalled"), (Stage.TRAIN, True, "Training")],
    )
    def test_is_stalled_while_it_waits_for_a_person(self, stage: Stage, has_stepped: bool, expected: str) -> None:
        status = conditions.stated(PretrainJobStatus(), conditions.STALLED, "True", "SecretMissing", "x", NOON)
        assert conditions.printed(status, stage, has_stepped, is_queued=False).state == expected
        assert conditions.printed(status, stage, has_stepped, is_queued=True).state == "Queued"

    def test_is_not_stalled_by_another_job_that_will_leave(self) -> None:
        status = conditions.stated(
            PretrainJobStatus(), conditions.STALLED, "True", conditions.STORAGE_IN_USE, "x", NOON
        )
        assert conditions.printed(status, Stage.TRAIN, has_stepped=False, is_queued=False).state == "Starting"

    def test_is_stalled_when_training_cannot_start_again(self) -> None:
        status = conditions.stated(PretrainJobStatus(), conditions.RECOVERING, "True", "Restarting", "x", NOON)
        status = conditions.stated(status, conditions.STALLED, "True", "Unschedulable", "x", NOON)
        assert conditions.printed(status, Stage.TRAIN, has_stepped=False, is_queued=False).state == "Stalled"
