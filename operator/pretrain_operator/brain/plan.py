"""What can be done: the actions that a decision asks of a body, and the order in which they are done.

Every action names its subject by (stage, attempt, phase) or is about the job itself, so carrying it out twice is the
same as once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pretrain_api.stages import FINISH, Stage
from pretrain_api.types import PretrainJobSpec, PretrainJobStatus
from pretrain_api.world import World


@dataclass(frozen=True)
class StartStage:
    """Start a stage's program or what is missing of it."""

    stage: Stage
    attempt: int
    upstream: Mapping[Stage, str]
    """Identities of the stages whose results it reads."""
    phase: str = FINISH.name
    """The part of the stage to do."""
    parts: int = 1
    """Into how many parts its work is divided; for training, the number of workers that are wanted."""
    workers: tuple[int, ...] = ()
    """Training: numbers of the workers to start."""


@dataclass(frozen=True)
class StopStage:
    """Ask a stage's program to save and leave; nothing when it has been asked or is gone."""

    stage: Stage
    attempt: int
    phase: str = FINISH.name


@dataclass(frozen=True)
class KillStage:
    """End a stage's program at once; nothing when it is gone."""

    stage: Stage
    attempt: int
    phase: str = FINISH.name


@dataclass(frozen=True)
class PublishWorld:
    """Tell the workers who trains together, unless this generation or a later one was published."""

    world: World


@dataclass(frozen=True)
class DropWorkers:
    """End workers of an attempt that are not needed."""

    attempt: int
    workers: tuple[int, ...]


@dataclass(frozen=True)
class KeepSpec:
    """Put down the spec as accepted."""

    spec: PretrainJobSpec


@dataclass(frozen=True)
class ReleaseJob:
    """Let a job that somebody deleted go."""


@dataclass(frozen=True)
class DeleteJob:
    """Delete a finished job whose time is over."""


@dataclass(frozen=True)
class Requeue:
    """Look again after so many seconds even if nothing happens until then."""

    after_seconds: float


Action = StartStage | StopStage | KillStage | PublishWorld | DropWorkers | KeepSpec | ReleaseJob | DeleteJob | Requeue


def named(action: Action) -> str:
    """An action in a few words: StartStage Train 2, PublishWorld 3."""
    kind = type(action).__name__
    match action:
        case StartStage() | StopStage() | KillStage():
            return f"{kind} {action.stage} {action.attempt}"
        case PublishWorld():
            return f"{kind} {action.world.generation}"
        case _:
            return kind


@dataclass(frozen=True)
class Decision:
    """The status to record and the actions to carry out."""

    recorded: PretrainJobStatus
    plan: tuple[Action, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        """What a body carries out: the plan without the time to look again."""
        return tuple(action for action in self.plan if not isinstance(action, Requeue))

    @property
    def look_again_seconds(self) -> float | None:
        """Seconds until the next look if nothing happens before; None: no need."""
        return min((a.after_seconds for a in self.plan if isinstance(a, Requeue)), default=None)
