"""What holds for the chart as a whole: security, permissions, upgrades, and what Helm says about it."""

import re
import subprocess
import tomllib
from typing import Any

import pytest
import yaml
from support.charts import CHART, NAMESPACE, RELEASE, Rendered, Values, render, value_paths

from pretrain_api import cluster, crd
from pretrain_operator.__main__ import main

ROOT = CHART.parents[1]
EVERYTHING: Values = {
    "metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}, "jobs": {"enabled": True}},
    "tracing": {"endpoint": "http://collector.monitoring:4318"},
    "alerts": {"enabled": True},
    "dashboards": {"enabled": True},
    "rbac": {"scope": "namespace", "namespaces": ["blue", "green"]},
    "networkPolicy": {"metricsFrom": [{"podSelector": {}}]},
}
VARIANTS = {
    "defaults": {},
    "everything": EVERYTHING,
    "one replica": {"replicas": 1, "leaderElection": {"enabled": False}},
    "nothing": {
        "crds": {"enabled": False}, "rbac": {"create": False, "aggregate": False}, "serviceAccount": {"create": False},
        "podDisruptionBudget": {"enabled": False}, "networkPolicy": {"enabled": False},
        "metrics": {"service": {"enabled": False}}, "resources": None, "podSecurityContext": None,
        "securityContext": None, "livenessProbe": None, "readinessProbe": None,
    },
}  # fmt: skip


def rules(rendered: Rendered) -> list[dict[str, Any]]:
    return [
        rule
        for item in (*rendered.all("ClusterRole"), *rendered.all("Role"))
        if not item["metadata"]["name"].endswith(("-edit", "-view"))
        for rule in item["rules"]
    ]


