"""From the events file to the report: a thread that tells the operator how far the stage is, and never fails it."""

from __future__ import annotations

import http.client
import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pretrain_api.event_tail import EventTail
from pretrain_api.events import ProgressEvent
from pretrain_api.report import Report, ReportedCheckpoint
from pretrain_api.stages import Stage
from pretrain_trainer.pod.api_server import Refused

_LOGGER = logging.getLogger(__name__)
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_BETWEEN_REPORTS = 10.0
_LONGEST_PAUSE_SECONDS = 60.0
_LAST_TRIES = 3


class Reporter:
    """Follows an events file and sends a report every 10 s at most, at once after a checkpoint or a recovery and at the
    end.

    What cannot be sent is tried again after growing pauses, with what is newest then.
    """

    def __init__(self, events: Path, stage: Stage, attempt: int, send: Callable[[Report], None]) -> None:
        self._tail, self._stage, self._attempt, self._send = EventTail(events), stage, attempt, send
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="report", daemon=True)
        self._newest: ProgressEvent | None = None
        self._checkpoint: ReportedCheckpoint | None = None
        self._is_sent = True
        self._failures = 0
        self._told = ""

    def start(self) -> None:
        self._thread.start()

    def end(self, within_seconds: float) -> None:
        """Send what is left and stop; no later than so many seconds."""
        self._ended.set()
        self._thread.join(within_seconds)

    def _follow(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(_SECONDS_BETWEEN_LOOKS):
            is_urgent = self._take_in()
            if not self._is_sent and (time.monotonic() >= due or (is_urgent and not self._failures)):
                self._try()
                due = time.monotonic() + self._pause()
        self._take_in()
        for _ in range(_LAST_TRIES):
            if self._is_sent:
                return
            self._try()

    def _take_in(self) -> bool:
        """Read the new lines; whether one tells of another checkpoint or a recovery."""
        before = self._checkpoint, self._tail.recovery
        for event in self._tail.read():
            if not event.recovery:  # it has no figures, and must not take the place of those that have
                self._newest = event
            self._is_sent = self._newest is None
            self._checkpoint = event.checkpoint or self._checkpoint
        return (self._checkpoint, self._tail.recovery) != before

    def _try(self) -> None:
        assert self._newest is not None
        try:
            self._send(self._report(self._newest))
            self._is_sent, self._failures, self._told = True, 0, ""
        except (Refused, OSError, http.client.HTTPException) as error:
            self._failures += 1
            problem = f"{type(error).__name__}: {error}"
            if problem != self._told:
                _LOGGER.warning("the report could not be sent, training goes on: %s", problem)
                self._told = problem

    def _pause(self) -> float:
        if not self._failures:
            return _SECONDS_BETWEEN_REPORTS
        return random.uniform(1.0, min(2.0 ** (self._failures + 1), _LONGEST_PAUSE_SECONDS))

    def _report(self, event: ProgressEvent) -> Report:
        return Report(
            stage=self._stage,
            attempt=self._attempt,
            phase=event.phase,
            time=datetime.fromtimestamp(event.time, UTC),
            done=event.done,
            total=event.total,
            unit=event.unit,
            message=event.message,
            figures=event.figures,
            checkpoint=self._checkpoint,
            recovery=self._tail.recovery,
        )
