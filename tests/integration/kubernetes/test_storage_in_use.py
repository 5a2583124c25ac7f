"""Two jobs that name the same storage: one works, the other one waits for its turn, also over an operator's restart."""

from pathlib import Path

from support.cluster.kwok import SimulatedNodes
from support.eventually import eventually
from support.kube import Cluster, OperatorProcess, Programs, a_cluster_job, a_storage, succeeds, succeeds_except

from pretrain_api.cluster import LABEL_JOB


def test_work_one_after_the_other(simulated_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path) -> None:
    operator = OperatorProcess(simulated_nodes.plane.kubeconfig, tmp_path, namespace=cluster.namespace)
    with operator, Programs(cluster, succeeds_except("train")).playing() as programs:
        storage = a_storage()
        cluster.apply(a_cluster_job(storage=storage).manifest)
        cluster.training(1, attempt=1)
        # Its name comes first in every list, so that a new operator meets it before the one at work.
        cluster.apply({**a_cluster_job(storage=storage).manifest, "metadata": {"name": "before"}})
        waits = eventually(lambda: cluster.condition("Stalled", "before"), lambda c: c["status"] == "True", 30)
        assert (waits["reason"], cluster.state("before")) == ("StorageInUse", "Pending")
        assert f"PretrainJob {cluster.namespace}/test" in waits["message"]

        operator.kill()
        operator.start().until_ready()
        programs.fate = succeeds
        first = cluster.until_state("Succeeded", "Failed")
        second = cluster.until_state("Succeeded", "Failed", name="before")
    assert (first["state"], second["state"]) == ("Succeeded", "Succeeded")
    began = [pod["metadata"] for pod in programs.seen.values() if pod["metadata"]["labels"][LABEL_JOB] == "before"]
    assert began
    assert min(pod["creationTimestamp"] for pod in began)[:19] >= first["completionTime"][:19]
