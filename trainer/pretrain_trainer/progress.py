"""Progress lines from a stage program to its body, at most a few a second."""

import os
import time

from pretrain_api.events import ENV_EVENTS, ProgressEvent, ReportedCheckpoint

_SECONDS_BETWEEN_LINES = 0.25


class Progress:
    """Appends `ProgressEvent` lines to the file that the body named; silent where it named none."""

    def __init__(self, stage: str, path: str | None = None) -> None:
        self._stage = stage
        self._path = os.environ.get(ENV_EVENTS) if path is None else path
        self._next = 0.0
        self._phase = ""
        self._checkpoint: ReportedCheckpoint | None = None

    def update(
        self,
        phase: str,
        done: float,
        total: float | None = None,
        unit: str = "",
        message: str = "",
        checkpoint: ReportedCheckpoint | None = None,
        **figures: float,
    ) -> None:
        """Tell how far a phase is. Lines in between are dropped, never a new phase, a message, another checkpoint or
        the last line."""
        now = time.monotonic()
        is_news = message or phase != self._phase or checkpoint != self._checkpoint or done == total
        if now < self._next and not is_news:
            return
        self._next, self._phase, self._checkpoint = now + _SECONDS_BETWEEN_LINES, phase, checkpoint
        if not self._path:
            return
        event = ProgressEvent(
            time=time.time(),
            stage=self._stage,
            phase=phase,
            done=done,
            total=total,
            unit=unit,
            message=message,
            figures=figures,
            checkpoint=checkpoint,
        )
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(event.model_dump_json() + "\n")
