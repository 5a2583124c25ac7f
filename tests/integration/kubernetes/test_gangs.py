"""All workers or none: the gang scheduler of Kubernetes itself, and a queue that holds back what Kueue would."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster.control_plane import api_server
from support.cluster.fixtures import new_namespace
from support.cluster.kwok import SimulatedNodes
from support.cluster.missing import visibly
from support.eventually import eventually
from support.kube import ROOT, Api, ApiFault, Cluster, OperatorProcess, Programs, a_cluster_job, succeeds_except
from support.pods import a_pod

pytestmark = pytest.mark.slow

GATE = "GenericWorkload=true"
WHOLE_NODE = {"limits": {"nvidia.com/gpu": 1000}}
GROUPS = "apis/scheduling.k8s.io/v1beta1"


@pytest.fixture(scope="module")
def gang_nodes() -> Iterator[SimulatedNodes]:
    """Simulated nodes of a control plane that schedules groups of pods."""
    flags = ("--feature-gates", GATE, "--runtime-config", "scheduling.k8s.io/v1beta1=true")
    with visibly(), api_server(*flags) as plane:
        plane.start_controllers("--feature-gates", GATE)
        plane.start_scheduler("--feature-gates", GATE)
        nodes = SimulatedNodes(plane)
        try:
            nodes.start(2)
            plane.kubectl.apply(yaml.safe_load((ROOT / "manifests/crd.yaml").read_text()))
            eventually(lambda: plane.raw("/apis/pretrain.dev/v1alpha1/pretrainjobs"), bool, 60)
            yield nodes
        finally:
            nodes.stop()


@pytest.fixture
def cluster(gang_nodes: SimulatedNodes) -> Cluster:
    return Cluster(Api(gang_nodes.plane), new_namespace(gang_nodes.plane))


@pytest.fixture
def operator(gang_nodes: SimulatedNodes, cluster: Cluster, tmp_path: Path) -> Iterator[OperatorProcess]:
    with OperatorProcess(gang_nodes.plane.kubeconfig, tmp_path, namespace=cluster.namespace) as operator:
        yield operator


@pytest.mark.usefixtures("operator")
class TestNativeGang:
    def test_waits_until_all_its_workers_fit_and_each_start_has_its_own_group(
        self, cluster: Cluster, gang_nodes: SimulatedNodes
    ) -> None:
        workers = {"min": 3, "max": 3, "resources": WHOLE_NODE}
        cluster.apply(a_cluster_job(workers=workers, scheduling={"gang": {"native": {}}}).manifest)
        with Programs(cluster, succeeds_except("train")).playing():
            cluster.until(lambda s: reason(s, "Stalled") == "Unschedulable")
            assert [bool(pod["spec"].get("nodeName")) for pod in cluster.pods("train")] == [False] * 3
            gang_nodes.add(1)
            first = cluster.training(3, attempt=1)
            assert [group["metadata"]["name"] for group in cluster.children("podgroups", GROUPS)] == ["test-train-1"]
            pod = first[0]["metadata"]["name"]
            cluster.api("DELETE", f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}")
            cluster.training(3, attempt=2)
            eventually(
                lambda: [group["metadata"]["name"] for group in cluster.children("podgroups", GROUPS)],
                lambda names: names == ["test-train-2"],
            )

    @pytest.mark.parametrize("kind", ["volcano", "coscheduling"])
    def test_of_a_scheduler_that_is_not_there_is_named_and_can_be_changed(self, cluster: Cluster, kind: str) -> None:
        cluster.apply(a_cluster_job(scheduling={"gang": {kind: {}}}).manifest)
        with Programs(cluster).playing():
            status = cluster.until(lambda s: reason(s, "Stalled") == "GangUnavailable")
            message = next(c["message"] for c in status["conditions"] if c["type"] == "Stalled")
            assert f"spec.scheduling.gang.{kind}" in message
            assert cluster.pods("train") == []
            cluster.edit(scheduling={"gang": None})
            cluster.until_state("Succeeded")


@pytest.mark.usefixtures("operator")
class TestQueue:
    def test_holds_back_every_stage_until_it_admits_it(self, cluster: Cluster, gang_nodes: SimulatedNodes) -> None:
        """Kueue's webhooks close a gate on pods and suspend Jobs; policies of the API server do it here."""
        gang_nodes.plane.kubectl.apply(list(as_kueue_does(cluster.namespace)))
        until_it_applies(cluster)
        workers = {"min": 2, "max": 2}
        cluster.apply(a_cluster_job(workers=workers, scheduling={"queueName": "research"}).manifest)
        with Programs(cluster).playing():
            cluster.until_state("Queued")
            assert "queue research" in cluster.condition("Running")["message"]
            while "train" not in {s["name"].lower() for s in cluster.status()["stages"] if s["state"] == "Running"}:
                admit_jobs(cluster)
            gated = eventually(lambda: cluster.pods("train"), lambda pods: len(pods) == 2, 60)
            cluster.until_state("Queued")
            for pod in gated:
                assert pod["metadata"]["labels"]["kueue.x-k8s.io/pod-group-name"] == "test-train-1"
                path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod['metadata']['name']}"
                cluster.api.merge(path, {"spec": {"schedulingGates": None}})
            while cluster.state() not in ("Succeeded", "Failed"):
                admit_jobs(cluster)
        status = cluster.status()
        assert status["state"] == "Succeeded"
        assert [s["attempts"] for s in status["stages"]] == [1] * 8


