"""What a job's children look like: functions of the job alone, golden files in the tests. Nothing is sent from here."""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pretrain_api import cluster
from pretrain_api.stages import Stage
from pretrain_api.types import API_VERSION, KIND, PretrainJob
from pretrain_operator.bodies.kubernetes import gangs
from pretrain_operator.bodies.kubernetes.client import (
    CONFIG_MAPS,
    JOBS,
    NETWORK_POLICIES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    SERVICES,
    Manifest,
    Resource,
)
from pretrain_operator.brain import edits, lifecycle
from pretrain_operator.brain.plan import StartStage

USER = 65532
"""The user of the trainer image."""
_CONTAINER = "main"
_ORDINARY = ("cpu", "memory", "ephemeral-storage")
"""Resources that stages other than training ask for; accelerators are left for others meanwhile."""
_STAGE_GRACE_SECONDS = 60
_RETRIES_PER_INDEX = 2
_NODE_LOST_SECONDS = 30
"""How long a training worker stays bound to a node that does not answer; the cluster's default is five minutes."""
_STOPPED_CODES = (75, 143)
"""Exit codes of a program that was asked to leave: not its fault."""
_USER_ERROR_CODE = 2


@dataclass(frozen=True)
class PodSettings:
    """What the operator's own settings decide about the pods."""

    image: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    """Names of Secrets in each job's namespace."""

    @property
    def digest(self) -> str:
        """What a pod was made with; one that never ran is made again when it differs."""
        text = " ".join((self.image, self.pull_policy, *self.pull_secrets))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Owner:
    """The PretrainJob that children belong to."""

    job: PretrainJob
    """With the accepted spec."""
    uid: str

    @property
    def name(self) -> str:
        return self.job.metadata.name

    @property
    def namespace(self) -> str:
        return self.job.metadata.namespace

    @functools.cached_property
    def spec_digest(self) -> str:
        """Identity of the spec; asked for by each of thousands of pods."""
        return edits.digest(self.job.spec)


def surroundings(owner: Owner) -> list[tuple[Resource, Manifest]]:
    """What all pods of a job need: identity, permissions, network, and the ConfigMaps that they talk through."""
    name = owner.name
    world, report = cluster.world_name(name), cluster.report_name(name)
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [world], "verbs": ["get", "watch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [report], "verbs": ["get", "patch"]},
    ]
    own_pods = {"matchLabels": {cluster.LABEL_JOB: name}}
    training = {cluster.LABEL_JOB: name, cluster.LABEL_STAGE: Stage.TRAIN.lower()}
    binding = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": owner.namespace}],
    }
    # Whoever scrapes has no label that is known here.
    scrapers = {"ports": [{"port": cluster.METRICS_PORT_NAME, "protocol": "TCP"}]}
    ingress = [{"from": [{"podSelector": own_pods}]}, scrapers]
    policy = {"podSelector": own_pods, "policyTypes": ["Ingress"], "ingress": ingress}
    service = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": training}
    port = {"name": "rendezvous", "port": cluster.MASTER_PORT, "protocol": "TCP", "targetPort": cluster.MASTER_PORT}
    return [
        (SERVICE_ACCOUNTS, _child(owner, SERVICE_ACCOUNTS, name)),
        (ROLES, _child(owner, ROLES, name) | {"rules": rules}),
        (ROLE_BINDINGS, _child(owner, ROLE_BINDINGS, name) | binding),
        (NETWORK_POLICIES, _child(owner, NETWORK_POLICIES, name) | {"spec": policy}),
        (SERVICES, _child(owner, SERVICES, cluster.service_name(name)) | {"spec": {**service, "ports": [port]}}),
        (CONFIG_MAPS, _child(owner, CONFIG_MAPS, world)),
        (CONFIG_MAPS, _child(owner, CONFIG_MAPS, report)),
    ]


def job_config(owner: Owner) -> Manifest:
    """The immutable ConfigMap with the job as its pods read it."""
    spec = owner.job.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    metadata = {"name": owner.name, "namespace": owner.namespace}
    content = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}
    child = _child(owner, CONFIG_MAPS, job_config_name(owner))
    return child | {"immutable": True, "data": {cluster.JOB_FILE: json.dumps(content, indent=1, sort_keys=True)}}


