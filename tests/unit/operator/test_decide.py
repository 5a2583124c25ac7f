"""The rules on the simulated body: single stories first, then every schedule of faults."""

import contextlib
import itertools
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.jobs import a_job
from support.stage_runs import NOON, an_ended_run

from pretrain_api.stages import UPSTREAM, Stage
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_operator.bodies.body import reconcile
from pretrain_operator.bodies.simulated.body import STAGE_SECONDS, Cluster, OperatorKilled, SimulatedBody, drive
from pretrain_operator.bodies.simulated.programs import Fate
from pretrain_operator.brain import conditions
from pretrain_operator.brain.decide import decide
from pretrain_operator.brain.observed import Finished, Observed
from pretrain_operator.brain.plan import Requeue, StartStage, StopStage

CRASH = Fate("crash", after_seconds=1)
ALL_FAULTS = ("crash", "kill", "terminate", "userError", "vanish")


def ran(spec: PretrainJobSpec, fates: dict[tuple[Stage, int], Fate] | None = None) -> Cluster:
    """The cluster after a job has ended."""
    cluster = Cluster()
    drive(SimulatedBody(cluster, spec, fates or {}), lambda now: spec)
    return cluster


def summary(status: PretrainJobStatus) -> tuple[str, str, str]:
    found = conditions.condition(status, conditions.SUCCEEDED)
    return status.state, found.reason, found.message


class TestHealthyJob:
    def test_runs_every_stage_once_in_order_and_succeeds(self) -> None:
        cluster = ran(a_job().spec)
        assert [p.stage for p in cluster.history] == list(Stage)
        assert cluster.status.state == "Succeeded"
        assert [s.state for s in cluster.status.stages] == ["Complete"] * len(Stage)
        assert conditions.condition(cluster.status, conditions.SUCCEEDED).status == "True"

    def test_gives_each_stage_the_identities_of_what_it_reads(self) -> None:
        cluster = ran(a_job().spec)
        made = {p.stage: p.fingerprint for p in cluster.history}
        for program in cluster.history:
            assert dict(program.upstream) == {u: made[u] for u in UPSTREAM[program.stage]}

    def test_shows_starting_then_training(self) -> None:
        cluster, spec = Cluster(), a_job().spec
        body, states = SimulatedBody(cluster, spec, {}), []
        for _ in range(1000):
            states.append(reconcile(body, spec).recorded.state)
            cluster.advance(0.5)
        shown = [state for state, _ in itertools.groupby(states)]
        assert shown == ["Collecting", "Preparing", "Tokenizing", "Encoding", "Starting", "Training", "Evaluating",
                         "Exporting", "Reporting", "Succeeded"]  # fmt: skip

    def test_of_shards_alone_starts_nothing_for_documents(self) -> None:
        sources = [{"name": "ours", "shards": "/run/manifest.json"}]
        cluster = ran(a_job().with_spec(data={"sources": sources}, tokenizer={"uri": "/run/tokenizer"}).spec)
        assert [program.stage for program in cluster.history] == list(Stage)[2:]
        assert [entry.name for entry in cluster.status.stages] == [stage.value for stage in Stage][2:]
        assert cluster.status.state == "Succeeded"

    def test_stays_succeeded(self) -> None:
        cluster = ran(a_job().spec)
        before = cluster.status
        decision = decide(a_job().suspended().spec, before, Observed(now=cluster.now + timedelta(days=1)))
        assert decision.recorded == before
        assert decision.plan == ()

    def test_does_not_start_a_stage_whose_record_lies_in_storage(self) -> None:
        cluster, spec = Cluster(), a_job().spec
        drive(SimulatedBody(cluster, spec, {}), lambda now: spec)
        finished = Finished("0123", cluster.now, cluster.now, "skipped (done before)")
        entries = [
            s.model_copy(update={"state": "Pending" if s.name == "Report" else s.state}) for s in cluster.status.stages
        ]
        recorded = cluster.status.model_copy(update={"state": "Reporting", "stages": entries})
        decision = decide(spec, recorded, Observed(now=cluster.now, finished={Stage.REPORT: finished}))
        assert decision.recorded.state == "Succeeded"
        assert decision.plan == ()

    def test_looks_for_the_record_of_the_next_stage_before_it_starts_it(self) -> None:
        spec, seen = a_job().spec, Observed(now=NOON)
        first = decide(spec, PretrainJobStatus(), seen)
        run = an_ended_run(0, "complete", Stage.COLLECT, words={"fingerprint": "c"})
        second = decide(spec, first.recorded, replace(seen, runs={Stage.COLLECT: run}))
        assert second.plan == (Requeue(0.0),)
        third = decide(spec, second.recorded, seen)
        assert third.plan == (StartStage(Stage.PREPARE, 1, {Stage.COLLECT: "c"}),)