class TestHelm:
    def test_lint_finds_nothing(self, helm: str) -> None:
        done = subprocess.run([helm, "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "[WARNING]" not in done.stdout

    @pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
    def test_every_object_has_kind_name_and_the_chart_s_labels(self, values: Values, helm: str) -> None:
        for item in render(helm, values).objects:
            labels = item["metadata"]["labels"]
            assert labels["app.kubernetes.io/instance"] == RELEASE, item["metadata"]["name"]
            assert labels["helm.sh/chart"].startswith("pretrain-operator-")

    def test_no_object_is_rendered_twice(self, helm: str) -> None:
        names = [
            (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"])
            for item in render(helm, EVERYTHING).objects
        ]
        assert len(names) == len(set(names))

    def test_versions_of_chart_application_and_package_are_one(self) -> None:
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        assert (chart["version"], chart["appVersion"]) == (package, package)

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({}, "It runs the jobs of all namespaces"),
            (EVERYTHING, "It runs the jobs of namespace blue, green"),
            ({"rbac": {"scope": "namespace"}}, f"It runs the jobs of namespace {NAMESPACE}"),
            ({"crds": {"enabled": False}}, "Apply manifests/crd.yaml"),
            ({"crds": {"keep": False}}, "EVERY PretrainJob"),
            ({"rbac": {"create": False}}, "Service account pretrain-operator needs them"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_the_notes_say_what_was_installed(self, values: Values, said: str, helm: str) -> None:
        command = [helm, "install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--dry-run=client", "--values=-"]
        done = subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout.partition("NOTES:")[2]

    def test_large_numbers_stay_whole(self, helm: str) -> None:
        """Helm reads numbers as floats, and would print 1e+06."""
        rendered = render(helm, {"client": {"burst": 1_000_000}, "terminationGracePeriodSeconds": 1_000_000})
        assert "--burst=1000000" in rendered.container["args"]
        assert rendered.pod["spec"]["terminationGracePeriodSeconds"] == 1_000_000

    def test_a_long_release_name_still_gives_names_that_kubernetes_takes(self, helm: str) -> None:
        done = subprocess.run([helm, "template", "r" * 53, str(CHART)], capture_output=True, text=True, check=True)
        for item in yaml.safe_load_all(done.stdout):
            assert len(item["metadata"]["name"]) <= 63
            assert all(re.fullmatch(r"[\w.-]{1,63}", value) for value in item["metadata"]["labels"].values())


class TestGuide:
    GUIDE = ROOT / "docs" / "how-to" / "install.md"

    def test_every_setting_that_it_prints_is_taken(self, helm: str) -> None:
        commands = re.findall(r"helm install [^`]*?(?=\n\w|```)", self.GUIDE.read_text())
        assert commands
        for command in commands:
            settings = re.findall(r"--set \S+", command)
            done = subprocess.run(
                [helm, "template", str(CHART), *" ".join(settings).split()], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command}: {done.stderr}"

    def test_every_value_that_it_names_exists(self) -> None:
        roots = {path.partition(".")[0] for path in value_paths() if "." in path}
        named = re.findall(rf"`((?:{'|'.join(sorted(roots))})\.[\w.]+)", self.GUIDE.read_text())
        assert len(named) > 5
        assert set(named) - set(value_paths()) == set()


class TestOperator:
    @pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
    def test_it_understands_every_argument(self, values: Values, helm: str) -> None:
        arguments = render(helm, values).container["args"]
        given = {text.partition("=")[0] for text in arguments}
        context = main.make_context("operator", list(arguments))
        assert context.params["trainer_image"] == "pretrain-trainer:0.1.0"
        assert context.params["leader_election"] is ("--leader-election" in given)

    def test_every_flag_is_decided_by_the_chart(self, helm: str) -> None:
        values: Values = {**EVERYTHING, "trainer": {"imagePullSecrets": [{"name": "registry"}]}}
        given = {text.partition("=")[0] for text in render(helm, values).container["args"]}
        flags = {option.opts[0] for option in main.params if not option.is_eager}
        assert flags == given


class TestSecurity:
    def test_the_pod_is_restricted(self, helm: str) -> None:
        pod, container = render(helm).pod["spec"], render(helm).container
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert [volume for volume in pod["volumes"] if "hostPath" in volume] == []

    def test_no_permission_is_a_wildcard(self, helm: str) -> None:
        for rule in rules(render(helm)):
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])

    def test_secrets_are_out_of_reach(self, helm: str) -> None:
        for rule in rules(render(helm)):
            assert "secrets" not in rule["resources"]

    def test_a_namespaced_operator_reaches_nothing_cluster_wide(self, helm: str) -> None:
        rendered = render(helm, {"rbac": {"scope": "namespace", "aggregate": False}})
        assert rendered.all("ClusterRole") == rendered.all("ClusterRoleBinding") == []

    def test_the_lease_is_the_only_one(self, helm: str) -> None:
        leases = [
            rule for rule in rules(render(helm)) if rule["resources"] == ["leases"] and rule["verbs"] != ["create"]
        ]
        assert [rule["resourceNames"] for rule in leases] == [[cluster.MANAGER]]

    def test_only_metrics_are_let_in(self, helm: str) -> None:
        policy = render(helm).named("NetworkPolicy")
        assert policy is not None
        assert policy["spec"]["ingress"] == [{"ports": [{"port": "metrics", "protocol": "TCP"}]}]
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]

    @pytest.mark.parametrize(
        ("endpoint", "ports"),
        [
            ("", []),
            ("http://collector:4318", [4318]),
            ("http://collector", [80]),
            ("https://traces.example/otlp", [443]),
            ("http://[fd00::1]:4318/", [4318]),
        ],
    )
    def test_traces_are_let_out_by_the_port_of_their_address(self, endpoint: str, ports: list[int], helm: str) -> None:
        policy = render(helm, {"tracing": {"endpoint": endpoint}}).named("NetworkPolicy")
        assert [port["port"] for rule in policy["spec"]["egress"][2:] for port in rule["ports"]] == ports


class TestUpgrades:
    def test_selectors_hold_no_version(self, helm: str) -> None:
        rendered = render(helm, {"commonLabels": {"team": "research"}, "podLabels": {"a": "b"}})
        own = {"app.kubernetes.io/name": "pretrain-operator", "app.kubernetes.io/instance": RELEASE}
        for kind in ("Deployment", "PodDisruptionBudget"):
            [item] = rendered.all(kind)
            assert item["spec"]["selector"] == {"matchLabels": own}
        [service] = rendered.all("Service")
        assert service["spec"]["selector"] == own

    def test_labels_of_the_values_do_not_replace_those_of_the_selectors(self, helm: str) -> None:
        mine = {"app.kubernetes.io/name": "mine"}
        assert (
            render(helm, {"commonLabels": mine, "podLabels": mine}).pod["metadata"]["labels"]
            == (render(helm).pod["metadata"]["labels"])
        )

    def test_the_crd_is_that_of_the_types(self, helm: str) -> None:
        [installed] = render(helm).all("CustomResourceDefinition")
        assert installed["spec"] == crd.definition()["spec"]
        assert installed["metadata"]["name"] == crd.definition()["metadata"]["name"]

    def test_the_crd_stays_when_the_release_goes(self, helm: str) -> None:
        [installed] = render(helm).all("CustomResourceDefinition")
        assert installed["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
