"""Suspension, deletion, deadline, TTL, losses and edits of a job in a cluster."""

from typing import Any

import pytest
from support.eventually import eventually
from support.kube import ApiFault, Cluster, OperatorProcess, Programs, a_cluster_job, succeeds, succeeds_except

pytestmark = pytest.mark.slow

TWO = {"min": 2, "max": 2}


@pytest.fixture(autouse=True)
def served(operator: OperatorProcess) -> None:
    """Every test here needs the operator."""


def of(status: dict[str, Any], stage: str) -> dict[str, Any]:
    return next(s for s in status["stages"] if s["name"] == stage)


class TestSuspension:
    @pytest.mark.parametrize("stage", ["Prepare", "Train"])
    def test_frees_every_pod_and_goes_on_when_resumed(self, cluster: Cluster, stage: str) -> None:
        cluster.apply(a_cluster_job(workers=TWO).manifest)
        with Programs(cluster, succeeds_except(stage.lower())).playing() as programs:
            cluster.running(stage.lower(), 2 if stage == "Train" else 1)
            cluster.edit(suspend=True)
            cluster.until_state("Suspended")
            cluster.until_none_alive()
            assert cluster.condition("Suspended")["status"] == "True"
            programs.fate = succeeds
            cluster.edit(suspend=False)
            status = cluster.until_state("Succeeded", "Failed")
        assert status["state"] == "Succeeded"
        assert of(status, stage)["attempts"] == 2
        assert (status["recovery"]["failures"], status["recovery"]["disruptions"]) == (0, 0)

    def test_before_the_first_stage_makes_nothing(self, cluster: Cluster) -> None:
        cluster.apply(a_cluster_job(suspend=True).manifest)
        cluster.until_state("Suspended")
        assert cluster.pods() == []


class TestDeletion:
    @pytest.mark.parametrize("stage", ["Collect", "Train"])
    def test_stops_the_programs_and_lets_the_job_go(self, cluster: Cluster, stage: str) -> None:
        cluster.apply(a_cluster_job(workers=TWO).manifest)
        with Programs(cluster, succeeds_except(stage.lower())).playing():
            cluster.running(stage.lower(), 2 if stage == "Train" else 1)
            cluster.delete()
            eventually(cluster.is_there, lambda there: not there, 60, every_seconds=0.2)
            assert cluster.alive() == []
            eventually(lambda: cluster.children("jobs", "apis/batch/v1"), lambda jobs: not jobs, 60)

    @pytest.mark.parametrize("state", ["Succeeded", "Failed", "Suspended", "Unschedulable", "WaitingForRepair"])
    def test_is_possible_in_every_state(self, cluster: Cluster, state: str) -> None:
        nowhere = {"template": {"nodeSelector": {"pool": "none"}}}
        changes = {"Suspended": {"suspend": True}, "Unschedulable": {"workers": nowhere}}
        faults = {"Failed": "unknown-format", "WaitingForRepair": "storage-missing"}
        wrong = {"outcome": "userError", "code": faults.get(state, ""), "message": "wrong"}
        cluster.apply(a_cluster_job(**changes.get(state, {})).manifest)
        with Programs(cluster, (lambda pod: (2, wrong)) if state in faults else succeeds).playing():
            if state in ("Unschedulable", "WaitingForRepair"):
                eventually(lambda: cluster.condition("Stalled"), lambda c: c["reason"] == state, 60)
            else:
                cluster.until_state(state)
            cluster.delete()
            eventually(cluster.is_there, lambda there: not there, 60, every_seconds=0.2)
            eventually(lambda: cluster.children("jobs", "apis/batch/v1"), lambda jobs: not jobs, 60)
            cluster.until_none_alive()

    def test_of_a_job_that_cannot_be_followed_is_no_problem(self, cluster: Cluster) -> None:
        cluster.apply(a_cluster_job(model={"preset": "bert-nano"}).manifest)
        cluster.until(lambda s: any(c["type"] == "Accepted" for c in s.get("conditions", [])))
        assert "bert-nano cannot learn objective causalLM" in cluster.condition("Accepted")["message"]
        cluster.edit(model={"preset": "llama-nano"})
        cluster.until_state("Collecting")
        cluster.delete()
        eventually(cluster.is_there, lambda there: not there, 60, every_seconds=0.2)


class TestTimeToLive:
    def test_of_a_finished_job_ends_in_its_deletion(self, cluster: Cluster) -> None:
        cluster.apply(a_cluster_job(ttlSecondsAfterFinished=2).manifest)
        with Programs(cluster).playing():
            eventually(cluster.is_there, lambda there: not there, 120, every_seconds=0.2)


class TestDeadline:
    def test_stops_the_programs_and_fails_the_job(self, cluster: Cluster) -> None:
        cluster.apply(a_cluster_job(activeDeadlineSeconds=5).manifest)
        with Programs(cluster, succeeds_except("prepare")).playing():
            status = cluster.until_state("Failed")
            cluster.until_none_alive()
        assert "spec.activeDeadlineSeconds (5)" in cluster.condition("Succeeded")["message"]
        assert status["recovery"]["failures"] == 0