class TestFailure:
    def test_is_tried_again_after_a_pause_that_grows(self) -> None:
        cluster = ran(a_job().spec, {(Stage.PREPARE, n): CRASH for n in (1, 2, 3)})
        starts = [p.started for p in cluster.history if p.stage is Stage.PREPARE]
        pauses = [(b - a).total_seconds() - CRASH.after_seconds for a, b in itertools.pairwise(starts)]
        assert pauses == pytest.approx([1, 2, 4], abs=0.1)
        assert cluster.status.state == "Succeeded"
        assert cluster.status.recovery.failures == 3

    def test_ends_the_job_when_the_window_holds_too_many(self) -> None:
        cluster = ran(a_job().with_budget(3).spec, {(Stage.TOKENIZER, n): CRASH for n in range(1, 9)})
        assert cluster.status.state == "Failed"
        assert len([p for p in cluster.history if p.stage is Stage.TOKENIZER]) == 3
        assert cluster.history[-1].stage is Stage.TOKENIZER

    def test_names_worker_node_rank_reason_lines_and_what_to_do(self) -> None:
        cluster = ran(a_job().with_budget(2).spec, {(Stage.TRAIN, n): Fate("crash", 1) for n in (1, 2)})
        state, reason, message = summary(cluster.status)
        assert (state, reason) == ("Failed", "TooManyFailures")
        for part in ("Train after 2 failures in 3600 s", "worker simulated-w0", "node simulated-node", "rank 0", "exit 1",
                     "RuntimeError: simulated", "`pretrain logs simulated --stage Train`"):  # fmt: skip
            assert part in message

    def test_by_sigkill_says_that_memory_may_have_run_out(self) -> None:
        cluster = ran(a_job().with_budget(1).spec, {(Stage.TRAIN, 1): Fate("kill", 1)})
        assert "exit -9 (SIGKILL)" in summary(cluster.status)[2]
        assert "spec.training.microBatchSize" in summary(cluster.status)[2]

    def test_is_forgotten_when_a_new_checkpoint_was_made(self) -> None:
        fates = {(Stage.TRAIN, n): Fate("crash", 11) for n in (1, 2, 3)}
        cluster = ran(a_job().with_budget(2).spec, fates)
        assert cluster.status.state == "Succeeded"
        assert cluster.status.recovery.failures == 1  # at 11 s a checkpoint was made; the second attempt is done before

    def test_is_forgotten_when_a_further_stage_completes(self) -> None:
        fates = {(stage, 1): CRASH for stage in Stage}
        assert ran(a_job().with_budget(2).spec, fates).status.state == "Succeeded"

    def test_older_than_the_window_is_not_counted(self) -> None:
        slow = {(Stage.PREPARE, n): Fate("crash", 15) for n in range(1, 6)}
        assert ran(a_job().with_budget(2, window_seconds=10).spec, slow).status.state == "Succeeded"

    def test_of_training_is_recovering_until_the_first_new_step(self) -> None:
        cluster, spec = Cluster(), a_job().spec
        body, states = SimulatedBody(cluster, spec, {(Stage.TRAIN, 1): Fate("crash", 5)}), []
        for _ in range(600):
            states.append(reconcile(body, spec).recorded.state)
            cluster.advance(0.5)
        shown = [state for state, _ in itertools.groupby(states)]
        assert shown[shown.index("Starting") :][:5] == ["Starting", "Training", "Recovering", "Training", "Evaluating"]


class TestUserError:
    def test_ends_the_job_at_once_with_the_program_s_message(self) -> None:
        cluster = ran(a_job().spec, {(Stage.COLLECT, 1): Fate("userError", 1)})
        assert summary(cluster.status)[:2] == ("Failed", "UserError")
        assert "Write it right. [simulated]" in summary(cluster.status)[2]
        assert len(cluster.history) == 1
        assert cluster.status.recovery.failures == 0


