"""What can be seen of a job from outside: programs, training workers, finished records, troubles, the time.

Values only. The bodies make them; the rules read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pretrain_api.events import Outcome
from pretrain_api.recoveries import Recovery
from pretrain_api.report import Report
from pretrain_api.silence import Silence
from pretrain_api.stages import FINISH, NO_FLOW, Flow, Stage
from pretrain_api.types import PretrainJobSpec
from pretrain_api.types.status import CheckpointStatus
from pretrain_api.world import World


@dataclass(frozen=True)
class StageRun:
    """One attempt at a stage, as its body sees it."""

    stage: Stage
    attempt: int
    """Number of the start, from 1."""
    state: Literal["Running", "Ended", "Lost"]
    """Lost: something outside took it away (its host or body went down, it was evicted, preempted or deleted)."""
    started: datetime
    phase: str = FINISH.name
    """The part of the stage that it works on; with stage and attempt it is the run's name."""
    exit_code: int | None = None
    """Ended: as the shell of the program saw it; negative is minus the signal's number."""
    outcome: Outcome | None = None
    """What the program itself said about its end; None when it did not come to that."""
    worker: str = ""
    """The worker that ended first."""
    node: str = ""
    """The machine it ran on."""
    reason: str = ""
    """What the machine calls the end: OOMKilled, Evicted, Preempted, Deleted ..."""
    last_lines: str = ""
    """The last lines of its log."""
    is_counted: bool = False
    """Train: what ended it was counted when it did not yet end it."""
    is_outdated: bool = False
    """Nothing of it ever ran, and the body would start it in another way now."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Train: the newest figures of this attempt (`pretrain_api.events.ProgressEvent.figures`)."""
    figures_time: datetime | None = None
    """When the figures were taken."""
    recovery: Recovery | None = None
    """Train: the newest recovery of this attempt that needed no new one."""
    recovered: str = ""
    """The worker that it was on; empty: as above."""


@dataclass(frozen=True)
class Finished:
    """A completion record that is in storage already, so that no program need be started to find it."""

    fingerprint: str
    started: datetime
    completed: datetime
    message: str = ""
    flow: Flow = NO_FLOW


@dataclass(frozen=True)
class Worker:
    """A training worker of one attempt, where training runs in several places."""

    worker: int
    pod: str
    uid: str
    state: Literal["Waiting", "Running", "Ended", "Lost"]
    """Waiting: it exists and does not run yet. Lost: something outside took it away; it may still be leaving."""
    is_alive: bool = True
    """Whether anything of it may still run."""
    started: datetime | None = None
    """When it was made; once it runs, when it began to."""
    ended: datetime | None = None
    address: str = ""
    node: str = ""
    exit_code: int | None = None
    outcome: Outcome | None = None
    reason: str = ""
    """What the machine calls the end."""
    last_lines: str = ""
    is_outdated: bool = False
    """As in StageRun."""
    notice: str = ""
    """What announces that its machine goes soon (`pretrain_operator.brain.notices`); empty: nothing."""


@dataclass(frozen=True)
class Start:
    """A start of a part of a stage by its name."""

    stage: Stage
    attempt: int
    phase: str = FINISH.name


@dataclass(frozen=True)
class Trouble:
    """Something outside the job that keeps it from going on, and that somebody has to mend."""

    reason: str
    """One word for machines: ImagePullBackOff, Unschedulable, SecretMissing ..."""
    message: str
    """Names the object and the field to change."""


@dataclass(frozen=True)
class Tenant:
    """A job that may work in a storage, as the others that name the same one see it."""

    name: str
    """With its namespace."""
    uid: str
    created: datetime
    is_at_work: bool


@dataclass(frozen=True)
class Observed:
    """Everything that one decision rests on beside the spec and the recorded status."""

    now: datetime
    uid: str = ""
    """The job's own."""
    tenants: tuple[Tenant, ...] = ()
    """The jobs that name this one's storage, itself among them where it may work."""
    generation: int = 1
    """`metadata.generation` of the spec that is decided on."""
    runs: Mapping[Stage, StageRun] = field(default_factory=dict)
    """The newest run of each stage that the body knows of."""
    checkpoint: CheckpointStatus | None = None
    """The newest complete checkpoint in storage, as far as the body has looked."""
    finished: Mapping[Stage, Finished] = field(default_factory=dict)
    """Stages that are known to be complete without asking their program."""

    logs: str = "pretrain logs"
    """The command that prints the logs of this job, for messages."""
    is_unattended: bool = False
    """Nobody waits in front of the job: what the world outside lacks is waited for, and edits arrive while it runs."""
    deleted: datetime | None = None
    """When somebody asked for the job to be deleted."""
    accepted: PretrainJobSpec | None = None
    """The spec as it was last accepted, where the body keeps it."""
    invalid: str = ""
    """What is wrong with the spec as it stands, when it cannot be followed."""
    parts: int = 1
    """Into how many parts a phase may be divided."""
    most_workers: int = 1
    """How many workers can train at all."""
    workers: tuple[Worker, ...] = ()
    """The workers of the recorded attempt at training, where the body starts them one by one."""
    world: World | None = None
    """The roster that was last published."""
    report: Report | None = None
    """What the programs last said about how far they are."""
    silence: Silence | None = None
    """Who of a roster does not answer any more, as its neighbours last said."""
    alive: frozenset[Start] = frozenset()
    """Every start of which something is still there that runs, may run, or is leaving."""
    is_waiting: bool = False
    """Whether something was started that does not run yet. It may not tell when it never will."""
    is_queued: bool = False
    """Whether a queue holds back what was started."""
    troubles: tuple[Trouble, ...] = ()
