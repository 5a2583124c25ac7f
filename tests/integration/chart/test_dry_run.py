"""A real API server takes everything that the chart renders, the manifests and the samples, field by field."""

import copy
from pathlib import Path
from typing import Any

import pytest
from support.charts import CHART, NAMESPACE, Rendered, Values, render
from support.cluster.control_plane import ControlPlane
from support.cluster.kubectl import Failed, Kubectl
from support.cluster.missing import visibly
from support.eventually import eventually
from support.monitors import definitions

MANIFESTS = CHART.parents[1] / "manifests"
SAMPLES = sorted((MANIFESTS / "samples").glob("*.yaml"))
VARIANTS: dict[str, Values] = {
    "defaults": {},
    "one namespace": {"rbac": {"scope": "namespace"}, "replicas": 1, "leaderElection": {"enabled": False}},
    "everything": {
        "commonLabels": {"team": "research"},
        "metrics": {
            "serviceMonitor": {"enabled": True},
            "podMonitor": {"enabled": True, "labels": {"release": "main"}},
            "jobs": {"enabled": True},
        },
        "alerts": {"enabled": True},
        "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Pretrain"}},
        "imagePullSecrets": [{"name": "registry"}],
        "image": {"digest": "sha256:" + "0" * 64},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "extraArgs": ["--log-level=debug"],
        "serviceAccount": {"annotations": {"a": "b"}},
        "podAnnotations": {"a": "b"},
        "podLabels": {"a": "b"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "control", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "podDisruptionBudget": {"maxUnavailable": "50%"},
        "networkPolicy": {
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
        },
    },
}


@pytest.fixture(scope="module")
def release(kubectl: Kubectl) -> str:
    """The release's namespace under the strictest Pod Security, with the operator's service account."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
    account = {"name": "pretrain-operator", "namespace": NAMESPACE}
    kubectl.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    return NAMESPACE


@pytest.fixture(scope="module")
def monitors(kubectl: Kubectl) -> None:
    """ServiceMonitor and PodMonitor are known."""
    with visibly():
        for definition in definitions():
            kubectl("apply", "--server-side", "-f", str(definition))
    for plural in ("servicemonitors", "podmonitors"):
        command = ("get", f"{plural}.monitoring.coreos.com", "--all-namespaces")
        eventually(lambda asked=command: kubectl.run(*asked).returncode, lambda code: code == 0, within_seconds=60)


def try_out(kubectl: Kubectl, objects: Any, namespace: str = NAMESPACE) -> None:
    """Server-side, and strict: a field that Kubernetes does not know is an error."""
    kubectl("apply", "--server-side", "--dry-run=server", "--force-conflicts", "--validate=strict",
            "-n", namespace, "-f", "-", objects=objects)  # fmt: skip


class TestChart:
    @pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
    def test_every_object_is_taken(
        self, values: Values, helm: str, kubectl: Kubectl, release: str, monitors: None
    ) -> None:
        try_out(kubectl, list(render(helm, values).objects))

    @pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
    def test_pod_security_restricted_takes_the_pods(
        self, values: Values, helm: str, kubectl: Kubectl, release: str
    ) -> None:
        create_pod(kubectl, render(helm, values))

    def test_pod_security_is_watching(self, helm: str, kubectl: Kubectl, release: str) -> None:
        rendered = copy.deepcopy(render(helm))
        del rendered.pod["spec"]["securityContext"]
        with pytest.raises(Failed, match='violates PodSecurity "restricted'):
            create_pod(kubectl, rendered)


def create_pod(kubectl: Kubectl, rendered: Rendered) -> None:
    """A pod as the Deployment makes it. The Deployment itself is only warned about."""
    metadata = {**rendered.pod["metadata"], "name": "operator", "namespace": NAMESPACE}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": rendered.pod["spec"]}
    kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", objects=pod)


class TestManifests:
    @pytest.mark.parametrize("name", ["crd.yaml", "install.yaml"])
    def test_a_manifest_is_taken(self, name: str, kubectl: Kubectl, release: str) -> None:
        try_out(kubectl, (MANIFESTS / name).read_text())

    @pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
    def test_a_sample_is_taken(self, sample: Path, kubectl: Kubectl, namespace: str) -> None:
        try_out(kubectl, sample.read_text(), namespace)

    def test_applying_install_yaml_makes_an_operator(self, api_server: ControlPlane, kubectl: Kubectl) -> None:
        kubectl("apply", "--server-side", "--force-conflicts", "-f", str(MANIFESTS / "install.yaml"))
        namespace = kubectl.get("namespace", NAMESPACE)
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        assert kubectl.get("deployment", "pretrain-operator", "-n", NAMESPACE)["spec"]["replicas"] == 2
