"""Each end of a program is taken in once."""

from support.jobs import a_job
from support.stage_runs import NOON, a_run, an_ended_run

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_operator.brain import conditions, endings, stages
from pretrain_operator.brain.observed import Observed

RUNNING = stages.changed(stages.listed(PretrainJobStatus(), a_job().spec), Stage.TRAIN, state="Running", attempts=1)


class TestCurrent:
    def test_is_the_recorded_attempt_of_a_running_stage(self) -> None:
        run = a_run()
        assert endings.current(RUNNING, Observed(NOON, runs={Stage.TRAIN: run}), Stage.TRAIN) is run

    def test_is_not_an_older_attempt_nor_one_of_a_stage_that_does_not_run(self) -> None:
        retried = stages.changed(RUNNING, Stage.TRAIN, attempts=2)
        seen = Observed(NOON, runs={Stage.TRAIN: a_run()})
        assert endings.current(retried, seen, Stage.TRAIN) is None
        assert endings.current(stages.changed(RUNNING, Stage.TRAIN, state="Failed"), seen, Stage.TRAIN) is None


class TestTakenIn:
    def test_says_that_a_stage_was_skipped(self) -> None:
        run = an_ended_run(0, "complete", words={"fingerprint": "t", "skipped": True})
        entry = stages.entry(endings.taken_in(RUNNING, run, False, a_job().spec, Observed(NOON)), Stage.TRAIN)
        assert (entry.state, entry.fingerprint, entry.message) == ("Complete", "t", "skipped (done before)")

    def test_puts_a_stopped_stage_back(self) -> None:
        status = endings.taken_in(RUNNING, an_ended_run(75, "stopped"), True, a_job().spec, Observed(NOON))
        assert stages.entry(status, Stage.TRAIN).state == "Pending"
        assert status.recovery == RUNNING.recovery

    def test_recovers_by_a_new_start_where_something_was_missing_while_fewer_were_about_to_go_on(self) -> None:
        shrinking = conditions.stated(RUNNING, conditions.RECOVERING, "True", conditions.SHRINKING, "w1 is lost", NOON)
        run, seen = an_ended_run(2, "userError", words={"code": "disk-full"}), Observed(NOON, is_unattended=True)
        found = conditions.condition(endings.taken_in(shrinking, run, False, a_job().spec, seen), conditions.RECOVERING)
        assert (found.status, found.reason) == ("True", conditions.RESTARTING)
        found = conditions.condition(endings.taken_in(RUNNING, run, False, a_job().spec, seen), conditions.RECOVERING)
        assert found.status != "True"

    def test_recovers_from_a_failure_until_the_next_step(self) -> None:
        status = endings.taken_in(RUNNING, an_ended_run(1, "failed"), False, a_job().spec, Observed(NOON))
        assert conditions.condition(status, conditions.RECOVERING).status == "True"
        stepping = endings.stepping(status, a_run(figures={"step": 3.0}), Observed(NOON))
        assert conditions.condition(stepping, conditions.RECOVERING).status == "False"