class TestLostWorker:
    @pytest.mark.parametrize("how", ["deleted", "evicted"])
    def test_is_a_disruption_and_replaced_in_the_same_start(self, cluster: Cluster, how: str) -> None:
        """With fewer than the least that may train left, the other one waits for the new one."""
        cluster.apply(a_cluster_job(workers=TWO).manifest)
        with Programs(cluster, succeeds_except("train")).playing() as programs:
            first = cluster.training(2, attempt=1)
            pod = f"/api/v1/namespaces/{cluster.namespace}/pods/{first[0]['metadata']['name']}"
            if how == "deleted":
                cluster.api("DELETE", pod)
            else:
                eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": first[0]["metadata"]}
                cluster.api("POST", f"{pod}/eviction", eviction)
            world = eventually(cluster.world, lambda world: world["generation"] == 2, 60)
            second = cluster.training(2, attempt=1)
            kept, new = (
                first[1]["metadata"],
                next(p["metadata"] for p in second if p["metadata"]["name"] == "test-w2-1"),
            )
            assert [member["uid"] for member in world["roster"]] == [kept["uid"], new["uid"]]
            assert cluster.condition("Recovering")["status"] == "True"
            cluster.report_step(3, time="2100-01-01T00:00:00Z")
            assert cluster.condition("Recovering")["status"] == "False"
            programs.fate = succeeds
            status = cluster.until_state("Succeeded", "Failed")
        assert status["state"] == "Succeeded"
        assert of(status, "Train")["attempts"] == 1
        assert (status["recovery"]["failures"], status["recovery"]["disruptions"]) == (0, 1)
        [told] = [message for reason, message in cluster.events() if reason == "Disrupted"]
        assert "Worker test-w0-1" in told

    def test_is_left_out_at_once_and_another_one_joins_later(self, cluster: Cluster) -> None:
        cluster.apply(a_cluster_job(workers={"min": 1, "max": 3}).manifest)
        with Programs(cluster, succeeds_except("train")).playing() as programs:
            first = cluster.training(3, attempt=1)
            lost = first[1]["metadata"]
            cluster.api("DELETE", f"/api/v1/namespaces/{cluster.namespace}/pods/{lost['name']}")
            eventually(cluster.world, lambda world: world["generation"] > 1, 60, every_seconds=0.1)
            world = eventually(cluster.world, lambda world: len(world["roster"]) == 3 and world["generation"] > 2, 60)
            assert [member["worker"] for member in world["roster"]] == [0, 2, 3]
            assert (world["attempt"], world["planned"]) == (1, True)
            programs.fate = succeeds
            status = cluster.until_state("Succeeded", "Failed")
        assert status["state"] == "Succeeded"
        assert (status["recovery"]["failures"], status["recovery"]["disruptions"]) == (0, 1)

    def test_that_the_machine_killed_is_a_failure_and_replaced_in_the_same_start(self, cluster: Cluster) -> None:
        cluster.apply(a_cluster_job(workers=TWO).manifest)
        with Programs(cluster, succeeds_except("train")).playing() as programs:
            cluster.training(2, attempt=1)
            cluster.end("test-w0-1", 137)
            eventually(cluster.world, lambda world: world["generation"] == 2, 60)
            programs.fate = succeeds
            status = cluster.until_state("Succeeded", "Failed")
        assert status["state"] == "Succeeded"
        assert of(status, "Train")["attempts"] == 1
        assert (status["recovery"]["failures"], status["recovery"]["disruptions"]) == (1, 0)
        assert status["recovery"]["lastFailure"]["worker"] == "test-w0-1"

    def test_that_fails_is_counted_and_named(self, cluster: Cluster) -> None:
        cluster.apply(a_cluster_job(workers=TWO, recovery={"maxFailures": 2}).manifest)
        with Programs(cluster, succeeds_except("train")).playing():
            for attempt in (1, 2):
                pods = cluster.training(2, attempt)
                cluster.end(pods[0]["metadata"]["name"], 1, {"outcome": "failed", "kind": "Runtime", "message": "boom"})
            status = cluster.until_state("Failed")
            cluster.until_none_alive()
        message = cluster.condition("Succeeded")["message"]
        assert status["recovery"]["failures"] == 2
        for part in ("Train after 2 failures", "boom", "test-w", "simulated-"):
            assert part in message


