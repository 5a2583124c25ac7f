"""Every value of the chart does what its comment says. A value without a row here fails the last test."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from support.charts import CHART, NAMESPACE, RELEASE, Rendered, Values, at, nested, overlaid, render, value_paths

Look = Callable[[Rendered], Any]


@dataclass(frozen=True)
class Effect:
    """What one value changes: the same look at the chart before and after."""

    path: str
    value: Any
    look: Look
    expected: Any
    given: Values = field(default_factory=dict)
    """Further values, on both sides."""


def kinds(*wanted: str) -> Look:
    """Which of these objects there are, as kind/name."""
    return lambda rendered: sorted(
        f"{item['kind']}/{item['metadata']['name']}" for item in rendered.objects if item["kind"] in wanted
    )


def pod(path: str) -> Look:
    return at("Deployment", f"spec.template.{path}")


def container(path: str) -> Look:
    return pod(f"spec.containers.0.{path}")


def argument(name: str) -> Look:
    """The values of one flag of the operator."""
    return lambda rendered: [
        text.partition("=")[2] for text in rendered.container["args"] if text.partition("=")[0] == f"--{name}"
    ]


def rights(resource: str) -> Look:
    """The API groups in which the operator has rights to a resource."""
    return lambda rendered: [
        group
        for item in rendered.objects
        if item["kind"] == "ClusterRole"
        for rule in item["rules"]
        if resource in rule["resources"]
        for group in rule["apiGroups"]
    ]


def labels_everywhere(name: str) -> Look:
    """The values that a label has on all objects and on the pods."""
    return lambda rendered: {item["metadata"].get("labels", {}).get(name) for item in (*rendered.objects, rendered.pod)}


CRD = "pretrainjobs.pretrain.dev"
DIGEST = "sha256:" + "0" * 64
NAMESPACED: Values = {"rbac": {"scope": "namespace"}}
SERVICE_MONITOR: Values = {"metrics": {"serviceMonitor": {"enabled": True}}}
POD_MONITOR: Values = {"metrics": {"podMonitor": {"enabled": True}}}
JOB_MONITOR: Values = {"metrics": {"jobs": {"enabled": True}}}
ALERTS: Values = {"alerts": {"enabled": True}}
DASHBOARDS: Values = {"dashboards": {"enabled": True}}
FLEET = f"{RELEASE}-dashboard-fleet"
PEER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
RULE = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
SPREAD = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
TOLERATION = {"key": "control", "operator": "Exists"}
AFFINITY = {"nodeAffinity": {}}

EFFECTS = [
    Effect("nameOverride", "pretraining", at("Deployment", "spec.selector.matchLabels", f"{RELEASE}-pretraining"),
           {"app.kubernetes.io/name": "pretraining", "app.kubernetes.io/instance": RELEASE}),
    Effect("fullnameOverride", "trainer", kinds("Deployment", "ServiceAccount", "Service"),
           ["Deployment/trainer", "Service/trainer-metrics", "ServiceAccount/trainer"]),
    Effect("commonLabels", {"team": "research"}, labels_everywhere("team"), {"research"}),
    Effect("image.repository", "registry.example/operator", container("image"), "registry.example/operator:0.1.0"),
    Effect("image.tag", "2.0", container("image"), "pretrain-operator:2.0"),
    Effect("image.digest", DIGEST, container("image"), f"pretrain-operator@{DIGEST}", {"image": {"tag": "2.0"}}),
    Effect("image.pullPolicy", "Always", container("imagePullPolicy"), "Always"),
    Effect("imagePullSecrets", [{"name": "registry"}], pod("spec.imagePullSecrets"), [{"name": "registry"}]),
    Effect("trainer.image.repository", "registry.example/trainer", argument("trainer-image"),
           ["registry.example/trainer:0.1.0"]),
    Effect("trainer.image.tag", "2.0", argument("trainer-image"), ["pretrain-trainer:2.0"]),
    Effect("trainer.image.digest", DIGEST, argument("trainer-image"), [f"pretrain-trainer@{DIGEST}"]),
    Effect("trainer.image.pullPolicy", "Always", argument("image-pull-policy"), ["Always"]),
    Effect("trainer.imagePullSecrets", [{"name": "a"}, {"name": "b"}], argument("image-pull-secret"), ["a", "b"]),
    Effect("replicas", 3, at("Deployment", "spec.replicas"), 3),
    Effect("leaderElection.enabled", False, argument("no-leader-election"), [""], {"replicas": 1}),
    Effect("crds.enabled", False, kinds("CustomResourceDefinition"), []),
    Effect("crds.keep", False, at("CustomResourceDefinition", "metadata.annotations", CRD), None),
    Effect("crds.annotations", {"a": "b"}, at("CustomResourceDefinition", "metadata.annotations", CRD),
           {"helm.sh/resource-policy": "keep", "a": "b"}),
    Effect("rbac.create", False, kinds("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"), [],
           {"rbac": {"aggregate": False}}),
    Effect("rbac.scope", "namespace", kinds("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
           [f"Role/{RELEASE}", f"Role/{RELEASE}-leader", f"RoleBinding/{RELEASE}", f"RoleBinding/{RELEASE}-leader"],
           {"rbac": {"aggregate": False}}),
    Effect("rbac.namespaces", ["blue", "green"], argument("namespace"), ["blue", "green"], NAMESPACED),
    Effect("rbac.gangs", ["native", "volcano"], rights("podgroups"), ["scheduling.k8s.io", "scheduling.volcano.sh"]),
    Effect("rbac.aggregate", False, kinds("ClusterRole"), [f"ClusterRole/{RELEASE}"]),
    Effect("serviceAccount.create", False, pod("spec.serviceAccountName"), "default"),
    Effect("serviceAccount.name", "robot", pod("spec.serviceAccountName"), "robot"),
    Effect("serviceAccount.annotations", {"a": "b"}, at("ServiceAccount", "metadata.annotations"), {"a": "b"}),
    Effect("log.format", "text", argument("log-format"), ["text"]),
    Effect("log.level", "debug", argument("log-level"), ["debug"]),
    Effect("client.qps", 7.5, argument("qps"), ["7.5"]),
    Effect("client.burst", 9, argument("burst"), ["9"]),
    Effect("client.requestTimeoutSeconds", 2.5, argument("request-timeout"), ["2.5"]),
    Effect("extraArgs", ["--verbose=yes"], argument("verbose"), ["yes"]),
    Effect("extraEnv", [{"name": "A", "value": "b"}], container("env"), [{"name": "A", "value": "b"}]),
    Effect("metrics.port", 9000, argument("metrics-address"), ["0.0.0.0:9000"]),
    Effect("metrics.service.enabled", False, kinds("Service"), []),
    Effect("metrics.service.annotations", {"a": "b"}, at("Service", "metadata.annotations", f"{RELEASE}-metrics"),
           {"a": "b"}),
    Effect("metrics.serviceMonitor.enabled", True, at("ServiceMonitor", "spec.endpoints.0.port"), "metrics"),
    Effect("metrics.serviceMonitor.interval", "1m", at("ServiceMonitor", "spec.endpoints.0.interval"), "1m",
           SERVICE_MONITOR),
    Effect("metrics.serviceMonitor.labels", {"prometheus": "main"}, at("ServiceMonitor", "metadata.labels.prometheus"),
           "main", SERVICE_MONITOR),
    Effect("metrics.podMonitor.enabled", True, at("PodMonitor", "spec.podMetricsEndpoints.0.port"), "metrics"),
    Effect("metrics.podMonitor.interval", "1m", at("PodMonitor", "spec.podMetricsEndpoints.0.interval"), "1m",
           POD_MONITOR),
    Effect("metrics.podMonitor.labels", {"prometheus": "main"}, at("PodMonitor", "metadata.labels.prometheus"), "main",
           POD_MONITOR),
    Effect("metrics.jobs.enabled", True, at("PodMonitor", "spec.namespaceSelector", f"{RELEASE}-jobs"), {"any": True}),
    Effect("metrics.jobs.interval", "1m", at("PodMonitor", "spec.podMetricsEndpoints.0.interval", f"{RELEASE}-jobs"),
           "1m", JOB_MONITOR),
    Effect("metrics.jobs.labels", {"prometheus": "main"},
           at("PodMonitor", "metadata.labels.prometheus", f"{RELEASE}-jobs"), "main", JOB_MONITOR),
    Effect("tracing.endpoint", "http://collector:4318", container("env"),
           [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}]),
    Effect("alerts.enabled", True, kinds("PrometheusRule"), [f"PrometheusRule/{RELEASE}"]),
    Effect("alerts.labels", {"prometheus": "main"}, at("PrometheusRule", "metadata.labels.prometheus"), "main", ALERTS),
    Effect("alerts.runbooks", "https://wiki/runbooks/",
           at("PrometheusRule", "spec.groups.1.rules.0.annotations.runbook_url"),
           "https://wiki/runbooks/pretrainjobstalled.md", ALERTS),
    Effect("dashboards.enabled", True, kinds("ConfigMap"),
           [f"ConfigMap/{RELEASE}-dashboard-{name}" for name in ("data", "fleet", "job", "operator", "recovery")]),
    Effect("dashboards.labels", {"team": "a"}, at("ConfigMap", "metadata.labels.team", FLEET), "a", DASHBOARDS),
    Effect("dashboards.annotations", {"grafana_folder": "a"},
           at("ConfigMap", "metadata.annotations", FLEET), {"grafana_folder": "a"}, DASHBOARDS),
    Effect("health.port", 9001, argument("health-address"), ["0.0.0.0:9001"]),
    Effect("livenessProbe", {"periodSeconds": 99}, container("livenessProbe.periodSeconds"), 99),
    Effect("readinessProbe", {"periodSeconds": 99}, container("readinessProbe.periodSeconds"), 99),
    Effect("resources", {"limits": {"memory": "2Gi"}}, container("resources.limits"), {"memory": "2Gi"}),
    Effect("podDisruptionBudget.enabled", False, kinds("PodDisruptionBudget"), []),
    Effect("podDisruptionBudget.maxUnavailable", "50%", at("PodDisruptionBudget", "spec.maxUnavailable"), "50%"),
    Effect("networkPolicy.enabled", False, kinds("NetworkPolicy"), []),
    Effect("networkPolicy.metricsFrom", [PEER], at("NetworkPolicy", "spec.ingress.0.from"), [PEER]),
    Effect("networkPolicy.apiServerPorts", [8443], at("NetworkPolicy", "spec.egress.1.ports"),
           [{"port": 8443, "protocol": "TCP"}]),
    Effect("networkPolicy.egress", [RULE], lambda rendered: at("NetworkPolicy", "spec.egress")(rendered)[2:], [RULE]),
    Effect("podAnnotations", {"a": "b"}, pod("metadata.annotations"), {"a": "b"}),
    Effect("podLabels", {"a": "b"}, pod("metadata.labels.a"), "b"),
    Effect("nodeSelector", {"a": "b"}, pod("spec.nodeSelector"), {"a": "b"}),
    Effect("tolerations", [TOLERATION], pod("spec.tolerations"), [TOLERATION]),
    Effect("affinity", AFFINITY, pod("spec.affinity"), AFFINITY),
    Effect("topologySpreadConstraints", [SPREAD], pod("spec.topologySpreadConstraints"), [SPREAD]),
    Effect("priorityClassName", "system-cluster-critical", pod("spec.priorityClassName"), "system-cluster-critical"),
    Effect("terminationGracePeriodSeconds", 99, pod("spec.terminationGracePeriodSeconds"), 99),
    Effect("podSecurityContext", {"runAsUser": 1000}, pod("spec.securityContext.runAsUser"), 1000),
    Effect("securityContext", {"privileged": False}, container("securityContext.privileged"), False),
]  # fmt: skip


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.path)
def test_a_value_shows_in_what_is_rendered(effect: Effect, helm: str) -> None:
    before = effect.look(render(helm, effect.given))
    after = effect.look(render(helm, overlaid(effect.given, nested(effect.path, effect.value))))
    assert after == effect.expected
    assert before != after


def test_every_value_has_a_row() -> None:
    assert [effect.path for effect in EFFECTS] == list(value_paths())


def test_values_and_schema_know_the_same_fields_in_the_same_order() -> None:
    def paths(node: Any, known: list[str], path: str = "") -> list[str]:
        at_hand = [f"{path}{name}" for name in node]
        return [p for at in at_hand for p in ([at] if at in known else paths(node[at[len(path) :]], known, f"{at}."))]

    known = list(value_paths())
    assert paths(yaml.safe_load((CHART / "values.yaml").read_text()), known) == known


def test_the_release_goes_where_helm_is_told(helm: str) -> None:
    for item in render(helm).objects:
        cluster_wide = item["kind"] in ("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition")
        assert item["metadata"].get("namespace") == (None if cluster_wide else NAMESPACE), item["metadata"]["name"]
