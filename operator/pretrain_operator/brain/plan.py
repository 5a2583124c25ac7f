"""What can be done: the actions that a decision asks of a body.

Every action names its subject by (stage, attempt), so carrying it out twice is the same as once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus


@dataclass(frozen=True)
class StartStage:
    """Start a stage's program, unless this attempt exists."""

    stage: Stage
    attempt: int
    upstream: Mapping[Stage, str]
    """Identities of the stages whose results it reads."""


@dataclass(frozen=True)
class StopStage:
    """Ask a stage's program to save and leave; nothing when it has been asked or is gone."""

    stage: Stage
    attempt: int


@dataclass(frozen=True)
class KillStage:
    """End a stage's program at once; nothing when it is gone."""

    stage: Stage
    attempt: int


@dataclass(frozen=True)
class Requeue:
    """Look again after so many seconds even if nothing happens until then."""

    after_seconds: float


Action = StartStage | StopStage | KillStage | Requeue


@dataclass(frozen=True)
class Decision:
    """The status to record and the actions to carry out."""

    recorded: PretrainJobStatus
    plan: tuple[Action, ...] = ()