class TestNotice:
    def test_that_a_node_goes_lets_its_worker_be_relieved_before_it_is_evicted(self, cluster: Cluster) -> None:
        term = {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {"pretrain.dev/stage": "train"}},
        }
        apart = {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": term, "weight": 100}]}
        cluster.apply(a_cluster_job(workers=TWO | {"template": {"affinity": {"podAntiAffinity": apart}}}).manifest)
        with Programs(cluster, succeeds_except("train")).playing() as programs:
            stays, goes = sorted(cluster.training(2, attempt=1), key=lambda pod: pod["metadata"]["name"])
            node = f"/api/v1/nodes/{goes['spec']['nodeName']}"
            cluster.api.merge(node, {"spec": {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}})
            try:
                world = eventually(cluster.world, lambda world: world["generation"] == 2, 60)
                new = next(p for p in cluster.training(3, attempt=1) if p["metadata"]["name"] == "test-w2-1")
            finally:
                cluster.api.merge(node, {"spec": {"taints": None}})
            assert [member["uid"] for member in world["roster"]] == [p["metadata"]["uid"] for p in (stays, new)]
            assert world["planned"]
            assert "test-w1-1 relieved (taint karpenter.sh/disrupted)" in world["reason"]
            assert new["spec"]["nodeName"] != goes["spec"]["nodeName"]
            programs.fate = succeeds
            status = cluster.until_state("Succeeded", "Failed")
        assert status["state"] == "Succeeded"
        assert (status["recovery"]["failures"], status["recovery"]["disruptions"]) == (0, 0)


class TestUserError:
    def test_of_the_data_ends_the_job(self, cluster: Cluster) -> None:
        wrong = {"outcome": "userError", "code": "unknown-format", "message": "x.bin: unknown. [unknown-format]"}
        cluster.apply(a_cluster_job().manifest)
        with Programs(cluster, lambda pod: (2, wrong)).playing():
            cluster.until_state("Failed")
        assert "[unknown-format]" in cluster.condition("Succeeded")["message"]

    def test_of_storage_is_shown_and_waited_for(self, cluster: Cluster) -> None:
        wrong = {"outcome": "userError", "code": "no-credentials", "message": "s3://bucket: refused. [no-credentials]"}
        cluster.apply(a_cluster_job().manifest)
        with Programs(cluster, lambda pod: (2, wrong)).playing() as programs:
            eventually(lambda: cluster.condition("Stalled"), lambda c: c["status"] == "True", 60)
            assert "[no-credentials]" in cluster.condition("Stalled")["message"]
            programs.fate = succeeds
            status = cluster.until_state("Succeeded", "Failed")
        assert status["state"] == "Succeeded"
        assert status["recovery"]["failures"] == 0
        assert cluster.condition("Stalled")["status"] == "False"


class TestEdits:
    def test_of_workers_restart_training_with_the_new_number(self, cluster: Cluster) -> None:
        cluster.apply(a_cluster_job(workers={"min": 1, "max": 1}).manifest)
        with Programs(cluster, succeeds_except("train")).playing() as programs:
            cluster.training(1, attempt=1)
            cluster.edit(workers={"max": 2})
            cluster.training(2, attempt=2)
            programs.fate = succeeds
            status = cluster.until_state("Succeeded", "Failed")
        assert status["world"]["summary"].endswith("/2")
        assert (status["recovery"]["failures"], status["recovery"]["disruptions"]) == (0, 0)

    def test_of_a_weight_restart_training_as_the_same_run_with_the_new_weight(self, cluster: Cluster) -> None:
        def sources(weight: float) -> dict[str, Any]:
            parts = [("lib", weight), ("mail", 1)]
            return {"sources": [{"name": n, "documents": "python://lib/*.py", "weight": w} for n, w in parts]}

        cluster.apply(a_cluster_job(data=sources(3)).manifest)
        with Programs(cluster, succeeds_except("train")).playing() as programs:
            cluster.training(1, attempt=1)
            cluster.report_step(3)
            cluster.edit(data=sources(5))
            cluster.training(1, attempt=2)
            programs.fate = succeeds
            status = cluster.until_state("Succeeded", "Failed")
        assert cluster.accepted()["data"]["sources"][0]["weight"] == 5
        assert [s["initialWeight"] for s in cluster.accepted()["data"]["sources"]] == [3, 1]
        attempts = {stage["name"]: stage["attempts"] for stage in status["stages"]}
        assert (attempts["Tokenizer"], attempts["Train"]) == (1, 2)
        assert (status["recovery"]["failures"], status["recovery"]["disruptions"]) == (0, 0)

    def test_of_what_is_learned_are_refused_with_the_field_and_the_job_goes_on(self, cluster: Cluster) -> None:
        job = a_cluster_job()
        cluster.apply(job.manifest)
        with Programs(cluster, succeeds_except("train")).playing() as programs:
            pods = cluster.training(1, attempt=1)
            cluster.report_step(3)
            with pytest.raises(ApiFault, match=r"spec\.model cannot change once training began"):
                cluster.edit(model={"config": {**job.manifest["spec"]["model"]["config"], "hidden_size": 64}})
            assert cluster.training(1, attempt=1)[0]["metadata"]["uid"] == pods[0]["metadata"]["uid"]
            programs.fate = succeeds
            cluster.until_state("Succeeded")
