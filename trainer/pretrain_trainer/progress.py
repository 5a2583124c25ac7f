"""Progress lines from a stage program to its body, at most a few a second."""

import os
import time

from pretrain_api.events import ENV_EVENTS, ProgressEvent

_SECONDS_BETWEEN_LINES = 0.25


class Progress:
    """Appends `ProgressEvent` lines to the file that the body named; silent where it named none."""

    def __init__(self, stage: str, path: str | None = None) -> None:
        self._stage = stage
        self._path = os.environ.get(ENV_EVENTS) if path is None else path
        self._next = 0.0
        self._phase = ""

    def update(
        self, phase: str, done: float, total: float | None = None, unit: str = "", message: str = "", **figures: float
    ) -> None:
        """Tell how far a phase is. Lines in between are dropped, never a new phase, a message or the last line."""
        now = time.monotonic()
        if now < self._next and not message and phase == self._phase and done != total:
            return
        self._next, self._phase = now + _SECONDS_BETWEEN_LINES, phase
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
        )
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(event.model_dump_json() + "\n")
