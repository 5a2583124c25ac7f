"""What can be seen of a job from outside: the newest program of each stage, finished records, the time.

Values only. The bodies make them; the rules read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pretrain_api.events import Outcome
from pretrain_api.stages import Stage
from pretrain_api.types.status import CheckpointStatus


@dataclass(frozen=True)
class StageRun:
    """One attempt at a stage, as its body sees it."""

    stage: Stage
    attempt: int
    """Number of the start, from 1: together with the stage it is the run's name."""
    state: Literal["Running", "Ended", "Lost"]
    """Lost: it was started and is gone without a trace of how (the host or the body went down)."""
    started: datetime
    exit_code: int | None = None
    """Ended: as the shell of the program saw it; negative is minus the signal's number."""
    outcome: Outcome | None = None
    """What the program itself said about its end; None when it did not come to that."""
    worker: str = ""
    """The worker that ended first."""
    node: str = ""
    """The machine it ran on."""
    rank: int = -1
    """The rank that ended first; -1 where there is none or it is not known."""
    last_lines: str = ""
    """The last lines of its log."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Train: the newest figures of this attempt (`pretrain_api.events.ProgressEvent.figures`)."""
    figures_time: datetime | None = None
    """When the figures were taken."""


@dataclass(frozen=True)
class Finished:
    """A completion record that is in storage already, so that no program need be started to find it."""

    fingerprint: str
    started: datetime
    completed: datetime
    message: str = ""


@dataclass(frozen=True)
class Observed:
    """Everything that one decision rests on beside the spec and the recorded status."""

    now: datetime
    generation: int = 1
    """`metadata.generation` of the spec that is decided on."""
    runs: Mapping[Stage, StageRun] = field(default_factory=dict)
    """The newest attempt at each stage that the body knows of."""
    checkpoint: CheckpointStatus | None = None
    """The newest complete checkpoint in storage, as far as the body has looked."""
    finished: Mapping[Stage, Finished] = field(default_factory=dict)
    """Stages that are known to be complete without asking their program."""
