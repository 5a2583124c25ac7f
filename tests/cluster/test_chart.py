"""The chart on a cluster: the operator's image under Pod Security restricted, with its own permissions and a job at work."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.charts import CHART, NAMESPACE, RELEASE, Values
from support.cluster.foreign import AnyCluster
from support.cluster.kubectl import Kubectl
from support.eventually import eventually
from support.helm import CRD, WAIT, Helm
from support.jobs import a_job
from support.kube import a_storage

LEASE = ("lease", "pretrain-operator", "-n", NAMESPACE)
PODS = ("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=pretrain-operator")


@pytest.fixture(scope="module")
def values(cluster: AnyCluster, operator_image: str) -> Values:
    """The chart's values for images that the nodes have. No test here runs a trainer."""
    return {"image": image(operator_image), "trainer": {"image": image(cluster.busybox)}}


def image(name: str) -> Values:
    repository, _, tag = name.rpartition(":")
    return {"repository": repository, "tag": tag, "pullPolicy": "Never"}


@pytest.fixture(scope="module")
def helm(cluster: AnyCluster, values: Values) -> Iterator[Helm]:
    """The installed chart, its pods ready."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
    helm = Helm(cluster.kubectl)
    with helm.release(values):
        yield helm


@pytest.fixture(autouse=True)
def logs(helm: Helm) -> Iterator[None]:
    """What the operator's pods said, for a test that fails."""
    yield
    print(helm.kubectl.run("logs", "--prefix", "--tail=60", *PODS[1:]).stdout)


def apply_job(kubectl: Kubectl, namespace: str, **spec: Any) -> None:
    """A job whose pods wait for a node that never comes: at work, without a trainer's image."""
    waits = {"template": {"nodeSelector": {"test": "nowhere"}}}
    job = a_job().with_spec(storage=a_storage(), workers=waits, **spec).manifest
    kubectl("apply", "--server-side", "-n", namespace, "-f", "-", objects=job)


def status(kubectl: Kubectl, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.get("pretrainjob", "test", "-n", namespace).get("status", {})
    return found


def uids(kubectl: Kubectl, *what: str) -> set[str]:
    return {item["metadata"]["uid"] for item in kubectl.get(*what)["items"]}


def leader(kubectl: Kubectl) -> str:
    """The pod that leads; the Lease holds its name and a mark of the process."""
    return str(kubectl.get(*LEASE)["spec"]["holderIdentity"]).partition("_")[0]


class TestInstalled:
    def test_two_pods_are_ready_and_one_of_them_leads(self, helm: Helm) -> None:
        pods = helm.kubectl.get(*PODS)["items"]
        assert [pod["status"]["containerStatuses"][0]["ready"] for pod in pods] == [True, True]
        eventually(lambda: leader(helm.kubectl), lambda name: name in {pod["metadata"]["name"] for pod in pods})

    def test_a_job_is_taken_up_in_a_restricted_namespace(self, helm: Helm, namespace: str) -> None:
        apply_job(helm.kubectl, namespace)
        state = eventually(lambda: status(helm.kubectl, namespace).get("state"), bool, within_seconds=60)
        assert state == "Collecting"
        eventually(lambda: helm.kubectl.get("pods", "-n", namespace)["items"], bool, within_seconds=60)

    def test_metrics_are_served_behind_the_service(self, helm: Helm) -> None:
        path = f"/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}-metrics:metrics/proxy/metrics"
        assert "pretrain_" in helm.kubectl("get", "--raw", path)

    def test_another_pod_leads_soon_after_the_leader_was_lost(self, helm: Helm, namespace: str) -> None:
        kubectl = helm.kubectl
        lost = eventually(lambda: leader(kubectl), bool)
        kubectl("delete", "pod", lost, "-n", NAMESPACE, "--grace-period=0", "--force")
        eventually(lambda: leader(kubectl), lambda name: name not in ("", lost), within_seconds=60)
        apply_job(kubectl, namespace, suspend=True)
        eventually(lambda: status(kubectl, namespace).get("state"), lambda state: state == "Suspended", 60)


class TestUpgrade:
    def test_the_pods_of_a_job_are_not_touched(self, helm: Helm, values: Values, namespace: str) -> None:
        kubectl = helm.kubectl
        apply_job(kubectl, namespace)
        before = eventually(lambda: uids(kubectl, "pods", "-n", namespace), bool, within_seconds=60)
        operators = uids(kubectl, *PODS)
        helm("upgrade", RELEASE, CHART, "-n", NAMESPACE, *WAIT, values={**values, "log": {"format": "text"}})
        eventually(lambda: uids(kubectl, *PODS) & operators, lambda old: not old, within_seconds=120)
        kubectl("patch", "pretrainjob", "test", "-n", namespace, "--type=merge", "-p", '{"spec": {"suspend": true}}')
        assert uids(kubectl, "pods", "-n", namespace) <= before
        eventually(lambda: status(kubectl, namespace).get("state"), lambda state: state == "Suspended", 120)
        eventually(lambda: uids(kubectl, "pods", "-n", namespace), lambda pods: not pods, within_seconds=120)


class TestOneNamespace:
    def test_jobs_of_other_namespaces_are_left_alone(self, helm: Helm, values: Values, namespace: str) -> None:
        kubectl = helm.kubectl
        scope: Values = {"rbac": {"scope": "namespace", "namespaces": [namespace]}}
        helm("upgrade", RELEASE, CHART, "-n", NAMESPACE, *WAIT, values={**values, **scope})
        apply_job(kubectl, namespace, suspend=True)
        apply_job(kubectl, "default", suspend=True)
        eventually(lambda: status(kubectl, namespace).get("state"), lambda state: state == "Suspended", 120)
        assert status(kubectl, "default") == {}
        kubectl("delete", "pretrainjob", "test", "-n", "default")


class TestUninstall:
    def test_leaves_the_definition_and_the_jobs(self, helm: Helm, values: Values, namespace: str) -> None:
        kubectl = helm.kubectl
        helm("upgrade", RELEASE, CHART, "-n", NAMESPACE, *WAIT, values=values)
        apply_job(kubectl, namespace, suspend=True)
        eventually(lambda: status(kubectl, namespace).get("state"), lambda state: state == "Suspended", 120)
        helm("uninstall", RELEASE, "-n", NAMESPACE, "--wait")
        assert kubectl.get(CRD)
        assert status(kubectl, namespace)["state"] == "Suspended"
        helm("install", RELEASE, CHART, "-n", NAMESPACE, *WAIT, values=values)
        kubectl("delete", "pretrainjob", "test", "-n", namespace, "--timeout=120s")
