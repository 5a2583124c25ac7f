"""The operator under the chart's own roles: everything it asks for is granted, and everything granted is asked for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.charts import NAMESPACE, RELEASE, Values, render
from support.cluster.control_plane import ControlPlane, api_server
from support.cluster.fixtures import new_namespace
from support.cluster.kwok import SimulatedNodes
from support.cluster.missing import visibly
from support.crds import install_crd
from support.eventually import eventually
from support.golden import assert_golden
from support.jobs import a_job
from support.kube import Api, Cluster, OperatorProcess, Programs, a_storage, succeeds_except
from support.permissions import allowed

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parent / "golden"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [OPERATOR]}, {"level": "None"}],
}
OCCASIONAL = {
    ("pretrain.dev", "pretrainjobs/finalizers", "update"):
        "asked in the operator's name where the admission plugin OwnerReferencesPermissionEnforcement is on",
    ("pretrain.dev", "pretrainjobs", "get"): "somebody wrote to the job in the same moment",
    ("batch", "jobs", "get"): "a Job that is to be made is there already",
    ("", "pods", "get"): "a watch is behind",
    ("", "events", "list"): "a pod does not start",
}  # fmt: skip
"""Permissions that a job without trouble does not need, and what needs them."""

Permission = tuple[str, str, str]
"""API group, resource with its part, verb."""


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit")


@pytest.fixture(scope="module")
def plane(audit: Path) -> Iterator[ControlPlane]:
    """A control plane that writes down what the operator asks for."""
    (audit / "policy.json").write_text(json.dumps(AUDIT))
    flags = (f"--audit-policy-file={audit / 'policy.json'}", f"--audit-log-path={audit / 'log'}")
    with visibly(), api_server(*flags) as plane:
        plane.start_controllers()
        plane.start_scheduler()
        nodes = SimulatedNodes(plane)
        try:
            nodes.start(2)
            plane.kubectl("create", "namespace", NAMESPACE)
            install_crd(plane.kubectl)
            yield plane
        finally:
            nodes.stop()


class Trial:
    """The operator with the permissions of some values of the chart."""

    def __init__(self, plane: ControlPlane, audit: Path, helm: str, values: Values, folder: Path) -> None:
        self.plane, self.log, self.folder = plane, audit / "log", folder
        self.seen_before = self.log.stat().st_size if self.log.exists() else 0
        kinds = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
        rendered = render(helm, {**values, "crds": {"enabled": False}})
        self.objects = [item for item in rendered.objects if item["kind"] in kinds]
        self.arguments = [text for text in rendered.container["args"] if text.partition("=")[0] in FLAGS]
        plane.kubectl.apply(self.objects)

    def operator(self) -> OperatorProcess:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}")
        return OperatorProcess(self.plane.kubeconfig_for(OPERATOR, *groups), self.folder, *self.arguments)

    def granted(self) -> set[Permission]:
        return {
            (group, resource, verb)
            for item in self.objects
            if item["kind"] in ("Role", "ClusterRole") and not item["metadata"]["name"].endswith(("-edit", "-view"))
            for rule in item["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }

    def requests(self) -> list[dict[str, Any]]:
        """What the operator asked the API server for, discovery aside."""
        with self.log.open() as log:
            log.seek(self.seen_before)
            found = [json.loads(line) for line in log]
        return [request for request in found if "objectRef" in request]

    def used(self) -> set[Permission]:
        asked = {permission(request) for request in self.requests()}
        # Server-side apply of an object that was not there needs both.
        made = [r for r in self.requests() if r["verb"] == "patch" and r["responseStatus"]["code"] == 201]
        return asked | {(*permission(request)[:2], "create") for request in made}

    def refused(self) -> set[Permission]:
        return {permission(request) for request in self.requests() if request["responseStatus"]["code"] == 403}

    def end(self) -> None:
        self.plane.kubectl("delete", "-f", "-", "--ignore-not-found", objects=self.objects)


FLAGS = ("--namespace", "--leader-election", "--lease-namespace")


def permission(request: dict[str, Any]) -> Permission:
    about = request["objectRef"]
    part = f"/{about['subresource']}" if "subresource" in about else ""
    return about.get("apiGroup", ""), about["resource"] + part, request["verb"]


def a_life(trial: Trial, cluster: Cluster, name: str) -> None:
    """Everything that can happen to a job: stages shared by pods, workers, suspension, another operator that finds its
    objects, an edit, an end, its removal."""
    with trial.operator() as operator:
        begin(cluster, name)
        operator.stop()
    with trial.operator() as operator:
        go_on(cluster, name)
        operator.stop()


def begin(cluster: Cluster, name: str) -> None:
    """Up to a suspension in the middle of Prepare."""
    job = a_job().with_spec(
        storage=a_storage(),
        data={**a_job().manifest["spec"]["data"], "prepare": {"parallelism": 2}},
        workers={"min": 2, "max": 2},
        ttlSecondsAfterFinished=1,
    )
    cluster.apply({**job.manifest, "metadata": {"name": name}})
    with Programs(cluster, succeeds_except("prepare")).playing():
        cluster.until_state("Preparing", name=name)
        eventually(lambda: cluster.pods("prepare"), within_seconds=60)
        cluster.edit(name, suspend=True)
        cluster.until_state("Suspended", name=name)


def go_on(cluster: Cluster, name: str) -> None:
    """From there to its end."""
    cluster.edit(name, suspend=False)
    with Programs(cluster, succeeds_except("train")).playing() as programs:
        eventually(
            lambda: [pod for pod in programs.seen.values() if is_training(pod)], lambda pods: len(pods) == 2, 120
        )
        cluster.edit(name, suspend=True)
        cluster.until_state("Suspended", name=name)
    cluster.edit(name, suspend=False)
    with Programs(cluster).playing():
        eventually(lambda: cluster.is_there(name), lambda there: not there, 180)


def is_training(pod: dict[str, Any]) -> bool:
    return bool(pod["metadata"]["labels"].get("pretrain.dev/stage") == "train")


class TestOperator:
    def test_of_the_cluster_uses_what_it_has_and_asks_for_nothing_else(
        self, plane: ControlPlane, audit: Path, helm: str, tmp_path: Path
    ) -> None:
        trial = Trial(plane, audit, helm, {}, tmp_path)
        try:
            a_life(trial, Cluster(Api(plane), new_namespace(plane)), "cluster-wide")
        finally:
            trial.end()
        assert trial.refused() == set()
        assert trial.granted() - trial.used() - OCCASIONAL.keys() == set()
        assert OCCASIONAL.keys() - trial.granted() == set()
        assert trial.used() - trial.granted() == set()

    def test_of_one_namespace_needs_nothing_outside(
        self, plane: ControlPlane, audit: Path, helm: str, tmp_path: Path
    ) -> None:
        namespace = new_namespace(plane)
        trial = Trial(plane, audit, helm, {"rbac": {"scope": "namespace", "namespaces": [namespace]}}, tmp_path)
        try:
            a_life(trial, Cluster(Api(plane), namespace), "namespaced")
        finally:
            trial.end()
        assert trial.refused() == set()
        assert {request["objectRef"].get("namespace") for request in trial.requests()} == {namespace, NAMESPACE}


class TestJob:
    def test_may_read_its_world_and_write_its_report(
        self, plane: ControlPlane, audit: Path, helm: str, tmp_path: Path
    ) -> None:
        trial = Trial(plane, audit, helm, {}, tmp_path)
        cluster = Cluster(Api(plane), new_namespace(plane))
        try:
            with trial.operator():
                cluster.apply(a_job().with_spec(storage=a_storage()).manifest)
                eventually(lambda: cluster.pods("collect"), within_seconds=60)
        finally:
            trial.end()
        account = f"system:serviceaccount:{cluster.namespace}:test"
        seen = allowed(plane.kubectl, account, cluster.namespace).replace(cluster.namespace, "NAMESPACE")
        assert_golden(GOLDEN / "job.txt", seen)
