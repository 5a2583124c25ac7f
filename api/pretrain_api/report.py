"""How far a job's pods are: what one of them tells the operator while it works.

`Report` is the key `report` of the ConfigMap `pretrain_api.cluster.report_name`, as JSON. The operator makes the
ConfigMap; the leader of a training or index 0 of a phase patches it: every 10 s at most, at once after a checkpoint or
a recovery and at the end. How a pod ended is told by its termination message (`pretrain_api.events.Outcome`), not here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pretrain_api import goodput
from pretrain_api.events import ProgressEvent, ReportedCheckpoint
from pretrain_api.recoveries import Recovery
from pretrain_api.stages import Stage

__all__ = ["Report", "ReportedCheckpoint"]


class Report(BaseModel):
    """The newest figures of one start of a stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    stage: Stage
    attempt: int
    pod: str = ""
    """Who reports, by the name of the pod."""
    phase: str = ""
    """What the pod is at, for people: "filter", "deduplicate", "step"."""
    time: datetime
    """When the figures were taken, by the clock of the API server as all times here; that of a checkpoint which another pod
    wrote is off by as much as that one's clock was."""
    done: float = 0
    total: float | None = None
    """Of the reporting pod's own share, where the work is divided."""
    unit: str = ""
    message: str = ""
    figures: dict[str, float] = {}
    """As in `pretrain_api.events.ProgressEvent`."""
    checkpoint: ReportedCheckpoint | None = None
    """Train: the newest commit of this training, once there is one."""
    recovery: Recovery | None = None
    """Train: the newest recovery of this start that needed no new one."""

    @classmethod
    def of_event(
        cls,
        event: ProgressEvent,
        stage: Stage,
        attempt: int,
        pod: str,
        checkpoint: ReportedCheckpoint | None,
        recovery: Recovery | None,
    ) -> Report:
        """What a line of an events file tells, and what lines before it told that still holds."""
        return cls(
            stage=stage,
            attempt=attempt,
            pod=pod,
            phase=event.phase,
            time=datetime.fromtimestamp(event.time, UTC),
            done=event.done,
            total=event.total,
            unit=event.unit,
            message=event.message,
            figures=event.figures,
            checkpoint=checkpoint,
            recovery=recovery,
        )

    def by_another_clock(self, ahead: float) -> Report:
        """The same as told by a clock that is so many seconds ahead of the one that it was told by."""
        if not ahead:
            return self
        more = timedelta(seconds=ahead)
        changes: dict[str, object] = {"time": self.time + more}
        if goodput.SINCE in self.figures:
            changes["figures"] = {**self.figures, goodput.SINCE: self.figures[goodput.SINCE] + ahead}
        if self.checkpoint:
            changes["checkpoint"] = self.checkpoint.model_copy(update={"time": self.checkpoint.time + more})
        if self.recovery:
            changes["recovery"] = self.recovery.model_copy(update={"time": self.recovery.time + more})
        return self.model_copy(update=changes)
