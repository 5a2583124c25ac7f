"""What keeps a job from going on is shown within 30 s, with the object and the field, and mends without a new job."""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from support.charts import overlaid
from support.cluster.foreign import AnyCluster
from support.cluster.remote_job import RemoteJob, a_spec, keys
from support.cluster.volumes import shared_volume
from support.eventually import eventually

LATER = f"later-{secrets.token_hex(3)}"
"""What the cluster does not have before a test makes it: a bucket, a label of a node."""

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a job or around it."""

    spec: dict[str, Any]
    """Over that of a job without trouble."""
    shown: tuple[str, ...]
    """The object and the field."""
    mend: Callable[[RemoteJob], object]


def mounting(**source: Any) -> dict[str, Any]:
    """A spec whose pods have one more volume."""
    template = {"volumes": [{"name": "more", **source}], "volumeMounts": [{"name": "more", "mountPath": "/more"}]}
    return {"workers": {"template": template}}


def a_config(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


TROUBLES: Mapping[str, Trouble] = {
    "a-request-that-no-node-has": Trouble(
        {"workers": {"resources": {"requests": {"cpu": "1000"}}}},
        ("fits on no node", "Insufficient cpu", "spec.workers.resources"),
        lambda job: job.edit(workers={"resources": {"requests": {"cpu": "100m"}}}),
    ),
    "a-kind-of-node-that-is-not-there": Trouble(
        {"workers": {"template": {"nodeSelector": {"pretrain.dev/test": LATER}}}},
        ("fits on no node", "spec.workers.template.nodeSelector"),
        lambda job: job.cluster.kubectl("label", "nodes", "--all", f"pretrain.dev/test={LATER}"),
    ),
    "a-missing-config-map": Trouble(
        mounting(configMap={"name": "absent"}),
        ('configmap "absent" not found', "spec.workers.template.volumes"),
        lambda job: job.apply(a_config("absent")),
    ),
    "a-missing-claim": Trouble(
        mounting(persistentVolumeClaim={"claimName": "absent"}),
        ('persistentvolumeclaim "absent" not found', "spec.workers.template.volumes"),
        lambda job: job.apply(*shared_volume(job.cluster.folder / job.namespace, job.namespace, "absent")),
    ),
    "a-missing-secret": Trouble(
        {"storage": {"secretRef": {"name": "absent"}}},
        ("Secret absent", "spec.storage.secretRef"),
        lambda job: job.apply(keys(job.cluster, "absent")),
    ),
    "a-wrong-key": Trouble(
        {"storage": {"secretRef": {"name": "wrong"}}},
        ("[no-permission]", "spec.storage.secretRef"),
        lambda job: job.apply(keys(job.cluster, "wrong")),
    ),
    "a-missing-bucket": Trouble(
        {"storage": {"uri": f"s3://{LATER}/run"}},
        (LATER, "spec.storage.uri"),
        lambda job: job.cluster.s3.make_bucket(LATER),
    ),
    "a-server-that-is-not-there": Trouble(
        {"storage": {"endpointUrl": "http://127.0.0.1:9"}},
        ("http://127.0.0.1:9", "spec.storage.endpointUrl"),
        lambda job: job.edit(storage={"endpointUrl": job.cluster.s3.url}),
    ),
    "a-server-that-does-not-answer": Trouble(
        {"storage": {"endpointUrl": "http://192.0.2.1:9"}},
        ("http://192.0.2.1:9", "spec.storage.endpointUrl"),
        lambda job: job.edit(storage={"endpointUrl": job.cluster.s3.url}),
    ),
}


def missed(name: str, message: str) -> list[str]:
    """What of a trouble a message does not say."""
    return [word for word in TROUBLES[name].shown if word not in message]


@pytest.fixture(scope="module")
def jobs(installed: AnyCluster, corpus: str) -> Iterator[Mapping[str, RemoteJob]]:
    """All of them at once, since each has to wait. They have nothing in common but the nodes."""
    found = {}
    for name, trouble in TROUBLES.items():
        spec = overlaid(a_spec(installed, corpus), {"data": {"prepare": {"parallelism": 1}}, **trouble.spec})
        found[name] = RemoteJob.applied(installed, name, spec)
        found[name].apply(keys(installed, "wrong", AWS_SECRET_ACCESS_KEY="wrong"))
    yield found
    installed.kubectl("label", "nodes", "--all", "pretrain.dev/test-")
    for job in found.values():
        installed.kubectl("delete", "pv", job.namespace, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module")
def shown(jobs: Mapping[str, RemoteJob]) -> Mapping[str, str]:
    """What each job's Stalled condition says; empty where it does not come."""

    def look() -> dict[str, str]:
        conditions = {name: job.condition("Stalled") for name, job in jobs.items()}
        return {name: found["message"] if found["status"] == "True" else "" for name, found in conditions.items()}

    with contextlib.suppress(AssertionError):
        # 30 s is the promise; nine pods that start at once on a busy machine may need more to get there.
        eventually(look, lambda found: not any(missed(name, found[name]) for name in TROUBLES), 75, every_seconds=1)
    return look()


@pytest.fixture(scope="module")
def mended(jobs: Mapping[str, RemoteJob], shown: Mapping[str, str]) -> Mapping[str, dict[str, Any]]:
    """The status of each job that went on to the next stage once the cause of its trouble was gone."""
    for name, job in jobs.items():
        TROUBLES[name].mend(job)
    found: dict[str, dict[str, Any]] = {}

    def look() -> set[str]:
        for name in jobs.keys() - found.keys():
            status = jobs[name].status()
            if status["stages"][0]["state"] == "Complete":
                found[name] = status
                jobs[name].kubectl("delete", "pretrainjob", name, "--wait=false")  # it would train now
        return jobs.keys() - found.keys()

    with contextlib.suppress(AssertionError):
        eventually(look, lambda left: not left, 180, every_seconds=0.5)
    return found


@pytest.mark.parametrize("name", TROUBLES)
def test_is_named_with_the_object_and_the_field(shown: Mapping[str, str], name: str) -> None:
    assert missed(name, shown[name]) == [], shown[name]


@pytest.mark.parametrize("name", TROUBLES)
def test_goes_on_by_itself_once_it_is_mended(
    jobs: Mapping[str, RemoteJob], mended: Mapping[str, dict[str, Any]], name: str
) -> None:
    assert name in mended, jobs[name].status()
    stalled = {c["type"]: c for c in mended[name]["conditions"]}["Stalled"]
    assert (stalled["status"], stalled["reason"]) == ("False", "Mended")
    assert mended[name]["recovery"].get("failures", 0) == 0
