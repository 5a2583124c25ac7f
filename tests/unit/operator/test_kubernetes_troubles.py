"""What keeps pods from running, in words that name the object and the field."""

from datetime import timedelta
from typing import Any

import pytest
from support.jobs import a_job
from support.stage_runs import NOON

from pretrain_operator.bodies.kubernetes import seen, troubles
from pretrain_operator.bodies.kubernetes.observe import Children
from pretrain_operator.brain.observed import Trouble

LATER = NOON + timedelta(seconds=20)
SPEC = a_job().with_spec(storage={"uri": "s3://bucket/run", "secretRef": {"name": "store-key"}}).spec
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available.",
    "lastTransitionTime": "2026-01-01T12:00:00Z",
}


def a_pod(node: str = "", **status: Any) -> seen.Pod:
    metadata = {"name": "gpt-w0-1", "uid": "u", "creationTimestamp": "2026-01-01T12:00:00Z", "labels": {}}
    spec = {"containers": [{"image": "trainer:1"}], "nodeName": node}
    return seen.POD.of({"metadata": metadata, "spec": spec, "status": status})


def waiting(reason: str, message: str = "") -> seen.Pod:
    state = {"waiting": {"reason": reason, "message": message}}
    return a_pod(node="a17", phase="Pending", containerStatuses=[{"state": state}])


def found(*pods: seen.Pod, said: dict[str, str] | None = None) -> list[Trouble]:
    return list(troubles.of_pods(Children(pods, {}, {}), SPEC, said or {}, LATER))


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "ErrImagePull", "InvalidImageName"])
def test_an_image_that_cannot_be_pulled_names_pod_image_and_flag(reason: str) -> None:
    [trouble] = found(waiting(reason, "not found"))
    assert trouble.reason == reason
    for part in ("Pod gpt-w0-1", "trainer:1", "not found", "--trainer-image"):
        assert part in trouble.message


def test_a_missing_secret_names_it_and_its_field() -> None:
    [trouble] = found(waiting("CreateContainerConfigError", 'secret "store-key" not found'))
    assert trouble.reason == "SecretMissing"
    assert "spec.storage.secretRef" in trouble.message


def test_another_bad_reference_names_the_template() -> None:
    [trouble] = found(waiting("CreateContainerConfigError", 'configmap "other" not found'))
    assert "spec.workers.template" in trouble.message


def test_a_pod_that_fits_nowhere_names_the_fields_after_a_moment() -> None:
    pod = a_pod(phase="Pending", conditions=[UNSCHEDULABLE])
    [trouble] = found(pod)
    assert "0/3 nodes are available." in trouble.message
    assert "spec.workers.template.nodeSelector" in trouble.message
    assert list(troubles.of_pods(Children([pod], {}, {}), SPEC, {}, NOON + timedelta(seconds=5))) == []


def test_a_pod_that_is_to_take_a_lost_worker_s_place_is_named_beside_those_that_run() -> None:
    runs = a_pod(node="a17", phase="Running", containerStatuses=[{"state": {"running": {"startedAt": None}}}])
    [trouble] = found(runs, a_pod(phase="Pending", conditions=[UNSCHEDULABLE]))
    assert trouble.reason == "Unschedulable"


def test_a_pod_that_waits_for_a_claim_names_the_claim_and_the_volumes() -> None:
    message = 'persistentvolumeclaim "data" not found.'
    [trouble] = found(a_pod(phase="Pending", conditions=[{**UNSCHEDULABLE, "message": message}]))
    assert trouble.reason == "VolumeMissing"
    assert message in trouble.message
    assert "spec.workers.template.volumes" in trouble.message
    assert "nodes" not in trouble.message


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ('MountVolume.SetUp failed for volume "data": not found', "spec.workers.template.volumes"),
        ("exceeded quota: small, requested: pods=1", "ResourceQuota"),
        ("no PriorityClass with name high was found", "spec.scheduling.priorityClassName"),
        ('violates PodSecurity "restricted:latest"', "Pod Security"),
        ('spec.template.spec.containers[0].env[12].valueFrom: Invalid value: ""', "spec.workers.template.env"),
        ('spec.tolerations[2].operator: Invalid value: "Is"', "spec.workers.template.tolerations"),
        ("spec.template.spec.containers[0].resources.limits[a/b]: Invalid value", "spec.workers.resources;"),
    ],
)
def test_what_the_cluster_s_events_say_leads_to_a_place(said: str, place: str) -> None:
    [trouble] = found(waiting("ContainerCreating"), said={"u": said})
    assert said in trouble.message
    assert place in trouble.message


def test_a_pod_that_runs_or_leaves_is_no_trouble() -> None:
    running = a_pod(phase="Running", containerStatuses=[{"state": {"running": {}}}])
    assert found(running) == []


def test_only_pods_that_do_not_get_on_are_asked_about() -> None:
    children = Children([waiting("ContainerCreating"), waiting("ImagePullBackOff")], {}, {})
    assert len(troubles.in_doubt(children, LATER)) == 1
    assert troubles.in_doubt(children, NOON) == []


def test_a_gated_pod_is_queued_and_neither_stuck_nor_in_doubt() -> None:
    metadata = {"name": "gpt-w0-1", "uid": "u", "creationTimestamp": "2026-01-01T12:00:00Z", "labels": {}}
    gates = [{"name": "kueue.x-k8s.io/admission"}]
    pod = seen.POD.of({"metadata": metadata, "spec": {"schedulingGates": gates}, "status": {"phase": "Pending"}})
    children = Children([pod], {}, {})
    assert troubles.is_queued(children)
    assert (found(pod), troubles.in_doubt(children, LATER)) == ([], [])


def test_a_suspended_job_is_queued_until_it_leaves() -> None:
    metadata = {"name": "gpt-collect-1", "uid": "u", "creationTimestamp": "2026-01-01T12:00:00Z", "labels": {}}
    job = seen.BATCH_JOB.of({"metadata": metadata, "spec": {"suspend": True}, "status": {}})
    leaving = {**metadata, "deletionTimestamp": "2026-01-01T12:00:01Z"}
    children = Children([], {"gpt-collect-1": job}, {})
    assert troubles.is_queued(children)
    assert troubles.in_doubt(children, LATER) == []
    gone = seen.BATCH_JOB.of({"metadata": leaving, "spec": {"suspend": True}, "status": {}})
    assert not troubles.is_queued(Children([], {"gpt-collect-1": gone}, {}))


def test_a_pod_in_the_scheduler_s_queue_is_not_asked_about() -> None:
    assert troubles.in_doubt(Children([a_pod(phase="Pending")], {}, {}), LATER) == []


def test_the_newest_warning_that_may_keep_a_pod_from_starting_is_told() -> None:
    """A cluster without its own DNS warns at every start of a pod, which then starts."""

    def warning(second: int, reason: str) -> dict[str, str]:
        return {"lastTimestamp": f"2026-01-01T12:00:0{second}Z", "reason": reason, "message": f"{reason} it is"}

    harmless = [warning(9, "MissingClusterDNS"), warning(8, "DNSConfigForming")]
    assert troubles.newest_warning(harmless) == ""
    mounts = [warning(3, "FailedMount"), warning(5, "FailedAttachVolume"), warning(4, "FailedMount")]
    assert troubles.newest_warning([*mounts, *harmless]) == "FailedAttachVolume it is"
