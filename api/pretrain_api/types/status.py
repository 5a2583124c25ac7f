"""What is recorded of a job: written by a body, read by people and by the next reconcile."""

from typing import Annotated, Literal

from pydantic import Field

from pretrain_api.types.base import ApiModel, Moment, ShortText, Text

StageState = Literal["Pending", "Running", "Complete", "Failed"]
State = Literal[
    "Pending",
    "Collecting",
    "Preparing",
    "Tokenizing",
    "Encoding",
    "Queued",
    "Starting",
    "Training",
    "Recovering",
    "Stalled",
    "Suspended",
    "Evaluating",
    "Exporting",
    "Reporting",
    "Succeeded",
    "Failed",
]

Activity = Literal[
    "Productive",
    "DataWait",
    "CheckpointStall",
    "Evaluation",
    "Compilation",
    "Recovery",
    "Queued",
    "Starting",
    "Suspended",
    "OtherStages",
    "Lost",
]


class Condition(ApiModel):
    """A fact about the job, in the form of Kubernetes conditions."""

    type: ShortText
    """Succeeded (the one summary: Unknown while the job works), Running, Checkpointed, Recovering, Stalled, Accepted or Suspended."""
    status: Literal["True", "False", "Unknown"]
    """True, False or Unknown."""
    reason: ShortText = ""
    """One word for machines."""
    message: Text = ""
    """A sentence for people; it ends in what to do next."""
    last_transition_time: Moment | None = None
    """When the status last changed."""
    observed_generation: int = 0
    """The spec's generation that the fact is about."""


class StageStatus(ApiModel):
    """One stage of the pipeline."""

    name: ShortText
    """Collect, Prepare, Tokenizer, Encode, Train, Evaluate, Export or Report."""
    state: StageState = "Pending"
    """Pending, Running, Complete or Failed."""
    fingerprint: ShortText = ""
    """Identity of the stage's inputs and settings, known once it is complete."""
    start_time: Moment | None = None
    """When it first started."""
    completion_time: Moment | None = None
    """When it completed."""
    attempts: int = 0
    """How often it was started."""
    phase: ShortText = ""
    """The part of the stage at work, or the one to go on with; empty: the first."""
    message: Text = ""
    """What it did, or why it failed."""
    documents_in: int = 0
    """Documents that went in, once it is complete; 0 where it is not about documents."""
    documents_out: int = 0
    """Documents that came out: what is missing was removed."""
    bytes_in: int = 0
    """Bytes of these documents' text."""
    bytes_out: int = 0
    """Bytes of text that came out."""


class LeftOut(ApiModel):
    """A worker whose neighbours say that it is gone, while nobody has seen yet how it ended."""

    uid: ShortText
    """Of its pod."""
    since: Moment
    """When the operator heard so."""


class World(ApiModel):
    """The workers that train together."""

    generation: int = 0
    """Number of the newest roster."""
    workers: int = 0
    """Workers that are wanted."""
    ready: int = 0
    """Members of the roster that run; before there is one, workers that run."""
    summary: ShortText = ""
    """Ready workers and those that are wanted, for people: 15/16."""
    lost: Annotated[list[ShortText], Field(max_length=65536)] = []
    """UIDs of workers whose loss was counted and that are not long gone, so that none is counted twice."""
    left_out: Annotated[list[LeftOut], Field(max_length=65536)] = []
    """Workers that the others do without already and whose loss is not counted yet: how they ended decides how it is."""


class Progress(ApiModel):
    """How far training is."""

    step: int = 0
    """Optimizer steps done."""
    total_steps: int = 0
    """Optimizer steps in all."""
    steps: ShortText = ""
    """Steps done and in all, for people: 1200/19073."""
    samples: int = 0
    """Samples seen."""
    tokens: int = 0
    """Tokens seen; 0 where samples are images."""
    loss: ShortText = ""
    """Loss of the newest step, a decimal number."""
    tokens_per_second: int | None = None
    """Throughput; none while nothing trains, and where samples are images."""
    samples_per_second: ShortText = ""
    """Sequences or images per second, a decimal number; empty while nothing trains."""
    throughput: ShortText = ""
    """Tokens per second or, where samples are images, images per second, for people: 1970 tokens/s."""
    mfu_ratio: ShortText = ""
    """Model FLOPs utilisation, a decimal number between 0 and 1; empty where the hardware's peak is unknown."""
    data_wait_ratio: ShortText = ""
    """Share of the time spent waiting for data."""
    estimated_completion_time: Moment | None = None
    """When training will end at the rate of the last minutes, pauses to evaluate and save included."""
    completion_error_seconds: int = 0
    """How many seconds sooner or later that may be, nine times of ten, by how the rate changed in the last minutes."""
    time_left: ShortText = ""
    """Time left until then, for people: 3h12m, or 3h12m±9m where that may be off by a hundredth or more."""
    update_time: Moment | None = None
    """When these figures were taken."""


class CheckpointStatus(ApiModel):
    """The newest complete checkpoint."""

    step: int = 0
    """Its step."""
    uri: Annotated[str, Field(max_length=4096)] = ""
    """Its place."""
    time: Moment | None = None
    """When it was committed."""


