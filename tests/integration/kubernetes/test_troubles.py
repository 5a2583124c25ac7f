"""What keeps pods from running is shown within 30 s, with the object and the field, and mends without deleting the job."""

import pytest
from support.eventually import eventually
from support.kube import Cluster, OperatorProcess, Programs, a_cluster_job, succeeds, succeeds_except

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def served(operator: OperatorProcess) -> None:
    """Every test here needs the operator."""


def shown(cluster: Cluster, *parts: str) -> None:
    """The Stalled condition comes in time and says all of this."""
    found = eventually(lambda: cluster.condition("Stalled"), lambda c: c["status"] == "True", 45)
    for part in parts:
        assert part in found["message"]


class TestUnschedulablePod:
    def test_is_named_with_the_fields_and_placed_after_an_edit(self, cluster: Cluster) -> None:
        cluster.apply(a_cluster_job(workers={"template": {"nodeSelector": {"pool": "none"}}}).manifest)
        shown(cluster, "Pod test-collect-1-finish-0", "spec.workers.template.nodeSelector")
        with Programs(cluster).playing():
            cluster.edit(workers={"template": {"nodeSelector": None}})
            cluster.until_state("Succeeded")
        assert cluster.condition("Stalled")["status"] == "False"


class TestQuota:
    def test_is_named_for_jobs_and_goes_on_when_it_is_raised(self, cluster: Cluster) -> None:
        quotas = f"/api/v1/namespaces/{cluster.namespace}/resourcequotas"
        quota = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "0"}}}
        cluster.api("POST", quotas, {"apiVersion": "v1", "kind": "ResourceQuota", **quota})
        eventually(lambda: cluster.api.get(f"{quotas}/small").get("status", {}).get("hard"), bool, 30)
        cluster.apply(a_cluster_job().manifest)
        shown(cluster, "quota", "ResourceQuota")
        cluster.api("DELETE", f"{quotas}/small")
        with Programs(cluster).playing():
            cluster.until_state("Succeeded", within_seconds=240)


class TestNameThatIsTaken:
    def test_is_named_and_never_taken_over(self, cluster: Cluster) -> None:
        path = f"/api/v1/namespaces/{cluster.namespace}/configmaps"
        cluster.api("POST", path, {"metadata": {"name": "test-world"}, "data": {"mine": "yes"}})
        cluster.apply(a_cluster_job().manifest)
        shown(cluster, "ConfigMap test-world", "does not belong to this job")
        assert "ownerReferences" not in cluster.api.get(f"{path}/test-world")["metadata"]
        cluster.api("DELETE", f"{path}/test-world")
        with Programs(cluster).playing():
            cluster.until_state("Succeeded")


class TestServiceAccount:
    def test_that_somebody_deleted_is_made_again(self, cluster: Cluster) -> None:
        cluster.apply(a_cluster_job().manifest)
        with Programs(cluster, succeeds_except("collect")).playing() as programs:
            cluster.running("collect", 1)
            cluster.api("DELETE", f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts/test")
            programs.fate = succeeds
            cluster.until_state("Succeeded", within_seconds=240)


class TestRoster:
    def test_that_somebody_deleted_is_published_again(self, cluster: Cluster) -> None:
        cluster.apply(a_cluster_job(workers={"min": 2, "max": 2}).manifest)
        with Programs(cluster, succeeds_except("train")).playing() as programs:
            first = cluster.training(2, attempt=1)
            world = f"/api/v1/namespaces/{cluster.namespace}/configmaps/test-world"
            cluster.api("DELETE", world)
            eventually(cluster.published, lambda world: world is not None and world["generation"] > 1, 30)
            assert {member["uid"] for member in cluster.world()["roster"]} == {p["metadata"]["uid"] for p in first}
            programs.fate = succeeds
            cluster.until_state("Succeeded")
