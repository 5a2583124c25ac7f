"""When the account of a job's time is brought forward."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from support.jobs import a_job
from support.stage_runs import NOON, a_run

from pretrain_api import goodput as accounts
from pretrain_api.recoveries import Recovery
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_api.types.status import StageStatus, State
from pretrain_operator.bodies.simulated.body import Cluster, SimulatedBody, drive
from pretrain_operator.bodies.simulated.programs import Fate
from pretrain_operator.brain import conditions, goodput, lifecycle, progress, recoveries
from pretrain_operator.brain.observed import StageRun


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def a_status(state: State) -> PretrainJobStatus:
    return PretrainJobStatus(state=state, start_time=NOON)


def telling(seconds: float, since: float, productive: float) -> StageRun:
    """A training that tells of itself so many seconds after the start of the job."""
    totals = {**dict.fromkeys(accounts.FIGURES, 0.0), "productiveSeconds": productive}
    figures = {"step": productive, accounts.SINCE: at(since).timestamp(), **totals}
    return replace(a_run(), figures=figures, figures_time=at(seconds))


def turned(status: PretrainJobStatus, state: State, seconds: float) -> PretrainJobStatus:
    return goodput.accounted(status, status.model_copy(update={"state": state}), None, at(seconds))


def told(status: PretrainJobStatus, run: StageRun, seconds: float, state: State = "Training") -> PretrainJobStatus:
    following = recoveries.taken_in(progress.taken_in(status, run, None), run)
    return goodput.accounted(status, following.model_copy(update={"state": state}), run, at(seconds))


def seconds(status: PretrainJobStatus) -> dict[str, float]:
    return {name: amount for name, amount in accounts.seconds(status.goodput.spent).items() if amount}


class TestClosing:
    def test_a_state_gets_its_time_when_it_ends(self) -> None:
        status = turned(turned(a_status("Queued"), "Starting", 40), "Suspended", 45)
        assert seconds(status) == {"Queued": 40, "Starting": 5}

    def test_nothing_is_written_while_nothing_changes(self) -> None:
        status = a_status("Suspended")
        assert goodput.accounted(status, status, None, at(500)) is status

    def test_a_job_that_has_ended_has_no_more_time(self) -> None:
        ended = a_status("Failed").model_copy(update={"completion_time": at(9)})
        assert (
            goodput.accounted(ended, ended.model_copy(update={"state": "Succeeded"}), None, at(99)).goodput.spent == []
        )


class TestTraining:
    def test_the_ratio_is_shown_once_training_tells_of_itself(self) -> None:
        starting = turned(a_status("Preparing"), "Starting", 100)
        assert starting.goodput_ratio == ""
        assert told(starting, telling(110, since=102, productive=8), 111).goodput_ratio == "0.8000"

    def test_its_end_is_no_loss(self) -> None:
        status = told(a_status("Training"), telling(10, since=0, productive=10), 10)
        assert seconds(turned(status, "Evaluating", 14)) == {"Productive": 10, "Starting": 4}

    def test_what_it_did_before_a_failure_and_never_told_is_lost_until_it_tells(self) -> None:
        status = turned(told(a_status("Training"), telling(10, since=0, productive=10), 10), "Recovering", 16)
        assert seconds(status) == {"Productive": 10, "Lost": 6}
        again = replace(telling(30, since=26, productive=19), attempt=2)
        assert seconds(told(status, again, 30)) == {"Productive": 19, "Lost": 1, "Recovery": 10}

    def test_a_recovery_in_place_is_told_by_rung_and_phase(self) -> None:
        status = told(a_status("Training"), telling(10, since=0, productive=10), 10)
        recovery = Recovery(
            number=1, kind="Restart", rank=0, cause="exit -9", time=at(11), seconds=4, lost_steps=0,
            phases={"stop": 1.0, "load": 2.0, "step": 1.0},
        )  # fmt: skip
        status = told(status, replace(telling(15, since=14, productive=12), recovery=recovery), 15)
        assert seconds(status) == {"Productive": 12, "Recovery": 3}
        spent = {(each.rung, each.phase): each.seconds for each in status.goodput.spent if each.rung}
        assert spent == {("Restart", "load"): "2.000", ("Restart", "stop"): "1.000"}

    def test_waiting_for_fewer_workers_to_go_on_is_of_that_rung(self) -> None:
        status = told(a_status("Training"), telling(10, since=0, productive=10), 10)
        status = conditions.stated(status, conditions.RECOVERING, "True", conditions.SHRINKING, "w1", at(10))
        status = turned(turned(status, "Recovering", 10), "Training", 13)
        (waited,) = [each for each in status.goodput.spent if each.activity == "Recovery"]
        assert (waited.rung, waited.phase, waited.seconds) == ("Shrink", "wait", "3.000")


class TestRunAgain:
    def test_nobody_asked_it_to_run_while_its_machine_was_off(self) -> None:
        status = told(a_status("Training"), telling(10, since=0, productive=10), 10)
        stages = [StageStatus(name=stage.value, state="Running") for stage in Stage]
        again = lifecycle.run_again(status.model_copy(update={"stages": stages}), at(5000))
        assert seconds(again) == {"Productive": 10, "Suspended": 4990}

    def test_a_job_that_had_ended_begins_a_new_account(self) -> None:
        ended = turned(a_status("Queued"), "Failed", 40)
        assert lifecycle.run_again(ended, at(50)).goodput.spent == []


def test_the_open_stretch_counts_where_somebody_looks() -> None:
    account = goodput.account_at(turned(a_status("Queued"), "Suspended", 40), at(100))
    assert account is not None
    spent = {item: amount for item, amount in account.spent.items() if amount}
    assert spent == {accounts.QUEUED: 40_000, accounts.SUSPENDED: 60_000}


FATES = st.dictionaries(
    st.tuples(st.sampled_from(list(Stage)), st.integers(1, 2)),
    st.builds(Fate, st.sampled_from(["crash", "kill", "terminate", "vanish"]), after_seconds=st.floats(0.5, 9)),
    max_size=4,
)


@settings(max_examples=60)
@given(FATES)
def test_whatever_happens_to_a_job_its_time_is_accounted_for_to_the_millisecond(
    fates: dict[tuple[Stage, int], Fate],
) -> None:
    spec = a_job().spec
    cluster = Cluster()
    drive(SimulatedBody(cluster, spec, fates), lambda now: spec)
    status = cluster.status
    assert status.start_time is not None
    assert status.completion_time is not None
    wall = (status.completion_time - status.start_time).total_seconds()
    assert abs(sum(float(each.seconds) for each in status.goodput.spent) - wall) < 0.0011
