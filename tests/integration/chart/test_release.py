"""Install, upgrade and uninstall by Helm on a real control plane: RBAC, Pod Security, controllers, simulated nodes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.charts import CHART, NAMESPACE, RELEASE, Values
from support.cluster.control_plane import ControlPlane, api_server
from support.cluster.kubectl import Kubectl
from support.cluster.kwok import SimulatedNodes
from support.cluster.missing import visibly
from support.eventually import eventually
from support.golden import assert_golden
from support.helm import CRD, WAIT, Helm
from support.jobs import a_job
from support.permissions import allowed

GOLDEN = Path(__file__).parent / "golden"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
JOB = "test"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane of this module's own, since its tests remove the CustomResourceDefinition."""
    with visibly(), api_server() as plane:
        plane.start_controllers()
        plane.start_scheduler()
        nodes = SimulatedNodes(plane)
        try:
            nodes.start(2)
            labels = {"pod-security.kubernetes.io/enforce": "restricted"}
            metadata = {"name": NAMESPACE, "labels": labels}
            plane.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
            yield plane
        finally:
            nodes.stop()


@pytest.fixture
def release(plane: ControlPlane) -> Helm:
    return Helm(plane.kubectl)


def apply_job(kubectl: Kubectl, namespace: str = "default") -> None:
    job = a_job().with_spec(storage={"uri": "s3://bucket/run"}).manifest
    kubectl("apply", "--server-side", "-n", namespace, "-f", "-", objects=job)


def job(kubectl: Kubectl) -> Any:
    return kubectl.get("pretrainjob", JOB, "-n", "default")


def older_chart(folder: Path) -> Path:
    """The chart as an earlier version would have been: one column and one field fewer."""
    chart = folder / "older"
    shutil.copytree(CHART, chart)
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": "0.0.9", "appVersion": "0.0.9"}))
    template = chart / "templates" / "crd.yaml"
    head, _, body = template.read_text().partition("spec:\n")
    spec = yaml.safe_load("spec:\n" + body.removesuffix("{{- end }}\n"))["spec"]
    [version] = spec["versions"]
    version["additionalPrinterColumns"].pop()
    version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].pop("ttlSecondsAfterFinished")
    template.write_text(head + yaml.safe_dump({"spec": spec}, width=120) + "{{- end }}\n")
    return chart


class TestInstall:
    def test_two_replicas_become_ready_under_pod_security_restricted(self, release: Helm) -> None:
        with release.release({}):
            deployment = release.kubectl.get("deployment", RELEASE, "-n", NAMESPACE)
            assert deployment["status"]["readyReplicas"] == 2
            pods = release.kubectl.get("pods", "-n", NAMESPACE)["items"]
            assert len({pod["spec"]["nodeName"] for pod in pods}) == 2, "both on one node"

    def test_a_second_release_in_another_namespace_shares_nothing_with_the_first(self, release: Helm) -> None:
        release.kubectl("create", "namespace", "research")
        second: Values = {"crds": {"enabled": False}, "rbac": {"scope": "namespace", "aggregate": False}}
        with release.release({}):
            release("install", RELEASE, CHART, "-n", "research", values=second)
            release("uninstall", RELEASE, "-n", "research")
            assert release.kubectl.get("clusterrole", RELEASE)

    def test_people_of_a_namespace_may_run_jobs_in_it(self, release: Helm) -> None:
        kubectl = release.kubectl
        with release.release({}):
            for role in ("admin", "edit", "view"):
                kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}", "-n", "default")
            for user, verb, allowed in (
                ("admin", "create", "yes"), ("edit", "create", "yes"), ("edit", "delete", "yes"),
                ("view", "get", "yes"), ("view", "create", "no"), ("stranger", "get", "no"),
            ):  # fmt: skip
                question = ("auth", "can-i", verb, "pretrainjobs", "-n", "default", "--as", user)
                eventually(lambda q=question: kubectl.run(*q).stdout.strip(), lambda said, a=allowed: said == a)
            question = (
                "auth",
                "can-i",
                "patch",
                "pretrainjobs",
                "--subresource=status",
                "-n",
                "default",
                "--as",
                "edit",
            )
            assert kubectl.run(*question).stdout.strip() == "no"


