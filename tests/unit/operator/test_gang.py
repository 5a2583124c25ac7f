"""Many workers as one run: who ended it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.jobs import a_job
from support.stage_runs import NOON

from pretrain_api import goodput
from pretrain_api.events import Outcome
from pretrain_api.recoveries import Recovery
from pretrain_api.report import Report
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.world import Member, World
from pretrain_operator.brain import conditions, gang, stages
from pretrain_operator.brain.decide import decide
from pretrain_operator.brain.observed import Observed, StageRun, Worker

PLAIN = a_job().spec
GROUP = a_job().with_spec(scheduling={"gang": {"native": {}}}).spec
"""Of a job whose start ends with the first worker that is lost."""
BEGUN = stages.changed(
    stages.listed(PretrainJobStatus(), PLAIN), Stage.TRAIN, state="Running", attempts=1, phase="finish"
)


def worker(number: int, said: str = "", **changes: Any) -> Worker:
    plain = Worker(number, f"w{number}", f"uid-{number}", "Running", started=NOON, node=f"node-{number}")
    if said:
        outcome = Outcome(outcome=said, fingerprint="f" if said == "complete" else "", rank=number)  # type: ignore[arg-type]
        plain = replace(plain, state="Ended", is_alive=False, exit_code=0 if said == "complete" else 1, outcome=outcome)
    return replace(plain, **changes)


def lost(number: int, reason: str = "Evicted") -> Worker:
    return worker(number, state="Lost", is_alive=False, reason=reason)


def killed(number: int, seconds: float = 0) -> Worker:
    ended = NOON + timedelta(seconds=seconds)
    return worker(number, state="Ended", is_alive=False, exit_code=137, reason="OOMKilled", ended=ended)


def roster(*workers: Worker) -> World:
    members = tuple(Member(worker=w.worker, pod=w.pod, uid=w.uid, address="10.0.0.1") for w in workers)
    return World(generation=1, attempt=1, roster=members, leader="10.0.0.1")


def joined(
    *workers: Worker, world: World | None = None, recorded: PretrainJobStatus = BEGUN, spec: PretrainJobSpec = GROUP
) -> StageRun | None:
    """The workers as one run, by default those of the roster of a job that is placed as a group."""
    seen = Observed(NOON, workers=workers, world=world or roster(*workers))
    return gang.joined(recorded, spec, seen).runs.get(Stage.TRAIN)


class TestRunning:
    def test_while_all_go_on(self) -> None:
        assert joined(worker(0), worker(1)).state == "Running"  # type: ignore[union-attr]

    def test_while_some_have_done_their_part(self) -> None:
        done = replace(worker(1, "complete"), outcome=Outcome(outcome="complete"))
        assert joined(worker(0), done).state == "Running"  # type: ignore[union-attr]

    def test_while_the_others_still_save(self) -> None:
        stopping = conditions.stated(BEGUN, conditions.RUNNING, "Unknown", conditions.STOPPING, "", NOON)
        run = joined(worker(0), worker(1, "stopped"), recorded=stopping)
        assert run is not None
        assert run.state == "Running"

    def test_not_before_it_is_recorded(self) -> None:
        assert joined(worker(0), recorded=stages.listed(PretrainJobStatus(), PLAIN)) is None


class TestComplete:
    def test_once_one_has_written_the_record(self) -> None:
        run = joined(worker(0, "complete"), worker(1))
        assert run is not None
        assert (run.state, run.outcome.fingerprint) == ("Ended", "f")  # type: ignore[union-attr]

    def test_with_the_record_whatever_happened_to_another(self) -> None:
        run = joined(worker(0, "complete"), lost(1))
        assert run is not None
        assert run.outcome is not None
        assert run.outcome.outcome == "complete"


class TestCause:
    @pytest.mark.parametrize(
        ("workers", "cause"),
        [
            ((worker(0, "failed"), lost(1)), "w1"),
            ((worker(0, "failed"), killed(1)), "w1"),
            ((killed(0, 5), killed(1, 3)), "w1"),
            ((worker(0, "stopped"), worker(1, "failed")), "w1"),
            ((lost(0), worker(1, "userError")), "w1"),
            ((worker(0), worker(1, "failed")), "w1"),
        ],
    )
    def test_is_named(self, workers: tuple[Worker, ...], cause: str) -> None:
        run = joined(*workers)
        assert run is not None
        assert run.worker == cause

    def test_is_lost_when_a_member_of_the_roster_is_gone(self) -> None:
        run = joined(worker(0), world=roster(worker(0), worker(1)))
        assert run is not None
        assert (run.state, run.worker, run.reason) == ("Lost", "w1", "Deleted")

    def test_is_lost_when_another_pod_has_the_name(self) -> None:
        run = joined(replace(worker(0), uid="another"), world=roster(worker(0)))
        assert run is not None
        assert run.state == "Lost"


def counted(*uids: str) -> PretrainJobStatus:
    return BEGUN.model_copy(update={"world": BEGUN.world.model_copy(update={"lost": list(uids)})})


class TestElastic:
    """An attempt goes on while one member is there and none has ended by its own word."""

    @pytest.mark.parametrize("gone", [lost(1), killed(1)], ids=["lost", "killed"])
    def test_goes_on_without_a_member(self, gone: Worker) -> None:
        run = joined(worker(0), gone, spec=PLAIN)
        assert run is not None
        assert run.state == "Running"

    @pytest.mark.parametrize("scheduling", [{"queueName": "research"}, {"gang": {"volcano": {}}}])
    def test_does_not_go_on_where_its_group_was_counted(self, scheduling: dict[str, Any]) -> None:
        run = joined(worker(0), lost(1), spec=a_job().with_spec(scheduling=scheduling).spec)
        assert run is not None
        assert run.state == "Lost"

    @pytest.mark.parametrize("said", ["failed", "userError", "stopped", "complete"])
    def test_ends_with_what_a_member_says(self, said: str) -> None:
        run = joined(worker(0), worker(1, said), worker(2), spec=PLAIN)
        assert run is not None
        assert run.state == "Ended"

    def test_ends_when_nobody_is_left(self) -> None:
        run = joined(lost(0), killed(1), world=roster(worker(0), worker(1)), spec=PLAIN)
        assert run is not None
        assert (run.state, run.worker) == ("Lost", "w0")

    def test_ends_though_others_wait_to_join(self) -> None:
        run = joined(lost(0), worker(1), world=roster(worker(0)), spec=PLAIN)
        assert run is not None
        assert run.state == "Lost"

    def test_ends_with_a_worker_that_is_lost_before_the_first_roster(self) -> None:
        seen = Observed(NOON, workers=(worker(0), lost(1)))
        assert gang.joined(BEGUN, PLAIN, seen).runs[Stage.TRAIN].state == "Lost"

    def test_names_the_member_whose_loss_was_not_counted_yet(self) -> None:
        run = joined(lost(0), killed(1), recorded=counted("uid-0"), spec=PLAIN)
        assert run is not None
        assert (run.worker, run.is_counted) == ("w1", False)

    def test_tells_what_was_counted_when_a_neighbour_fails_of_it(self) -> None:
        run = joined(killed(0), worker(1, "failed"), recorded=counted("uid-0"), spec=PLAIN)
        assert run is not None
        assert (run.worker, run.is_counted) == ("w0", True)

    def test_names_a_recovered_worker_by_its_place_in_the_roster(self) -> None:
        recovery = Recovery(
            number=1, kind="Restart", rank=1, node=1, cause="exit -9", time=NOON, seconds=1, lost_steps=0, phases={}
        )
        report = Report(stage=Stage.TRAIN, attempt=1, time=NOON, recovery=recovery)
        seen = Observed(NOON, workers=(worker(0), worker(3)), world=roster(worker(3), worker(0)), report=report)
        assert gang.joined(BEGUN, PLAIN, seen).runs[Stage.TRAIN].recovered == "w0"


def test_what_the_time_went_into_is_what_the_leader_tells() -> None:
    totals = {**dict.fromkeys(goodput.FIGURES, 0.0), "productiveSeconds": 8.0}
    figures = {"step": 7.0, goodput.SINCE: (NOON + timedelta(seconds=2)).timestamp(), **totals}
    report = Report(stage=Stage.TRAIN, attempt=1, pod="w0", time=NOON + timedelta(seconds=10), figures=figures)
    now = NOON + timedelta(seconds=11)
    seen = Observed(now, workers=(worker(0), worker(1)), world=roster(worker(0), worker(1)), report=report)
    begun = BEGUN.model_copy(update={"state": "Training", "start_time": NOON})
    assert goodput.seconds(decide(PLAIN, begun, seen).recorded.goodput.spent)["Productive"] == 8


class TestReport:
    @staticmethod
    def figures(pod: str) -> dict[str, float]:
        report = Report(stage=Stage.TRAIN, attempt=1, pod=pod, time=NOON, figures={"step": 7.0})
        seen = Observed(NOON, workers=(worker(0), worker(1)), world=roster(worker(1)), report=report)
        run = gang.joined(BEGUN, PLAIN, seen).runs[Stage.TRAIN]
        return dict(run.figures)

    def test_of_a_member_counts(self) -> None:
        assert self.figures("w1") == {"step": 7.0}

    def test_of_one_that_was_left_out_comes_too_late(self) -> None:
        assert self.figures("w0") == {}