def job_config_name(owner: Owner) -> str:
    return cluster.job_name(owner.name, owner.spec_digest)


def phase_job(owner: Owner, start: StartStage, settings: PodSettings) -> Manifest:
    """The Indexed Job of a phase."""
    name = cluster.phase_name(owner.name, start.stage, start.attempt, start.phase)
    labels = {**_start_labels(start), cluster.LABEL_PHASE: start.phase}
    arguments = ["--phase", start.phase, "--parts", str(start.parts)]
    spec = {
        "completionMode": "Indexed",
        "completions": start.parts,
        "parallelism": start.parts,
        # One pod alone is tried again by the brain, which counts; of many, one failed index need not stop the others.
        "backoffLimitPerIndex": _RETRIES_PER_INDEX if start.parts > 1 else 0,
        "maxFailedIndexes": 0,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": _CONTAINER, "operator": "In", "values": [_USER_ERROR_CODE]},
                },
                {
                    "action": "Ignore",
                    "onExitCodes": {"containerName": _CONTAINER, "operator": "In", "values": list(_STOPPED_CODES)},
                },
            ]
        },
        "template": {
            "metadata": {
                "labels": _labels(owner, labels, of_pod=True),
                "annotations": _annotations(owner, settings),
            },
            "spec": _pod_spec(owner, start, settings, arguments),
        },
    }
    child = _child(owner, JOBS, name, {**labels, **gangs.queue_labels(owner.job.spec)})
    child["metadata"]["annotations"] = {cluster.ANNOTATION_MADE_WITH: settings.digest}
    return child | {"spec": spec}


def training_pod(owner: Owner, start: StartStage, worker: int, settings: PodSettings) -> Manifest:
    """The pod of a training worker."""
    name = cluster.worker_name(owner.name, worker, start.attempt)
    labels = {**_start_labels(start), cluster.LABEL_WORKER: str(worker)}
    child = _child(owner, PODS, name)
    group_name = cluster.group_name(owner.name, start.attempt)
    group = gangs.group(owner.job.spec, group_name, start.parts)
    queue_labels, queue_annotations = gangs.queued(owner.job.spec, group_name, start.parts)
    labels = {**labels, **queue_labels, **(group.labels if group else {})}
    child["metadata"]["labels"] = _labels(owner, labels, of_pod=True)
    child["metadata"]["annotations"] = {
        **_SCRAPED, **_annotations(owner, settings), **queue_annotations, **(group.annotations if group else {})
    }  # fmt: skip
    metrics = ["--metrics-port", str(cluster.METRICS_PORT)]
    return child | {"spec": _pod_spec(owner, start, settings, metrics) | (group.pod_spec if group else {})}


def pod_group(owner: Owner, start: StartStage) -> tuple[gangs.Group, Manifest] | None:
    """The group of the workers of a start, and its object; None where the job asks for none."""
    name = cluster.group_name(owner.name, start.attempt)
    group = gangs.group(owner.job.spec, name, start.parts)
    if group is None:
        return None
    return group, _child(owner, group.resource, name, _start_labels(start)) | {"spec": group.spec}


