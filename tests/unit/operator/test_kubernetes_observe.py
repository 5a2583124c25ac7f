"""From objects of an API server to what the brain observes."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.jobs import a_job as a_pretrain_job
from support.stage_runs import NOON

from pretrain_api import goodput
from pretrain_api.cluster import phase_name
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_api.world import Member, World
from pretrain_operator.bodies.kubernetes import observe, seen
from pretrain_operator.bodies.kubernetes.observe import Children
from pretrain_operator.bodies.kubernetes.seen import BatchJob, Config, Pod
from pretrain_operator.brain import stages
from pretrain_operator.brain.observed import StageRun, Start, Worker

AT = "2026-01-01T12:00:00Z"
OWN = "job-uid"


def a_pod(name: str = "p", stage: str = "train", **parts: Any) -> dict[str, Any]:
    labels = {"pretrain.dev/job": "gpt", "pretrain.dev/stage": stage, "pretrain.dev/attempt": "1"}
    labels |= {"pretrain.dev/worker": "0"} if stage == "train" else {"pretrain.dev/phase": parts.pop("part", "finish")}
    metadata = {
        "name": name,
        "namespace": "n",
        "uid": f"uid-{name}",
        "creationTimestamp": AT,
        "labels": labels,
        "ownerReferences": [{"uid": parts.pop("owner", OWN), "controller": True}],
        **parts.pop("metadata", {}),
    }
    return {"metadata": metadata, "spec": {"nodeName": "a17", "containers": [{"image": "i"}]}, "status": parts}


def ended(code: int, message: str = "", reason: str = "Error", phase: str = "Failed") -> dict[str, Any]:
    terminated = {"exitCode": code, "reason": reason, "message": message, "finishedAt": AT, "startedAt": AT}
    return {"phase": phase, "containerStatuses": [{"state": {"terminated": terminated}}]}


RUNNING = {"phase": "Running", "podIP": "10.0.0.9", "containerStatuses": [{"state": {"running": {"startedAt": AT}}}]}
DISRUPTED = {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]}
COMPLETE = '{"outcome": "complete", "fingerprint": "f"}'


def worker(leaving: dict[str, str] | None = None, now: datetime = NOON, **status: Any) -> Worker:
    recorded = stages.changed(
        stages.listed(PretrainJobStatus(), a_pretrain_job().spec), Stage.TRAIN, state="Running", attempts=1
    )
    children = Children([seen.POD.of(a_pod(**status))], {}, {})
    [found] = observe.workers(children, recorded, OWN, "", now, leaving or {})
    return found


class TestWorker:
    def test_that_runs_has_an_address_and_a_node(self) -> None:
        found = worker(**RUNNING)
        assert (found.state, found.address, found.node, found.is_alive) == ("Running", "10.0.0.9", "a17", True)

    @pytest.mark.parametrize(
        ("told", "believed"), [("11:45:00", NOON), ("12:00:07", NOON + timedelta(seconds=7)), ("12:15:00", NOON)]
    )
    def test_began_when_its_kubelet_says_unless_that_cannot_be(self, told: str, believed: datetime) -> None:
        """A machine's clock may be wrong; waiting for what lies in the future, nobody would take this worker in."""
        state = {"running": {"startedAt": f"2026-01-01T{told}Z"}}
        status = {"phase": "Running", "podIP": "10.0.0.9", "containerStatuses": [{"state": state}]}
        assert worker(now=NOON + timedelta(minutes=1), **status).started == believed

    def test_ended_when_its_kubelet_says_unless_that_cannot_be(self) -> None:
        assert worker(**ended(1)).ended == NOON
        later = ended(1)
        later["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = "2026-01-01T12:15:00Z"
        assert worker(**later).ended is None

    def test_knows_what_its_node_says_of_its_end(self) -> None:
        node = seen.NODE.of(
            {
                "metadata": {"name": "a17", "uid": "uid-a17"},
                "spec": {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            }
        )
        going, other = observe.notices_of([node]), {"a18": "taint karpenter.sh/disrupted"}
        assert worker(leaving=going, **RUNNING).notice == "taint karpenter.sh/disrupted"
        assert worker(leaving=other, **RUNNING).notice == worker(**RUNNING).notice == ""

    @pytest.mark.parametrize(("status", "notice"), [("True", "condition PreemptScheduled"), ("False", None)])
    def test_knows_what_is_scheduled_for_its_node_and_what_is_not(self, status: str, notice: str | None) -> None:
        scheduled = {"conditions": [{"type": "PreemptScheduled", "status": status}]}
        node = seen.NODE.of({"metadata": {"name": "a17", "uid": "uid-a17"}, "status": scheduled})
        assert observe.notices_of([node]).get("a17") == notice

    def test_that_is_not_placed_yet_waits(self) -> None:
        assert worker(phase="Pending").state == "Waiting"

    def test_that_failed_tells_how(self) -> None:
        found = worker(**ended(137, reason="OOMKilled"))
        assert (found.state, found.exit_code, found.reason, found.is_alive) == ("Ended", 137, "OOMKilled", False)

    def test_that_was_preempted_is_lost_whatever_its_program_said(self) -> None:
        found = worker(**ended(1, '{"outcome": "failed"}'), **DISRUPTED)
        assert (found.state, found.outcome, found.reason) == ("Lost", None, "PreemptionByScheduler")

    def test_that_was_evicted_by_its_kubelet_is_lost(self) -> None:
        assert worker(phase="Failed", reason="Evicted", message="low on memory").state == "Lost"

    def test_that_finished_before_it_was_preempted_is_complete(self) -> None:
        found = worker(**ended(0, COMPLETE, phase="Succeeded"), **DISRUPTED)
        assert found.outcome is not None
        assert found.outcome.fingerprint == "f"

    def test_that_somebody_deleted_is_lost_while_it_leaves(self) -> None:
        found = worker(**RUNNING, metadata={"deletionTimestamp": AT})
        assert (found.state, found.reason, found.is_alive) == ("Lost", "Deleted", True)

    @pytest.mark.parametrize("said", ["", '{"outcome": "stopped"}'])
    def test_that_somebody_deleted_is_lost_once_it_has_ended_as_well(self, said: str) -> None:
        found = worker(**ended(137, said), metadata={"deletionTimestamp": AT})
        assert (found.state, found.reason, found.outcome, found.is_alive) == ("Lost", "Deleted", None, False)

    @pytest.mark.parametrize("said", ["complete", "failed", "userError"])
    def test_that_somebody_deleted_is_not_lost_when_its_program_says_why_it_ended(self, said: str) -> None:
        found = worker(**ended(1, f'{{"outcome": "{said}"}}'), metadata={"deletionTimestamp": AT})
        assert found.outcome is not None
        assert (found.state, found.outcome.outcome) == ("Ended", said)

    def test_on_a_node_that_does_not_answer_is_not_alive_for_ever(self) -> None:
        pod = seen.POD.of(a_pod(**RUNNING, metadata={"deletionTimestamp": AT}))
        assert pod.is_alive(NOON + timedelta(seconds=29))
        assert not pod.is_alive(NOON + timedelta(seconds=31))

    def test_of_another_job_of_the_same_name_is_not_ours(self) -> None:
        recorded = stages.changed(
            stages.listed(PretrainJobStatus(), a_pretrain_job().spec), Stage.TRAIN, state="Running", attempts=1
        )
        pods = [seen.POD.of(a_pod(owner="another", **RUNNING))]
        assert observe.workers(Children(pods, {}, {}), recorded, OWN, "", NOON) == ()

    def test_without_an_outcome_gives_the_last_lines_of_its_log(self) -> None:
        assert worker(**ended(1, "line 1\nline 2")).last_lines == "line 1\nline 2"


def run(job: BatchJob | None, *pods: Pod, phase: str = "finish") -> StageRun | None:
    recorded = stages.changed(
        stages.listed(PretrainJobStatus(), a_pretrain_job().spec),
        Stage.PREPARE,
        state="Running",
        attempts=1,
        phase=phase,
    )
    jobs = {job.name: job} if job else {}
    return observe.stage_run(Children(pods, jobs, {}), recorded, "gpt", "made", NOON)


def a_job(phase: str = "finish", **changes: Any) -> BatchJob:
    name = phase_name("gpt", Stage.PREPARE, 1, phase)
    return BatchJob(name, "uid-j", OWN, Stage.PREPARE, 1, phase, NOON, **changes)


def pod(name: str = "p", **status: Any) -> Pod:
    return seen.POD.of(a_pod(name, "prepare", owner="uid-j", **status))


class TestStageRun:
    def test_is_none_before_its_job_is_made(self) -> None:
        assert run(None) is None

    def test_goes_on_while_pods_of_a_deleted_job_leave(self) -> None:
        assert run(None, pod(**RUNNING)).state == "Running"  # type: ignore[union-attr]

    def test_that_is_complete_has_its_pod_s_fingerprint(self) -> None:
        found = run(a_job(is_complete=True), pod(**ended(0, COMPLETE, phase="Succeeded")))
        assert found is not None
        assert found.outcome is not None
        assert (found.state, found.outcome.fingerprint) == ("Ended", "f")

    def test_that_is_complete_without_its_pod_finds_the_record_in_another_attempt(self) -> None:
        assert run(a_job(is_complete=True)).state == "Lost"  # type: ignore[union-attr]

    def test_of_an_earlier_phase_needs_no_fingerprint(self) -> None:
        found = run(a_job("filter", is_complete=True), phase="filter")
        assert found is not None
        assert found.outcome is not None
        assert (found.outcome.outcome, found.outcome.fingerprint) == ("complete", "")

    def test_that_failed_names_the_pod_whose_own_fault_it_was(self) -> None:
        broken = pod("b", **ended(1, '{"outcome": "failed", "kind": "Runtime", "message": "boom"}'))
        found = run(a_job(is_failed=True), pod("a", **ended(143), **DISRUPTED), broken)
        assert found is not None
        assert (found.state, found.worker, found.node) == ("Ended", "b", "a17")

    def test_that_failed_by_disruptions_alone_is_lost(self) -> None:
        assert run(a_job(is_failed=True), pod(**ended(143), **DISRUPTED)).state == "Lost"  # type: ignore[union-attr]

    def test_that_failed_waits_for_its_other_pods_to_end(self) -> None:
        assert run(a_job(is_failed=True), pod("a", **ended(1)), pod("b", **RUNNING)).state == "Running"  # type: ignore[union-attr]

    def test_that_never_ran_is_outdated_once_pods_would_be_made_in_another_way(self) -> None:
        found = run(a_job(), pod(metadata={"annotations": {"pretrain.dev/made-with": "old"}}))
        assert found is not None
        assert found.is_outdated


class TestAlive:
    def test_are_pods_that_may_run_and_jobs_that_may_make_some(self) -> None:
        pods = [seen.POD.of(a_pod("a", **RUNNING)), seen.POD.of(a_pod("b", "encode", **ended(0, phase="Succeeded")))]
        job = a_job("filter")
        assert observe.alive(Children(pods, {job.name: job}, {}), NOON) == {
            Start(Stage.TRAIN, 1, "finish"),
            Start(Stage.PREPARE, 1, "filter"),
        }


class TestForgotten:
    @staticmethod
    def starts(**status: Any) -> Children:
        """Eight starts of Prepare and of Train."""
        jobs, pods = {}, []
        for attempt in range(1, 9):
            name = phase_name("gpt", Stage.PREPARE, attempt, "finish")
            jobs[name] = BatchJob(name, name, OWN, Stage.PREPARE, attempt, "finish", NOON, is_failed=True)
            manifest = a_pod(f"w0-{attempt}", **(status or ended(1)))
            manifest["metadata"]["labels"]["pretrain.dev/attempt"] = str(attempt)
            pods.append(seen.POD.of(manifest))
        return Children(pods, jobs, {})

    def test_is_what_ended_five_starts_ago_and_longer(self) -> None:
        jobs, pods = observe.forgotten(self.starts(), Stage.PREPARE, 8, OWN)
        assert ([job.attempt for job in jobs], pods) == ([1, 2, 3], [])
        jobs, pods = observe.forgotten(self.starts(), Stage.TRAIN, 8, OWN)
        assert (jobs, [pod.attempt for pod in pods]) == ([], [1, 2, 3])

    def test_are_workers_that_were_replaced_long_ago(self) -> None:
        """Those of the roster stay, and the newest, for their logs."""
        pods = []
        for number in range(20):
            manifest = a_pod(f"w{number}", **ended(137))
            manifest["metadata"]["labels"]["pretrain.dev/worker"] = str(number)
            pods.append(seen.POD.of(manifest))
        member = Member(worker=1, pod="w1", uid="uid-w1", address="10.0.0.1")
        world = World(generation=3, attempt=1, roster=(member,), leader="10.0.0.1")
        config = Config("gpt-world", "u", OWN, "1", {"world": world.model_dump_json()})
        _, forgotten = observe.forgotten(Children(pods, {}, {"gpt-world": config}), Stage.TRAIN, 1, OWN)
        assert [pod.worker for pod in forgotten] == [0, 2, 3]

    def test_is_nothing_that_may_still_run_or_belongs_to_somebody_else(self) -> None:
        assert observe.forgotten(self.starts(**RUNNING), Stage.TRAIN, 8, OWN) == ([], [])
        assert observe.forgotten(self.starts(), Stage.TRAIN, 8, "another") == ([], [])


SANE = {"stage": "Train", "attempt": 1, "time": "2026-01-01T12:00:00Z", "figures": {"step": 5.0, "secondsLeft": 60.0}}
A_CHECKPOINT = {"step": 5, "uri": "s3://bucket/run", "time": "2026-01-01T12:00:00Z"}


A_RECOVERY = {
    "number": 1, "kind": "Restart", "rank": 1, "cause": "exit -9", "time": "2026-01-01T12:00:00Z", "seconds": 0.5,
    "lost_steps": 1, "phases": {"stop": 0.1, "step": 0.4},
}  # fmt: skip
NO_RECOVERIES: list[dict[str, Any]] = [
    {"number": 0}, {"number": 10**30}, {"rank": -2}, {"node": -7}, {"lost_steps": 10**400}, {"lost_steps": -1},
    {"seconds": -5.0}, {"seconds": float("nan")}, {"seconds": 1e300}, {"phases": {"stop": -1.0}},
    {"phases": {"stop": float("inf")}}, {"time": "2026-01-01T12:00:00"},
]  # fmt: skip


def reported(**changes: Any) -> Any:
    content = {"report": json.dumps({**SANE, **changes})}
    return observe.report(Config("gpt-report", "u", OWN, "1", content), NOON + timedelta(hours=1))


class TestReport:
    def test_is_what_a_pod_wrote(self) -> None:
        assert reported().figures == SANE["figures"]
        assert reported(checkpoint=A_CHECKPOINT).checkpoint.step == 5

    @pytest.mark.parametrize(
        "changes",
        [
            {"figures": {"step": -5}},
            {"figures": {"step": 1e25}},
            {"figures": {"step": 1e999}},
            {"figures": {"loss": float("nan")}},
            {"time": "9999-12-31T23:59:59Z"},
            {"time": "0001-01-01T00:00:00Z"},
            {"time": "2026-01-01T12:00:00"},
            {"checkpoint": {**A_CHECKPOINT, "time": "2026-01-01T12:00:00"}},
            {"checkpoint": {**A_CHECKPOINT, "step": 10**25}},
            *({"recovery": {**A_RECOVERY, **changes}} for changes in NO_RECOVERIES),
            {"checkpoint": {**A_CHECKPOINT, "uri": "s3://" + "x" * 5000}},
            {"checkpoint": {**A_CHECKPOINT, "step": -1}},
        ],
        ids=str,
    )
    def test_that_no_training_can_mean_is_none(self, changes: dict[str, Any]) -> None:
        """It would end every look at the job, a deletion's too."""
        assert reported(**changes) is None

    def test_without_a_figure_that_cannot_be_is_as_good_as_before(self) -> None:
        totals = dict.fromkeys(goodput.FIGURES, 1.0)
        figures = {"step": 5.0, goodput.SINCE: NOON.timestamp(), **totals}
        assert reported(figures={**figures, "secondsLeft": 1e14}).figures == figures
        del figures[next(iter(totals))]  # as a trainer of another version might tell
        assert goodput.SINCE not in reported(figures=figures).figures

    def test_has_the_phases_of_a_recovery_that_are_known(self) -> None:
        odd = {**A_RECOVERY, "phases": {"stop": 0.1, "a b": 0.5, "of another version": 1.0}}
        assert reported(recovery=odd).recovery.phases == {"stop": 0.1}

    def test_of_the_future_is_of_now(self) -> None:
        """The clock of its machine was set between two answers of the API server."""
        now, later = NOON + timedelta(hours=1), "2026-01-01T15:00:00Z"
        figures = {"step": 5.0, goodput.SINCE: NOON.timestamp() + 7200, **dict.fromkeys(goodput.FIGURES, 0.0)}
        found = reported(
            time=later,
            figures=figures,
            checkpoint={**A_CHECKPOINT, "time": later},
            recovery={**A_RECOVERY, "time": later},
        )
        assert (found.time, found.checkpoint.time, found.recovery.time) == (now, now, now)
        assert found.figures[goodput.SINCE] == NOON.timestamp()