class TestDisruption:
    @pytest.mark.parametrize("kind", ["terminate", "vanish"])
    def test_is_counted_apart_and_never_ends_the_job(self, kind: str) -> None:
        fates = {(Stage.TRAIN, n): Fate(kind, 3) for n in range(1, 30)}  # type: ignore[arg-type]
        cluster = ran(a_job().with_budget(1).spec, fates)
        assert cluster.status.state == "Succeeded"
        assert cluster.status.recovery.failures == 0
        assert cluster.status.recovery.disruptions > 0


class TestSuspension:
    def test_stops_gracefully_keeps_a_checkpoint_and_goes_on_when_resumed(self) -> None:
        cluster, going, suspended = Cluster(), a_job().spec, a_job().suspended().spec
        body = SimulatedBody(cluster, going, {})
        begin, stop, resume = cluster.now, timedelta(seconds=90), timedelta(seconds=1000)
        drive(body, lambda now: suspended if stop <= now - begin < resume else going)
        assert cluster.status.state == "Succeeded"
        assert cluster.status.recovery == PretrainJobStatus().recovery.model_copy(update={"progress_mark": 10})
        first, second = (p for p in cluster.history if p.stage is Stage.TRAIN)
        assert (first.first_step, second.first_step) == (0, 6)  # a step every 2 s, asked after 9.x s, 3 s to save
        assert cluster.status.suspended_seconds == pytest.approx(1000 - 93, abs=10)

    def test_of_a_job_that_has_not_begun_starts_nothing(self) -> None:
        cluster, spec = Cluster(), a_job().suspended().spec
        decision = reconcile(SimulatedBody(cluster, spec, {}), spec)
        assert decision.recorded.state == "Suspended"
        assert cluster.history == []

    @pytest.mark.parametrize(
        ("is_unattended", "said"), [(True, "; set spec.suspend to false to go on."), (False, "; run the job again, ")]
    )
    def test_says_how_to_go_on_where_the_job_is(self, is_unattended: bool, said: str) -> None:
        seen = Observed(now=Cluster().now, is_unattended=is_unattended)
        recorded = decide(a_job().suspended().spec, PretrainJobStatus(), seen).recorded
        assert said in conditions.condition(recorded, conditions.SUSPENDED).message

    def test_kills_a_program_that_does_not_leave(self) -> None:
        cluster, going, suspended = Cluster(), a_job().spec, a_job().suspended().spec
        deaf = {(Stage.COLLECT, 1): Fate("complete", ignores_stop=True)}
        body = SimulatedBody(cluster, going, deaf)
        reconcile(body, going)
        program = cluster.programs[Stage.COLLECT]
        cluster.programs[Stage.COLLECT] = replace(program, work_seconds=1e6)
        for _ in range(400):
            reconcile(body, suspended)
            cluster.advance(1)
        assert cluster.programs[Stage.COLLECT].killed is not None
        assert cluster.status.state == "Suspended"
        assert cluster.status.recovery.failures == 0


class TestDeadline:
    def test_stops_gracefully_and_fails_with_what_to_do(self) -> None:
        cluster = ran(a_job().with_deadline(90).spec)
        assert summary(cluster.status)[:2] == ("Failed", "DeadlineExceeded")
        assert "spec.activeDeadlineSeconds (90)" in summary(cluster.status)[2]
        assert cluster.programs[Stage.TRAIN].asked == cluster.status.start_time + timedelta(seconds=90)  # type: ignore[operator]

    def test_does_not_count_suspended_time(self) -> None:
        cluster, spec = Cluster(), a_job().with_deadline(300).spec
        suspended = spec.model_copy(update={"suspend": True})
        begin = cluster.now
        span = (timedelta(seconds=30), timedelta(seconds=5000))
        drive(SimulatedBody(cluster, spec, {}), lambda now: suspended if span[0] <= now - begin < span[1] else spec)
        assert cluster.status.state == "Succeeded"

    def test_does_not_matter_once_everything_is_complete(self) -> None:
        assert ran(a_job().with_deadline(int(STAGE_SECONDS * len(Stage)) + 5).spec).status.state == "Succeeded"