class Failure(ApiModel):
    """One failure: who, where, why."""

    stage: ShortText = ""
    """The stage that failed."""
    worker: ShortText = ""
    """The worker."""
    node: ShortText = ""
    """Its node."""
    rank: int = -1
    """The rank; -1 where there is none."""
    kind: ShortText = ""
    """One word: Exit, Signal, OutOfMemory, NonFinite, UserError ..."""
    message: Text = ""
    """Exit reason and last lines."""
    time: Moment | None = None
    """When it happened."""


class RecoveryRecord(ApiModel):
    """A recovery: how training went on after a loss."""

    kind: ShortText = ""
    """The rung of the ladder. Restart: the ranks were started again in place. Shrink: the workers that were left went on.
    Replace: others took the place of those that were lost. Grow: more came to those that were there. Restore: the stage was started again, and went on from a checkpoint."""
    worker: ShortText = ""
    """The worker that was lost, or that came; of a restart, the one whose rank was lost."""
    rank: int = -1
    """The rank that was lost; -1 where the roster changed."""
    cause: ShortText = ""
    """How it was lost: exit -9 (SIGKILL); or why the roster changed."""
    seconds: ShortText = ""
    """From the loss to the next step, a decimal number."""
    phases: ShortText = ""
    """Seconds of each phase, for people: stop 0.100, start 0.100, join 0.050, load 0.100, step 0.100; of Restore: wait 5.000,
    start 8.000."""
    lost_steps: int = 0
    """Steps that had to be done again; of Restore, those that had been told of."""
    time: Moment | None = None
    """When it was lost."""
    attempt: int = 0
    """The start of the Train stage that it belongs to."""
    number: int = 0
    """Which one it was within that start, from 1; 0 of Restore, by which it began."""


class RecoveryStatus(ApiModel):
    """Failures, disruptions and recoveries so far."""

    failures: int = 0
    """Failures since the start."""
    disruptions: int = 0
    """Disruptions since the start."""
    restarts: int = 0
    """How often ranks began again within a start of the stage since the job began: in place, or in another roster."""
    last_recovery: RecoveryRecord | None = None
    """The newest recovery."""
    recent_failures: Annotated[list[Moment], Field(max_length=1000)] = []
    """Times of the failures inside the window that progress has not reset."""
    waits: int = 0
    """Attempts in a row that found storage or credentials missing; they are tried again and not counted as failures."""
    progress_mark: int = -1
    """Step of the newest checkpoint when the window was last reset."""
    last_failure: Failure | None = None
    """The newest failure."""
    first_failure: Failure | None = None
    """The first failure of the present streak."""


class TimeSpent(ApiModel):
    """Time that went into one thing."""

    activity: Activity
    """Productive: steps that stand. DataWait: waiting for a batch. CheckpointStall: a checkpoint held up training. Evaluation: validation within training, and the stage Evaluate. Compilation: first steps, in which something is compiled. Recovery: from a loss until training went on. Queued: a queue held the job back. Starting: programs began, or ended without a fault. Suspended: nobody asked it to run. OtherStages: the stages around training. Lost: work that was done again, that changed nothing, or that no step which stands accounts for."""
    rung: ShortText = ""
    """Of a recovery: Restart, Shrink, Replace, Grow, or Restore for a new start from a checkpoint."""
    phase: ShortText = ""
    """Of a recovery: wait, stop, start, join or load."""
    seconds: ShortText = "0"
    """How long, a decimal number."""


class Goodput(ApiModel):
    """Where the time of the job went."""

    until: Moment | None = None
    """Every second from the start until then is in `spent`; later ones belong to the present state."""
    spent: Annotated[list[TimeSpent], Field(max_length=64)] = []
    """What the time was spent on."""
    stood: Annotated[list[TimeSpent], Field(max_length=8)] = []
    """The trainer's own totals of the steps that stand, as it last told them."""


class PretrainJobStatus(ApiModel):
    """What was recorded of a job."""

    observed_generation: int = 0
    """The spec's generation that was last reconciled."""
    accepted_job: ShortText = ""
    """Digest of the job as it was last accepted. What cannot change any more is compared with it."""
    state: State = "Pending"
    """One word for people."""
    stage: ShortText = ""
    """The stage at work."""
    start_time: Moment | None = None
    """When the job first started."""
    completion_time: Moment | None = None
    """When the job ended."""
    suspended_seconds: int = 0
    """Seconds spent suspended; they do not count towards the deadline."""
    suspend_time: Moment | None = None
    """When the present suspension began."""
    conditions: Annotated[list[Condition], Field(max_length=16)] = []
    """Facts about the job."""
    stages: Annotated[list[StageStatus], Field(max_length=16)] = []
    """The stages of the pipeline."""
    world: World = World()
    """The workers that train together."""
    progress: Progress = Progress()
    """How far training is."""
    checkpoint: CheckpointStatus | None = None
    """The newest complete checkpoint."""
    recovery: RecoveryStatus = RecoveryStatus()
    """Failures, disruptions and recoveries so far."""
    goodput: Goodput = Goodput()
    """Where the time of the job went."""
    goodput_ratio: ShortText = ""
    """Share of the time that turned into steps which stand, without suspensions and the stages around training: a decimal number."""