class TestUpgrade:
    def test_with_a_job_running_only_the_chart_s_own_objects_change(self, release: Helm, tmp_path: Path) -> None:
        kubectl = release.kubectl
        with release.release({}, older_chart(tmp_path)):
            apply_job(kubectl)
            before = job(kubectl)
            release("upgrade", RELEASE, CHART, "-n", NAMESPACE, *WAIT, values={"replicas": 3})
            assert job(kubectl) == before
            assert kubectl.get("deployment", RELEASE, "-n", NAMESPACE)["status"]["readyReplicas"] == 3
            columns = kubectl.get(CRD)["spec"]["versions"][0]["additionalPrinterColumns"]
            assert columns[-1]["name"] == "Storage"
            kubectl("patch", "pretrainjob", JOB, "--type=merge", "-p", '{"spec": {"ttlSecondsAfterFinished": 60}}')
            assert job(kubectl)["spec"]["ttlSecondsAfterFinished"] == 60

    def test_a_rollback_leaves_jobs_alone(self, release: Helm) -> None:
        with release.release({}):
            apply_job(release.kubectl)
            release("upgrade", RELEASE, CHART, "-n", NAMESPACE, values={"log": {"level": "debug"}})
            release("rollback", RELEASE, "1", "-n", NAMESPACE, *WAIT)
            assert job(release.kubectl)["metadata"]["generation"] == 1

    def test_from_the_cluster_to_one_namespace_the_cluster_role_goes(self, release: Helm) -> None:
        with release.release({}):
            values: Values = {"rbac": {"scope": "namespace"}}
            release("upgrade", RELEASE, CHART, "-n", NAMESPACE, *WAIT, values=values)
            assert release.kubectl.run("get", "clusterrole", RELEASE).returncode != 0
            assert release.kubectl.get("role", RELEASE, "-n", NAMESPACE)


class TestUninstall:
    def test_definition_and_jobs_stay_and_the_next_release_takes_them(self, release: Helm) -> None:
        kubectl = release.kubectl
        with release.release({}):
            apply_job(kubectl)
            before = job(kubectl)
            release("uninstall", RELEASE, "-n", NAMESPACE, "--wait")
            assert kubectl("get", "all,role,rolebinding,serviceaccount,networkpolicy", "-n", NAMESPACE, "-o", "name",
                           "-l", f"app.kubernetes.io/instance={RELEASE}") == ""  # fmt: skip
            assert job(kubectl) == before
            release("install", RELEASE, CHART, "-n", NAMESPACE, values={})
            assert job(kubectl) == before

    def test_a_release_of_another_name_takes_the_definition_when_told_so(self, release: Helm) -> None:
        with release.release({}):
            release("uninstall", RELEASE, "-n", NAMESPACE, "--wait")
            refused = release.run("install", "other", CHART, "-n", NAMESPACE)
            assert "pretrainjobs.pretrain.dev" in refused.stderr
            release("install", "other", CHART, "-n", NAMESPACE, "--take-ownership")
            release("uninstall", "other", "-n", NAMESPACE, "--wait")

    def test_told_not_to_keep_it_helm_removes_the_definition(self, release: Helm) -> None:
        with release.release({"crds": {"keep": False}}):
            release("uninstall", RELEASE, "-n", NAMESPACE, "--wait")
            assert release.kubectl.run("get", CRD).returncode != 0


class TestPermissions:
    """`kubectl auth can-i --list` as the operator; a new line in a golden file is a decision."""

    def test_of_a_cluster_wide_operator(self, release: Helm) -> None:
        with release.release({}):
            seen = [allowed(release.kubectl, OPERATOR, namespace) for namespace in ("default", NAMESPACE)]
        assert_golden(GOLDEN / "operator-cluster.txt", "\n".join(seen))

    def test_of_an_operator_for_one_namespace(self, release: Helm) -> None:
        with release.release({"rbac": {"scope": "namespace", "namespaces": ["default"]}}):
            seen = [
                allowed(release.kubectl, OPERATOR, namespace) for namespace in ("default", NAMESPACE, "kube-system")
            ]
        assert_golden(GOLDEN / "operator-namespace.txt", "\n".join(seen))
