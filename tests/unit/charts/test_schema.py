"""Bad values are refused with the place and what is allowed there."""

from typing import Any

import pytest
import yaml
from support.charts import CHART, nested, overlaid, refusal, render, value_paths

BAD = [
    ("imge", {"tag": "1"}, "additional properties 'imge' not allowed"),
    ("image.repo", "x", "at '/image': additional properties 'repo' not allowed"),
    ("image.repository", "", "at '/image/repository': minLength: got 0, want 1"),
    ("image.tag", "a b", "at '/image/tag': 'a b' does not match pattern"),
    ("image.tag", 1.0, "at '/image/tag': got number, want string"),
    ("image.digest", "abc", "at '/image/digest': 'abc' does not match pattern '^(sha256:[0-9a-f]{64})?$'"),
    ("image.pullPolicy", "Sometimes", "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'"),
    ("trainer.image.pullPolicy", "always", "value must be one of 'Always', 'IfNotPresent', 'Never'"),
    ("imagePullSecrets", ["registry"], "at '/imagePullSecrets/0': got string, want object"),
    ("replicas", "two", "at '/replicas': got string, want integer"),
    ("replicas", -1, "at '/replicas': minimum: got -1, want 0"),
    ("crds.keep", "yes", "at '/crds/keep': got string, want boolean"),
    ("rbac.scope", "Cluster", "at '/rbac/scope': value must be one of 'cluster', 'namespace'"),
    ("rbac.namespaces", ["A_b"], "at '/rbac/namespaces/0': 'A_b' does not match pattern"),
    ("rbac.namespaces", "blue", "at '/rbac/namespaces': got string, want array"),
    ("log.format", "xml", "at '/log/format': value must be one of 'json', 'text'"),
    ("log.level", "loud", "at '/log/level': value must be one of 'debug', 'info', 'warning', 'error'"),
    ("client.qps", 0, "at '/client/qps': minimum: got 0, want 1"),
    ("client.requestTimeoutSeconds", 0, "at '/client/requestTimeoutSeconds': minimum: got 0, want 1"),
    ("client.burst", 0, "at '/client/burst': minimum: got 0, want 1"),
    ("extraArgs", "--x", "at '/extraArgs': got string, want array"),
    ("metrics.port", 70000, "at '/metrics/port': maximum: got 70,000, want 65,535"),
    ("metrics.serviceMonitor.interval", "30", "at '/metrics/serviceMonitor/interval': '30' does not match pattern"),
    ("podDisruptionBudget.maxUnavailable", "half", "at '/podDisruptionBudget/maxUnavailable': 'half' does not match"),
    ("podDisruptionBudget.maxUnavailable", "200%", "at '/podDisruptionBudget/maxUnavailable': '200%' does not match"),
    ("serviceAccount.name", "My account", "at '/serviceAccount/name': 'My account' does not match pattern"),
    ("priorityClassName", "High!", "at '/priorityClassName': 'High!' does not match pattern"),
    ("networkPolicy.apiServerPorts", [], "at '/networkPolicy/apiServerPorts': minItems: got 0, want 1"),
    ("podLabels", {"a": 1}, "at '/podLabels/a': got number, want string"),
    ("fullnameOverride", "My Operator", "at '/fullnameOverride': 'My Operator' does not match pattern"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "message"), BAD, ids=[f"{path}={value}" for path, value, _ in BAD])
def test_a_bad_value_is_named_with_what_is_allowed(path: str, value: Any, message: str, helm: str) -> None:
    assert message in refusal(helm, nested(path, value))


CONTRADICTIONS = [
    ({"leaderElection": {"enabled": False}}, "Write replicas: 1, or leaderElection.enabled: true."),
    ({"rbac": {"namespaces": ["blue"]}}, "Write rbac.scope: namespace, or remove rbac.namespaces."),
    ({"metrics": {"service": {"enabled": False}, "serviceMonitor": {"enabled": True}}},
     "Enable the Service, or take metrics.podMonitor."),
    ({"metrics": {"port": 9000}, "health": {"port": 9000}}, "Write another port for one of them."),
]  # fmt: skip


@pytest.mark.parametrize(("values", "advice"), CONTRADICTIONS, ids=[advice for _, advice in CONTRADICTIONS])
def test_values_that_contradict_each_other_are_refused_with_what_to_write(
    values: dict[str, Any], advice: str, helm: str
) -> None:
    assert advice in refusal(helm, values)


def test_no_value_may_have_another_type(helm: str) -> None:
    wrong: dict[str, Any] = {}
    for path in value_paths():
        is_list = isinstance(default_of(path), list)
        wrong = overlaid(wrong, nested(path, "text" if is_list else ["a", "list"]))
    message = refusal(helm, wrong)
    assert [path for path in value_paths() if f"at '/{path.replace('.', '/')}': got" not in message] == []


def default_of(path: str) -> Any:
    value: Any = yaml.safe_load((CHART / "values.yaml").read_text())
    for part in path.split("."):
        value = value[part]
    return value


def test_as_part_of_another_chart_it_takes_that_charts_global_values(helm: str) -> None:
    assert render(helm, {"global": {"anything": 1}}).objects
