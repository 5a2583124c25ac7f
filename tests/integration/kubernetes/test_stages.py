"""A job runs through all stages on a real API server; KWOK runs its pods."""

from support.jobs import a_job
from support.kube import Cluster, OperatorProcess, Programs, a_cluster_job

from pretrain_api.stages import PHASES, Stage


class TestJobOfShards:
    def test_starts_no_pod_for_documents(self, cluster: Cluster, operator: OperatorProcess) -> None:
        sources = [{"name": "ours", "shards": "s3://bucket/ours/manifest.json"}]
        cluster.apply(a_cluster_job(data={"sources": sources}, tokenizer={"uri": "s3://bucket/tokenizer"}).manifest)
        with Programs(cluster).playing() as programs:
            status = cluster.until_state("Succeeded", "Failed")
        assert status["state"] == "Succeeded", status
        assert [s["name"] for s in status["stages"]] == [stage.value for stage in Stage][2:]
        ran = {p["metadata"]["labels"]["pretrain.dev/stage"] for p in programs.seen.values()}
        assert ran == {stage.lower() for stage in list(Stage)[2:]}


class TestHealthyJob:
    def test_runs_all_stages_and_succeeds(self, cluster: Cluster, operator: OperatorProcess) -> None:
        data = {**a_job().manifest["spec"]["data"], "prepare": {"parallelism": 3}}
        cluster.apply(a_cluster_job(data=data, workers={"min": 2, "max": 2}).manifest)
        with Programs(cluster).playing() as programs:
            status = cluster.until_state("Succeeded", "Failed")
        assert status["state"] == "Succeeded", status
        assert [s["state"] for s in status["stages"]] == ["Complete"] * len(Stage)
        assert [s["fingerprint"] for s in status["stages"]] == [f"{stage.lower()}-made" for stage in Stage]
        ran = [(p["metadata"]["labels"]["pretrain.dev/stage"], p["metadata"]["labels"].get("pretrain.dev/phase"))
               for p in programs.seen.values()]  # fmt: skip
        for stage in Stage:
            for phase in PHASES[stage]:
                name = None if stage is Stage.TRAIN else phase.name
                expected = 2 if stage is Stage.TRAIN else 3 if phase.indexed else 1
                assert ran.count((stage.lower(), name)) == expected, (stage, phase)