def _pod_spec(owner: Owner, start: StartStage, settings: PodSettings, arguments: Sequence[str] = ()) -> Manifest:
    spec, is_training = owner.job.spec, start.stage is Stage.TRAIN
    template = spec.workers.template
    command = ["python", "-m", "pretrain_trainer.pod", "--stage", start.stage.value]
    command += ["--job", f"{cluster.JOB_FOLDER}/{cluster.JOB_FILE}"]
    for stage, fingerprint in start.upstream.items():
        command += ["--upstream", f"{stage.value}={fingerprint}"]
    mounts = [
        {"name": "job", "mountPath": cluster.JOB_FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    volumes: list[Manifest] = [
        {"name": "job", "configMap": {"name": job_config_name(owner)}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if is_training:  # the ranks of a worker talk through shared memory; a container's own 64 MiB are too little
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory"}})
    container = {
        "name": _CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "command": [*command, *arguments, "--attempt", str(start.attempt)],
        "env": [*_environment(owner), *template.env],
        "resources": _resources(owner, is_training),
        "volumeMounts": [*mounts, *template.volume_mounts],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    if is_training:
        port = {"name": cluster.METRICS_PORT_NAME, "containerPort": cluster.METRICS_PORT, "protocol": "TCP"}
        container["ports"] = [port]
    found: Manifest = {
        "restartPolicy": "Never",
        "serviceAccountName": owner.name,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": round(lifecycle.STOP_GRACE_SECONDS) if is_training else _STAGE_GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [*volumes, *template.volumes],
    }
    tolerations = [*template.tolerations, *(_NODE_LOST if is_training else [])]
    optional: Manifest = {
        "nodeSelector": dict(template.node_selector),
        "tolerations": tolerations,
        "affinity": template.affinity,
        "priorityClassName": spec.scheduling.priority_class_name,
        "imagePullSecrets": [{"name": name} for name in settings.pull_secrets],
    }
    return found | {key: value for key, value in optional.items() if value}


_SCRAPED = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": str(cluster.METRICS_PORT),
    "prometheus.io/path": "/metrics",
}
"""What many a Prometheus without its operator looks for; a job's own annotations may say otherwise."""
_NODE_LOST = [
    {
        "key": f"node.kubernetes.io/{state}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": _NODE_LOST_SECONDS,
    }
    for state in ("not-ready", "unreachable")
]


def _environment(owner: Owner) -> list[Manifest]:
    fields = {
        cluster.ENV_NAMESPACE: "metadata.namespace",
        cluster.ENV_POD_NAME: "metadata.name",
        cluster.ENV_POD_UID: "metadata.uid",
        cluster.ENV_POD_IP: "status.podIP",
        cluster.ENV_NODE: "spec.nodeName",
    }
    found: list[Manifest] = [
        {"name": "HOME", "value": "/tmp"},
        {"name": cluster.ENV_JOB_NAME, "value": owner.name},
        {"name": cluster.ENV_WORLD, "value": cluster.world_name(owner.name)},
        {"name": cluster.ENV_REPORT, "value": cluster.report_name(owner.name)},
    ]
    found += [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    if secret := owner.job.spec.storage.secret_ref:
        found += [
            {"name": key, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": key}}}
            for key in cluster.CREDENTIAL_KEYS
        ]
        found += [
            {"name": key, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": key, "optional": True}}}
            for key in cluster.OPTIONAL_CREDENTIAL_KEYS
        ]
    return found


def _resources(owner: Owner, is_training: bool) -> Manifest:
    wanted = owner.job.spec.workers.resources
    lists = {"limits": wanted.limits, "requests": wanted.requests}
    return {
        kind: {name: str(amount) for name, amount in amounts.items() if is_training or name in _ORDINARY}
        for kind, amounts in lists.items()
        if any(is_training or name in _ORDINARY for name in amounts)
    }


def _child(owner: Owner, resource: Resource, name: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    reference = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": resource.group_version,
        "kind": resource.kind,
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": _labels(owner, labels or {}),
            "ownerReferences": [reference],
        },
    }


def _labels(owner: Owner, own: Mapping[str, str], of_pod: bool = False) -> dict[str, str]:
    template = dict(owner.job.spec.workers.template.labels) if of_pod else {}
    stage = own.get(cluster.LABEL_STAGE)
    return {
        **template,
        cluster.LABEL_NAME: cluster.APP_NAME,
        cluster.LABEL_INSTANCE: owner.name,
        **({cluster.LABEL_COMPONENT: stage} if stage else {}),
        cluster.LABEL_MANAGED_BY: cluster.MANAGER,
        cluster.LABEL_JOB: owner.name,
        **own,
    }


def _start_labels(start: StartStage) -> dict[str, str]:
    return {cluster.LABEL_STAGE: start.stage.lower(), cluster.LABEL_ATTEMPT: str(start.attempt)}


def _annotations(owner: Owner, settings: PodSettings) -> dict[str, str]:
    return {**owner.job.spec.workers.template.annotations, cluster.ANNOTATION_MADE_WITH: settings.digest}
