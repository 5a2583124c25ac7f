"""`pretrain doctor` on a real API server and a real S3 server: whole ones and broken ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster.control_plane import ControlPlane
from support.cluster.s3 import CREDENTIALS, S3Server, credentials
from support.command_place import CommandPlace
from support.kube import OperatorProcess

from pretrain_api import cluster


@pytest.fixture
def operator(api_server: ControlPlane, place: CommandPlace, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator of the namespace, as a process that holds the Lease there."""
    flags = ("--leader-election", f"--lease-namespace={place.namespace}")
    running = OperatorProcess(api_server.kubeconfig, tmp_path, *flags, namespace=place.namespace)
    with running as operator:
        yield operator.until_ready()
        operator.stop()  # in order: it gives the Lease back, which other tests would take for a live one's


def found(place: CommandPlace, *arguments: str, code: int) -> dict[str, dict[str, Any]]:
    """Findings by area and check."""
    printed = place.run("doctor", "-o", "json", *arguments)
    assert printed.code == code, printed
    document = json.loads(printed.out)
    assert document["version"] == 1
    return {f"{each['area']}/{each['check']}": each for each in document["findings"]}


def job_in(place: CommandPlace, server: S3Server, name: str, **values: str) -> str:
    """A job file whose storage is on the server, and the Secret with its keys."""
    secret = credentials({**server.environment, **values})
    place.kubectl.apply({**secret, "metadata": {**secret["metadata"], "namespace": place.namespace}})
    path = Path(place.file(name))
    manifest = yaml.safe_load(path.read_text())
    uri = f"{server.make_bucket(name)}/run"
    manifest["spec"]["storage"] = {"uri": uri, "endpointUrl": server.url, "secretRef": {"name": CREDENTIALS}}
    path.write_text(yaml.safe_dump(manifest))
    return str(path)


class TestGoodSetUp:
    def test_cluster_operator_and_store_are_well(
        self, place: CommandPlace, operator: OperatorProcess, s3_server: S3Server
    ) -> None:
        told = found(place, job_in(place, s3_server, "doctor-good"), code=1)  # no node: nothing could run
        levels = {check: each["level"] for check, each in told.items() if check != "Storage/bandwidth"}
        assert levels.pop("Cluster/nodes") == "failure"
        assert levels.pop("Cluster/watch") == "skipped"  # there is no pod whose metrics could be asked for
        assert levels == {
            "Cluster/reached": "ok", "Cluster/clock": "ok", "Cluster/crd": "ok", "Cluster/access": "ok",
            "Cluster/operator": "ok", "Cluster/jobs": "ok",
            "Storage/reached": "ok", "Storage/clock": "ok", "Storage/conditional-writes": "ok",
        }  # fmt: skip
        assert "MB/s" in told["Storage/bandwidth"]["message"]

    def test_text_is_for_people_and_yaml_for_programs(self, place: CommandPlace) -> None:
        text = place.run("doctor").out
        assert text.startswith("Cluster\n")
        assert "Storage\n  skipped  reached" in text
        assert yaml.safe_load(place.run("doctor", "-o", "yaml").out)["version"] == 1


class TestBrokenSetUp:
    def test_without_an_operator(self, place: CommandPlace) -> None:
        told = found(place, code=1)["Cluster/operator"]
        assert (told["level"], "helm install" in told["advice"]) == ("failure", True)

    def test_after_the_operator_died(self, place: CommandPlace, api_server: ControlPlane) -> None:
        lease = {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": cluster.MANAGER, "namespace": place.namespace},
            "spec": {"holderIdentity": "gone", "leaseDurationSeconds": 10, "renewTime": "2026-01-01T00:00:00.000000Z"},
        }  # fmt: skip
        place.kubectl.apply(lease)
        assert found(place, code=1)["Cluster/operator"]["level"] == "failure"

    def test_without_a_role(self, place: CommandPlace, api_server: ControlPlane) -> None:
        user = f"stranger-{place.namespace}"
        options = ("-n", place.namespace, "--kubeconfig", str(api_server.kubeconfig_for(user)))
        told = found(place, *options, code=1)
        assert told["Cluster/access"]["level"] == "failure"
        assert "get, list, watch pretrainjobs.pretrain.dev" in told["Cluster/access"]["message"]
        assert told["Cluster/operator"]["level"] == told["Cluster/nodes"]["level"] == "skipped"

    def test_with_a_role_that_may_only_look(self, place: CommandPlace, api_server: ControlPlane) -> None:
        user, scope = f"viewer-{place.namespace}", ("-n", place.namespace)
        place.kubectl("create", "role", "view", "--verb=get,list,watch", "--resource=pretrainjobs.pretrain.dev", *scope)
        place.kubectl("create", "rolebinding", "view", "--role=view", f"--user={user}", *scope)
        printed = place.run("doctor", *scope, "--kubeconfig", str(api_server.kubeconfig_for(user)))
        assert "may not create, patch, delete pretrainjobs.pretrain.dev" in printed.out
        assert "may not get pods/log" in printed.out
        assert "skipped  crd" in printed.out

    def test_with_a_secret_that_is_missing(self, place: CommandPlace, s3_server: S3Server) -> None:
        file = job_in(place, s3_server, "doctor-no-secret")
        place.kubectl("delete", "secret", CREDENTIALS, "-n", place.namespace)
        told = found(place, file, code=1)["Storage/credentials"]
        assert (told["level"], CREDENTIALS in told["message"]) == ("failure", True)

    def test_with_wrong_keys_in_the_secret(self, place: CommandPlace, s3_server: S3Server) -> None:
        file = job_in(place, s3_server, "doctor-keys", AWS_SECRET_ACCESS_KEY="wrong")
        assert "may not be read or written" in found(place, file, code=1)["Storage/reached"]["message"]

    def test_a_folder_of_the_pods_is_not_looked_for_here(self, place: CommandPlace) -> None:
        told = found(place, place.file(), "--set", "spec.storage.uri=/data/run", code=1)["Storage/reached"]
        assert (told["level"], "python -m pretrain_trainer.diagnosing" in told["advice"]) == ("skipped", True)

    def test_a_server_that_does_not_answer_is_one_finding(self, place: CommandPlace) -> None:
        content = json.loads(place.kubeconfig.read_text())
        content["clusters"][0]["cluster"] = {"server": "http://127.0.0.1:1"}
        (place.folder / "nowhere").write_text(json.dumps(content))
        told = found(place, "--kubeconfig", str(place.folder / "nowhere"), code=1)
        assert [check for check in told if check.startswith("Cluster")] == ["Cluster/reached"]
        assert "does not answer" in told["Cluster/reached"]["message"]


class TestLocal:
    def test_looks_at_this_machine_and_at_no_cluster(self, place: CommandPlace) -> None:
        told = found(place, "--local", str(place.folder / "run"), code=0)
        assert {check.partition("/")[0] for check in told} == {"Machine", "Storage"}

    def test_is_what_happens_without_a_kubeconfig(
        self, place: CommandPlace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("KUBECONFIG")
        monkeypatch.setenv("HOME", str(tmp_path))
        told = found(place, code=0)
        assert told["Cluster/reached"]["level"] == "skipped"
        assert told["Machine/libraries"]["level"] == "ok"
