"""Names that the operator, the pods of a job, the chart and the command line share in a cluster.

No file format lives here; what is written into these objects is in `pretrain_api.report`, `pretrain_api.world` and
`pretrain_api.events`.
"""

import hashlib

from pretrain_api.stages import Stage

_LONGEST_NAME = 52

GROUP = "pretrain.dev"
VERSION = "v1alpha1"
PLURAL = "pretrainjobs"
SINGULAR = "pretrainjob"
MANAGER = "pretrain-operator"
"""Field manager of server-side apply, name of the Lease, value of LABEL_MANAGED_BY."""
CLI_MANAGER = "pretrain"
"""Field manager of what the command line applies and changes."""
FINALIZER = f"{GROUP}/operator"
"""On a PretrainJob until its workers are stopped. Set and removed by the operator."""

LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_JOB = f"{GROUP}/job"
"""Name of the PretrainJob, on every child. The operator's caches and the command line select by it."""
LABEL_STAGE = f"{GROUP}/stage"
"""Stage in lower case, on pods and Jobs."""
LABEL_ATTEMPT = f"{GROUP}/attempt"
"""Number of the stage's start that a pod or Job belongs to."""
LABEL_PHASE = f"{GROUP}/phase"
"""Phase of the stage, on Jobs and their pods."""
LABEL_WORKER = f"{GROUP}/worker"
"""Index of a training worker, on its pod."""
ANNOTATION_MADE_WITH = f"{GROUP}/made-with"
"""On pods and Jobs: digest of the operator's settings that they were made with. Written and read by the operator."""
CREDENTIAL_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
"""Keys of the Secret in spec.storage.secretRef, and the environment variables that they become in every pod."""
OPTIONAL_CREDENTIAL_KEYS = ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION")
"""Keys that this Secret may have beside them, with the meaning that they have for every S3 client."""
APP_NAME = "pretrain"
"""Value of LABEL_NAME."""

JOB_FOLDER = "/etc/pretrain"
JOB_FILE = "job.json"
"""Key of the job's ConfigMap, and the file's name below JOB_FOLDER in every pod."""
WORLD_KEY = "world"
REPORT_KEY = "report"
SILENCE_KEY = "silence"
"""Beside the report, in its ConfigMap."""
MASTER_PORT = 29400
"""Port of the training processes' rendezvous on the leader's pod."""
METRICS_PORT = 8080
METRICS_PORT_NAME = "metrics"
"""Of /metrics on every training pod. Named and opened by the operator, served by the pod's program, asked by Prometheus."""

ENV_JOB_NAME = "PRETRAIN_JOB_NAME"
ENV_NAMESPACE = "PRETRAIN_NAMESPACE"
ENV_POD_NAME = "PRETRAIN_POD_NAME"
ENV_POD_UID = "PRETRAIN_POD_UID"
ENV_POD_IP = "PRETRAIN_POD_IP"
ENV_NODE = "PRETRAIN_NODE"
ENV_WORLD = "PRETRAIN_WORLD"
"""Name of the world's ConfigMap. Set by the operator in every pod, read by the pod's program."""
ENV_REPORT = "PRETRAIN_REPORT"
"""Name of the report's ConfigMap."""

ENV_INDEX = "JOB_COMPLETION_INDEX"
"""Index of a pod in its Indexed Job. Set by Kubernetes, read by the pod's program."""
RESERVED_LABELS = (LABEL_NAME, LABEL_INSTANCE, LABEL_COMPONENT, LABEL_MANAGED_BY)
"""Of pods, beside those of the group: written by the operator."""
RESERVED_VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "ROLE_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    ENV_INDEX,
)
"""Environment variables of a rank's place among the others (those of torchrun): set by the workers' agent."""
RESERVED_PREFIXES = ("PRETRAIN_", "TORCHELASTIC_")
"""Of further such variables, and those that the operator sets."""

TERMINATION_LOG = "/dev/termination-log"
"""File that a pod's program leaves the Outcome in; the container's `terminationMessagePath`. Read by the operator."""


def world_name(job: str) -> str:
    """ConfigMap with the roster: written by the operator, read by the training workers."""
    return f"{job}-world"


def report_name(job: str) -> str:
    """ConfigMap with the newest figures: made by the operator, patched by one of the job's pods."""
    return f"{job}-report"


def job_name(job: str, digest: str) -> str:
    """Immutable ConfigMap with the job as its pods read it."""
    return f"{job}-job-{digest[:8]}"


def phase_name(job: str, stage: Stage, attempt: int, phase: str) -> str:
    """Indexed Job of one phase of one start of a stage."""
    return shortened(f"{job}-{stage.lower()}-{attempt}-{phase}")


def worker_name(job: str, worker: int, attempt: int) -> str:
    """Pod of a training worker."""
    return shortened(f"{job}-w{worker}-{attempt}")


def group_name(job: str, attempt: int) -> str:
    """The workers of one start of training, where they are queued or placed together."""
    return shortened(f"{job}-{Stage.TRAIN.lower()}-{attempt}")


def service_name(job: str) -> str:
    """Headless Service of the training pods; a Service's name begins with a letter."""
    return job if job[0].isalpha() else f"{APP_NAME}-{job}"


def shortened(name: str) -> str:
    """The name itself, or its beginning with a hash where it is too long for a DNS label (63) or a label's value.

    52 characters is what an Indexed Job may have: its pods' names carry an index of up to ten more.
    """
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9].rstrip('-')}-{digest}"
