"""Members that are lost while the others go on: counted once each, and said."""

from dataclasses import replace

import pytest
from support.jobs import a_job
from support.stage_runs import NOON, a_run
from support.worlds import a_worker, a_world, after, evicted, killed, waiting

from pretrain_api.events import Outcome
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.types.status import World as Summary
from pretrain_api.world import World
from pretrain_operator.brain import conditions, endings, losses, roster, transitions, world
from pretrain_operator.brain.observed import Observed, Worker

SPEC = a_job().with_spec(workers={"min": 1, "max": 3}).spec
TWO_AT_LEAST = a_job().with_spec(workers={"min": 2, "max": 3}).spec
BEGUN = PretrainJobStatus(world=Summary(generation=1, workers=3))
THREE = a_world(0, 1, 2)


def taken_in(
    *workers: Worker, recorded: PretrainJobStatus = BEGUN, before: World | None = THREE, spec: PretrainJobSpec = SPEC
) -> PretrainJobStatus:
    seen = Observed(NOON, workers=workers, world=before)
    return losses.taken_in(recorded, spec, a_run(), seen)


def gone(number: int) -> Worker:
    """One whose neighbours say so."""
    return a_worker(number, state="Lost", is_alive=False, reason=roster.GONE)


def counts(status: PretrainJobStatus) -> tuple[int, int]:
    return status.recovery.failures, status.recovery.disruptions


class TestCount:
    def test_is_a_disruption_when_it_was_taken_away(self) -> None:
        assert counts(taken_in(a_worker(0), evicted(1), a_worker(2))) == (0, 1)

    def test_is_a_disruption_when_it_is_gone(self) -> None:
        assert counts(taken_in(a_worker(0), a_worker(2))) == (0, 1)

    def test_is_a_failure_when_the_machine_killed_it(self) -> None:
        status = taken_in(a_worker(0), killed(1), a_worker(2))
        assert counts(status) == (1, 0)
        failed = status.recovery.last_failure
        assert failed is not None
        assert (failed.worker, failed.node, failed.kind) == ("w1", "node-1", "OutOfMemory")
        assert status.recovery.recent_failures == [NOON]

    def test_is_a_failure_when_its_agent_was_killed(self) -> None:
        said = Outcome(outcome="failed", kind="Signal", rank=-1, message="exit -9 (SIGKILL)")
        agent = a_worker(1, state="Ended", is_alive=False, exit_code=137, outcome=said)
        assert counts(taken_in(a_worker(0), agent, a_worker(2))) == (1, 0)

    def test_is_not_made_where_an_agent_gave_up(self) -> None:
        """Its ranks were killed again and again: another worker would not help."""
        said = Outcome(outcome="failed", kind="Signal", rank=1, message="exit -9 (SIGKILL)")
        agent = a_worker(1, state="Ended", is_alive=False, exit_code=137, outcome=said)
        assert counts(taken_in(a_worker(0), agent, a_worker(2))) == (0, 0)

    def test_is_a_disruption_when_it_was_asked_to_leave(self) -> None:
        asked = a_worker(1, state="Ended", is_alive=False, exit_code=143)
        assert counts(taken_in(a_worker(0), asked, a_worker(2))) == (0, 1)

    def test_is_made_once_however_often_it_is_seen(self) -> None:
        once = taken_in(a_worker(0), killed(1), evicted(2))
        assert counts(once) == (1, 1)
        assert taken_in(a_worker(0), killed(1), evicted(2), recorded=once) == once
        assert taken_in(a_worker(0), recorded=once) == once

    def test_is_made_for_each_one(self) -> None:
        once = taken_in(a_worker(0), evicted(1), a_worker(2))
        assert counts(taken_in(a_worker(0), evicted(1), evicted(2), recorded=once)) == (0, 2)

    def test_is_none_for_those_outside_of_the_roster(self) -> None:
        assert taken_in(a_worker(0), evicted(1), killed(2), before=a_world(0)) == BEGUN

    def test_is_made_of_one_that_is_gone_once_its_end_is_seen(self) -> None:
        there, next_roster = (a_worker(0), a_worker(2)), a_world(0, 2, generation=2)
        left_out = taken_in(a_worker(0), gone(1), a_worker(2))
        assert counts(left_out) == (0, 0)
        assert [each.uid for each in left_out.world.left_out] == ["uid-1"]
        assert taken_in(a_worker(0), gone(1), a_worker(2), recorded=left_out) == left_out
        assert taken_in(*there, a_worker(1), recorded=left_out, before=next_roster) == left_out
        seen = taken_in(*there, killed(1), recorded=left_out, before=next_roster)
        assert (counts(seen), seen.world.left_out, seen.world.lost) == ((1, 0), [], ["uid-1"])
        assert counts(taken_in(*there, evicted(1), recorded=left_out, before=next_roster)) == (0, 1)
        assert counts(taken_in(*there, recorded=left_out, before=next_roster)) == (0, 1)
        done = a_worker(1, state="Ended", is_alive=False, exit_code=0, outcome=Outcome(outcome="complete"))
        assert counts(taken_in(*there, done, recorded=left_out, before=next_roster)) == (0, 0)
        assert taken_in(*there, killed(1), recorded=seen, before=next_roster) == seen

    def test_is_a_disruption_when_one_that_is_said_to_be_gone_runs_on(self) -> None:
        left_out, now = taken_in(a_worker(0), gone(1), a_worker(2)), after(16)
        for one in (a_worker(1), gone(1)):  # in a later roster, and in the same one as it could not be left out
            observed = Observed(now, workers=(a_worker(0), one, a_worker(2)), world=THREE)
            seen = losses.taken_in(left_out, SPEC, a_run(), observed)
            assert (counts(seen), seen.world.left_out, seen.world.lost) == ((0, 1), [], ["uid-1"])
        assert losses.seconds_of_doubt(left_out, after(5)) == 10
        assert losses.seconds_of_doubt(BEGUN, now) is None

    def test_is_made_at_once_when_a_clock_was_set_back(self) -> None:
        left_out = taken_in(a_worker(0), gone(1), a_worker(2))
        observed = Observed(after(-900), workers=(a_worker(0), a_worker(1), a_worker(2)), world=a_world(0, 2))
        assert counts(losses.taken_in(left_out, SPEC, a_run(), observed)) == (0, 1)

    def test_is_none_for_an_older_roster(self) -> None:
        newer = BEGUN.model_copy(update={"world": BEGUN.world.model_copy(update={"generation": 2})})
        assert taken_in(a_worker(0), evicted(1), a_worker(2), recorded=newer) == newer

    def test_is_none_for_the_roster_of_another_attempt(self) -> None:
        assert taken_in(a_worker(0), evicted(1), before=a_world(0, 1, attempt=2)) == BEGUN

    def test_is_left_to_the_end_of_the_attempt_where_there_is_one(self) -> None:
        seen = Observed(NOON, workers=(evicted(0),), world=a_world(0))
        assert losses.taken_in(BEGUN, SPEC, a_run(state="Lost"), seen) == BEGUN

    def test_is_remembered_until_the_worker_is_long_gone(self) -> None:
        status = taken_in(a_worker(0), killed(1), a_worker(2))
        left = Observed(NOON, workers=(a_worker(0), killed(1), a_worker(2)), world=a_world(0, 2, generation=2))
        assert world.gang(status, left, a_run()).world.lost == ["uid-1"]
        gone = Observed(NOON, workers=(a_worker(0), a_worker(2)), world=a_world(0, 2, generation=2))
        assert world.gang(status, gone, a_run()).world.lost == []
        older = Observed(NOON, workers=(a_worker(0), a_worker(2)), world=THREE)
        assert world.gang(status, older, a_run()).world.lost == ["uid-1"]