def reason(status: dict[str, Any], kind: str) -> str:
    """Of a condition that is true."""
    found = (c for c in status.get("conditions", []) if c["type"] == kind and c["status"] == "True")
    return next((str(c["reason"]) for c in found), "")


def admit_jobs(cluster: Cluster) -> None:
    for job in cluster.children("jobs", "apis/batch/v1"):
        if job["spec"].get("suspend"):
            path = f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs/{job['metadata']['name']}"
            cluster.api.merge(path, {"spec": {"suspend": False}})


def as_kueue_does(namespace: str) -> Iterator[dict[str, Any]]:
    """Policies that hold back what has a queue's name in one namespace."""
    changes = {
        "pods": "Object{spec: Object.spec{schedulingGates: [Object.spec.schedulingGates{name: 'kueue.x-k8s.io/admission'}]}}",
        "jobs": "Object{spec: Object.spec{suspend: true}}",
    }
    for plural, change in changes.items():
        name, group = f"{namespace}-{plural}", "batch" if plural == "jobs" else ""
        rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [plural]}
        yield {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {
                    "resourceRules": [rule],
                    "objectSelector": {
                        "matchExpressions": [{"key": "kueue.x-k8s.io/queue-name", "operator": "Exists"}]
                    },
                },
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "mutations": [
                    {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": change}},
                ],
            },
        }
        yield {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
            },
        }


def until_it_applies(cluster: Cluster) -> None:
    """A policy takes a moment to be known to the API server."""

    def is_held(path: str, manifest: dict[str, Any], part: str) -> bool:
        labels = {"kueue.x-k8s.io/queue-name": "research"}
        manifest = {**manifest, "metadata": {"name": "probe", "labels": labels}}
        try:
            made = cluster.api("POST", f"{path}?dryRun=All", manifest)
        except ApiFault:
            return False
        return bool(made["spec"].get(part))

    core, batch = (f"/{root}/namespaces/{cluster.namespace}" for root in ("api/v1", "apis/batch/v1"))
    pod = a_pod("probe", "none")
    job = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": pod["spec"]}}}
    eventually(lambda: is_held(f"{core}/pods", pod, "schedulingGates"), bool, 60)
    eventually(lambda: is_held(f"{batch}/jobs", job, "suspend"), bool, 60)
