"""PretrainJob itself: metadata, spec and status together."""

from typing import Annotated, Final, Literal

from pydantic import Field

from pretrain_api.types.base import ApiModel, StringMap
from pretrain_api.types.data import Data
from pretrain_api.types.model import Model, Objective, Tokenizer
from pretrain_api.types.status import PretrainJobStatus
from pretrain_api.types.storage import Storage
from pretrain_api.types.training import Checkpoint, Evaluation, Export, HuggingFaceExport, Recovery, Training
from pretrain_api.types.workers import Scheduling, Workers

API_VERSION: Final = "pretrain.dev/v1alpha1"
KIND: Final = "PretrainJob"


class Metadata(ApiModel):
    """Name and labels. Fields that an API server adds are accepted and ignored."""

    model_config = {"extra": "ignore"}

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=52)]
    """Name of the job. 52 characters at most, so that the names of its workers fit."""
    namespace: Annotated[str, Field(max_length=63)] = "default"
    """Namespace."""
    labels: StringMap = {}
    """Labels."""
    annotations: StringMap = {}
    """Annotations."""


class PretrainJobSpec(ApiModel):
    """What is wanted: from raw documents to a trained, evaluated and exported model."""

    suspend: bool = False
    """true: stop after a checkpoint and give the workers back; false: go on."""
    storage: Storage
    """Where the run keeps everything it makes."""
    data: Data
    """The mixture and what happens to documents before training."""
    tokenizer: Tokenizer | None = None
    """Where the tokenizer comes from. Objectives of images alone (mae, simclr, dino) have none."""
    model: Model
    """The architecture."""
    objective: Objective
    """What the model learns."""
    training: Training
    """The training stage."""
    workers: Workers = Workers()
    """How many workers train."""
    recovery: Recovery = Recovery()
    """What counts as too many failures."""
    checkpoint: Checkpoint = Checkpoint()
    """When checkpoints are written and which are kept."""
    evaluation: Evaluation = Evaluation()
    """Evaluation during training and at the end."""
    export: Export = Export(hugging_face=HuggingFaceExport())
    """Forms in which the model leaves the run. Omitted: a Hugging Face folder; {}: none."""
    scheduling: Scheduling = Scheduling()
    """Queueing and gang scheduling."""
    active_deadline_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Seconds after its start at which the job fails, suspended time not counted. 0: none."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Seconds after which a finished job is deleted. Omitted: never."""


class PretrainJob(ApiModel):
    """One run, from raw documents to a trained, evaluated and exported model."""

    api_version: Literal["pretrain.dev/v1alpha1"] = API_VERSION
    """pretrain.dev/v1alpha1"""
    kind: Literal["PretrainJob"] = KIND
    """PretrainJob"""
    metadata: Metadata
    """Name and labels."""
    spec: PretrainJobSpec
    """What is wanted."""
    status: PretrainJobStatus = PretrainJobStatus()
    """What was recorded of a job, written by the operator or by `pretrain run`."""
