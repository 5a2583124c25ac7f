"""What a stage is given and what it gives back."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pretrain_api import records
from pretrain_api.errors import PretrainError
from pretrain_api.stages import CompletionRecord, Flow, Stage
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJob, PretrainJobSpec
from pretrain_trainer.progress import Progress

Item = TypeVar("Item")


class Stopped(PretrainError):
    """The stage was asked to stop and has saved what is worth saving."""


@dataclass(frozen=True)
class Share:
    """What of an indexed phase's work this program is to do. The only one of its phase does all of it."""

    index: int = 0
    parts: int = 1

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items of this share, in order."""
        return items[self.index :: self.parts]


@dataclass(frozen=True)
class StageContext:
    """Everything a stage may use.

    `upstream` holds the identities of the stages whose results are read, `fingerprint` the stage's own (empty while
    `inputs` runs), `scratch` is a local folder that is empty at the start and removed at the end, `stopping` is set
    by SIGTERM and SIGINT, `processes` is how many may work at once (0: as the job says).
    """

    job: PretrainJob
    storage: Storage
    upstream: Mapping[Stage, str]
    fingerprint: str
    progress: Progress
    scratch: Path
    stopping: threading.Event
    share: Share = Share()
    processes: int = 0

    @property
    def spec(self) -> PretrainJobSpec:
        return self.job.spec

    def record(self, stage: Stage) -> CompletionRecord:
        """The completion record of an upstream stage."""
        return records.read(self.storage, stage, self.upstream[stage])

    def check_stopping(self) -> None:
        """Raise Stopped when the stage was asked to stop; for places where everything worth saving is saved."""
        if self.stopping.is_set():
            raise Stopped("stopped on request")


@dataclass(frozen=True)
class StageResult:
    """What goes into the completion record."""

    flow: Flow = field(default_factory=Flow)
    sources: Mapping[str, Flow] = field(default_factory=dict)
    message: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
