"""What keeps a job's children from running, in words that name the object and the field to change. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from pretrain_api.types import PretrainJobSpec
from pretrain_operator.bodies.kubernetes.gangs import Group
from pretrain_operator.bodies.kubernetes.observe import Children
from pretrain_operator.bodies.kubernetes.seen import BatchJob, Pod
from pretrain_operator.brain.observed import Trouble

PATIENCE = timedelta(seconds=10)
"""How long pods may take to be placed and made ready without a word about it."""
_IMAGE = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
_HARMLESS = ("MissingClusterDNS", "DNSConfigForming", "CheckLimitsForResolvConf")
"""Reasons of warnings about pods that start all the same (kubelet's pkg/kubelet/events and network/dns)."""
_CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_FIELD_OF_POD = re.compile(
    r"\bspec\.(?:containers\[0\]\.)?(env|volumeMounts|volumes|tolerations|affinity|nodeSelector|resources)\b"
)
"""As the API server names a field of a pod, or of a Job's pods, that comes from the job."""


def of_pods(children: Children, spec: PretrainJobSpec, said: Mapping[str, str], now: datetime) -> Iterator[Trouble]:
    """Troubles of pods and Jobs. `said`: by uid, what the cluster's events say about those that do not get on."""
    for pod in sorted(children.pods, key=lambda p: p.name):
        if pod.is_over or pod.leave_by or pod.is_running:
            continue
        if pod.waits_for in _IMAGE:
            yield Trouble(
                pod.waits_for,
                f"Pod {pod.name} cannot pull image {pod.image}: {pod.waits_message or pod.waits_for}. Push the image, or "
                "give the operator another one (--trainer-image, in the chart trainer.image); it goes on by itself.",
            )
        elif pod.waits_for in _CONFIG:
            yield _config_trouble(pod, spec)
        elif pod.unschedulable and now - (pod.unschedulable_since or pod.created) >= PATIENCE:
            yield _placement_trouble(pod)
        elif pod.uid in said:
            yield Trouble("NotStarting", f"Pod {pod.name} does not start: {_with_place(said[pod.uid])}")
    for job in children.jobs.values():
        if job.uid in said:
            yield Trouble("PodsRefused", f"Job {job.name} cannot make its pods: {_with_place(said[job.uid])}")


def in_doubt(children: Children, now: datetime) -> list[Pod | BatchJob]:
    """Children that do not get on and do not say why; the cluster's events may.

    A pod that has no node yet waits for a scheduler or for Kueue: what there is to say about it is in its conditions.
    """
    pods: Iterable[Pod | BatchJob] = [
        pod
        for pod in children.pods
        if pod.node
        and not (pod.is_over or pod.leave_by or pod.is_running)
        and pod.waits_for in ("", "ContainerCreating", "PodInitializing")
        and now - pod.created >= PATIENCE
    ]
    owners = {pod.owner for pod in children.pods}
    jobs = [
        job
        for job in children.jobs.values()
        if not (job.is_complete or job.is_failed or job.is_leaving or job.is_suspended)
        and job.uid not in owners
        and now - job.created >= PATIENCE
    ]
    return [*list(pods)[:3], *jobs]


def newest_warning(events: Iterable[Mapping[str, Any]]) -> str:
    """Of events about one object, the message of the newest that may keep it from starting."""
    found = [event for event in events if event.get("reason") not in _HARMLESS]
    newest = max(found, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "", default=None)
    return str(newest.get("message", "")) if newest else ""


def is_waiting(children: Children) -> bool:
    """Whether a pod does not run yet, or a Job has not made any."""
    owners = {pod.owner for pod in children.pods}
    return any(not (p.is_over or p.leave_by or p.is_running) for p in children.pods) or any(
        not (j.is_complete or j.is_failed or j.is_leaving) and j.uid not in owners for j in children.jobs.values()
    )


def refused(kind: str, name: str, message: str) -> Trouble:
    """The API server did not take a child."""
    return Trouble("PodsRefused", f"{kind} {name} was refused: {_with_place(message)}")


def _placement_trouble(pod: Pod) -> Trouble:
    message = _sentence(pod.unschedulable)
    if "persistentvolumeclaim" in message.lower():  # no node is looked at before the claims are there and bound
        return Trouble(
            "VolumeMissing",
            f"Pod {pod.name} waits for its volumes: {message} Create or mend the PersistentVolumeClaim, or change "
            "spec.workers.template.volumes; it goes on by itself.",
        )
    return Trouble(
        "Unschedulable",
        f"Pod {pod.name} fits on no node: {message} Add nodes, or change spec.workers.resources, "
        "spec.workers.template.nodeSelector, .affinity, .tolerations or .volumes.",
    )


def no_gangs(group: Group, message: str) -> Trouble:
    """The object that a gang scheduler wants cannot be made: the cluster does not know its kind, or forbids it."""
    kind = f"{group.resource.kind} of {group.resource.group_version}"
    return Trouble(
        "GangUnavailable",
        f"No {kind} can be made ({message.strip()}). Install the scheduler that it belongs to and name it in the chart's "
        f"rbac.gangs, or change {group.asked_by}; it goes on by itself.",
    )


def is_queued(children: Children) -> bool:
    """Whether a queue holds something back that was started."""
    return any(p.is_gated and not (p.is_over or p.leave_by) for p in children.pods) or any(
        j.is_suspended and not (j.is_complete or j.is_failed or j.is_leaving) for j in children.jobs.values()
    )


def _config_trouble(pod: Pod, spec: PretrainJobSpec) -> Trouble:
    message, secret = pod.waits_message, spec.storage.secret_ref
    if secret and secret.name in message:
        return Trouble(
            "SecretMissing",
            f"Pod {pod.name} needs Secret {secret.name} with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: "
            f"{message}. Create it, or change spec.storage.secretRef; it goes on by itself.",
        )
    return Trouble(
        pod.waits_for,
        f"Pod {pod.name} cannot be set up: {message}. Mend what it names, or change spec.workers.template "
        "(env, volumes, volumeMounts); it goes on by itself.",
    )


def _with_place(message: str) -> str:
    return f"{_sentence(message)} {_place(message)}"


def _sentence(message: str) -> str:
    """What others say ends with a full stop or without one."""
    return f"{message.rstrip('. ')}."


def _place(message: str) -> str:
    """Where to look, by what the cluster says."""
    text = message.lower()
    if field := _FIELD_OF_POD.search(message):
        name = field.group(1)
        return f"That comes from spec.workers.{name if name == 'resources' else f'template.{name}'}; mend it there."
    if "quota" in text:
        return "Raise the ResourceQuota of the namespace, or lower spec.workers.max or spec.workers.resources."
    if "volume" in text or "mount" in text:
        return "Mend the volume, or change spec.workers.template.volumes."
    if "serviceaccount" in text or "service account" in text:
        return "The operator makes the ServiceAccount of the job again by itself."
    if "podsecurity" in text:
        return "Change spec.workers.template so that the pods fit the namespace's Pod Security level."
    if "priorityclass" in text or "priority class" in text:
        return "Create the PriorityClass, or change spec.scheduling.priorityClassName."
    if "limitrange" in text or "usage per" in text:
        return "Change the LimitRange of the namespace, or spec.workers.resources."
    return "Mend what it names; it goes on by itself."