faults = st.dictionaries(
    st.tuples(st.sampled_from(list(Stage)), st.integers(1, 5)),
    st.builds(Fate, st.sampled_from(["crash", "kill", "terminate", "vanish"]), st.floats(0.1, 30)),
    max_size=12,
)


class TestEverySchedule:
    @settings(max_examples=30, deadline=None)
    @given(faults)
    def test_below_the_budget_succeeds_with_every_stage_after_its_upstream(
        self, fates: dict[tuple[Stage, int], Fate]
    ) -> None:
        cluster = ran(a_job().with_budget(len(fates) + 1).spec, fates)
        assert cluster.status.state == "Succeeded"
        complete: dict[Stage, object] = {}
        for program in cluster.history:
            assert all(complete[u] <= program.started for u in UPSTREAM[program.stage])  # type: ignore[operator]
            if program.is_complete:
                complete[program.stage] = program.end
        assert len({(p.stage, p.attempt) for p in cluster.history}) == len(cluster.history)

    @settings(max_examples=25, deadline=None)
    @given(st.sampled_from(list(Stage)), st.integers(1, 4), st.sampled_from(["crash", "kill"]))
    def test_above_the_budget_fails_with_a_message(self, stage: Stage, budget: int, kind: str) -> None:
        fates = {(stage, n): Fate(kind, 0.5) for n in range(1, budget + 1)}  # type: ignore[arg-type]
        cluster = ran(a_job().with_budget(budget).spec, fates)
        assert summary(cluster.status)[:2] == ("Failed", "TooManyFailures")
        assert f"Failed in {stage} after {budget} failure" in summary(cluster.status)[2]

    @settings(max_examples=30, deadline=None)
    @given(faults, st.lists(st.integers(1, 40), max_size=12))
    def test_ends_the_same_when_the_operator_is_killed_between_any_two_calls(
        self, fates: dict[tuple[Stage, int], Fate], lives: list[int]
    ) -> None:
        spec = a_job().with_budget(len(fates) + 1).spec
        undisturbed, cluster = ran(spec, fates), Cluster()
        for calls in lives:
            try:
                drive(SimulatedBody(cluster, spec, fates, lives=calls), lambda now: spec)
            except OperatorKilled:
                cluster.advance(0.1)
        drive(SimulatedBody(cluster, spec, fates), lambda now: spec)
        assert summary(cluster.status) == summary(undisturbed.status)
        assert [s.fingerprint for s in cluster.status.stages] == [s.fingerprint for s in undisturbed.status.stages]

    @settings(max_examples=20, deadline=None)
    @given(faults, st.sets(st.integers(1, 200), max_size=60))
    def test_starts_nothing_twice_when_looks_are_lost(
        self, fates: dict[tuple[Stage, int], Fate], blind: set[int]
    ) -> None:
        spec, cluster = a_job().with_budget(len(fates) + 1).spec, Cluster()
        drive(SimulatedBody(cluster, spec, fates, blind=blind.__contains__), lambda now: spec)
        assert cluster.status.state == "Succeeded"
        assert len({(p.stage, p.attempt) for p in cluster.history}) == len(cluster.history)

    @settings(max_examples=30, deadline=None)
    @given(faults, st.integers(1, 400), st.booleans())
    def test_same_input_gives_the_same_plan_and_a_plan_carried_out_twice_changes_nothing(
        self, fates: dict[tuple[Stage, int], Fate], calls: int, suspend: bool
    ) -> None:
        spec, cluster = a_job().with_budget(len(fates) + 1).with_spec(suspend=suspend).spec, Cluster()
        going = spec.model_copy(update={"suspend": False})
        with contextlib.suppress(OperatorKilled):
            drive(SimulatedBody(cluster, going, fates, lives=calls), lambda now: going)
        body = SimulatedBody(cluster, spec, fates)
        seen, before = body.observe(cluster.status), cluster.status
        first, second = decide(spec, before, seen), decide(spec, before, seen)
        assert first == second
        for action in first.plan:
            body.carry_out(action)
        once = dict(cluster.programs)
        for action in first.plan:
            body.carry_out(action)
        assert cluster.programs == once
        again = decide(spec, first.recorded, body.observe(first.recorded))
        assert not [a for a in again.plan if isinstance(a, StartStage) and a in first.plan]
        assert len([a for a in again.plan if isinstance(a, StopStage)]) <= 1