class TestRecovering:
    @pytest.mark.parametrize(
        ("workers", "spec", "reason", "words"),
        [
            ((a_worker(0), evicted(1), a_worker(2)), SPEC, "Shrinking", "goes on with 2 workers"),
            ((a_worker(0), evicted(1), a_worker(2), a_worker(3)), SPEC, "Replacing", "Another worker takes its place"),
            ((a_worker(0), evicted(1), evicted(2)), TWO_AT_LEAST, "Replacing", "The others wait"),
        ],
    )
    def test_says_who_was_lost_and_what_comes_next(
        self, workers: tuple[Worker, ...], spec: PretrainJobSpec, reason: str, words: str
    ) -> None:
        found = conditions.condition(taken_in(*workers, spec=spec), conditions.RECOVERING)
        assert (found.status, found.reason) == ("True", reason)
        for part in ("Worker w1", "on node node-1", "EvictionByEvictionAPI", words, "Nothing needs to be done."):
            assert part in found.message

    def test_is_an_event(self) -> None:
        disrupted = taken_in(a_worker(0), evicted(1), a_worker(2))
        [told] = transitions.between(BEGUN, disrupted)
        assert (told.kind, told.reason) == ("Normal", "Disrupted")
        assert "w1" in told.message
        [told] = transitions.between(BEGUN, taken_in(a_worker(0), killed(1), a_worker(2)))
        assert (told.kind, told.reason) == ("Warning", "Shrinking")

    def test_is_over_with_a_step_after_the_loss(self) -> None:
        status = taken_in(a_worker(0), evicted(1), a_worker(2))
        shrunk = Observed(after(9), workers=(a_worker(0), a_worker(2)), world=a_world(0, 2, generation=2))
        run = a_run(figures={"step": 3.0}, figures_time=after(-1))
        assert endings.stepping(status, run, shrunk) == status
        status = endings.stepping(status, replace(run, figures_time=after(5)), shrunk)
        assert conditions.condition(status, conditions.RECOVERING).status == "False"

    def test_is_not_over_while_nobody_has_the_place(self) -> None:
        status = taken_in(a_worker(0), evicted(1), a_worker(2))
        run = a_run(figures={"step": 3.0}, figures_time=after(5))
        assert endings.stepping(status, run, Observed(after(9), workers=(a_worker(0),), world=THREE)) == status


class TestWaiting:
    def waits(self, *workers: Worker) -> str:
        return losses.waiting(BEGUN, TWO_AT_LEAST, Observed(NOON, workers=workers, world=THREE), 1)

    def test_below_the_fewest_is_said(self) -> None:
        said = self.waits(a_worker(0), evicted(1), evicted(2), waiting(3))
        assert said.startswith("1 worker of the last roster")
        assert "at least 2" in said

    def test_is_not_said_while_enough_are_there(self) -> None:
        assert self.waits(a_worker(0), a_worker(1), a_worker(2)) == ""
        assert self.waits(a_worker(0), a_worker(1), evicted(2)) == ""
