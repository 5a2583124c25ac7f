"""From the events file to the operator: a thread that tells how far the stage is, and which workers answer no more. It
never fails the stage."""

from __future__ import annotations

import http.client
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pretrain_api import jitter
from pretrain_api.cluster import ENV_POD_NAME
from pretrain_api.event_tail import EventTail
from pretrain_api.events import ProgressEvent
from pretrain_api.report import Report, ReportedCheckpoint
from pretrain_api.silence import Silence
from pretrain_api.stages import Stage
from pretrain_trainer.pod.api_server import Refused

_LOGGER = logging.getLogger(__name__)
_SECONDS_BETWEEN_LOOKS = 0.25
_SECONDS_BETWEEN_REPORTS = 10.0
_SECONDS_BETWEEN_TRIES = 2.0
"""To tell of silence: at most four workers do at once, and training stands still until they were heard."""
_LONGEST_PAUSE_SECONDS = 60.0
_LAST_TRIES = 3


class Reporter:
    """Follows an events file and sends a report every 10 s at most, at once after a checkpoint or a recovery and at the
    end. Silence is sent at once.

    What cannot be sent is tried again after growing pauses, with what is newest then.
    """

    def __init__(
        self,
        events: Path,
        stage: Stage,
        attempt: int,
        send: Callable[[Report], None],
        send_silence: Callable[[Silence], None],
    ) -> None:
        self._tail, self._stage, self._attempt, self._send = EventTail(events), stage, attempt, send
        self._send_silence = send_silence
        self._silence: Silence | None = None
        self._silence_due = 0.0
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
            if self._silence and time.monotonic() >= self._silence_due:
                self._try_silence(self._silence)
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
            if event.silence:
                self._silence = event.silence
                continue
            # That of a recovery has no figures, and must not take the place of those that have. Whoever leads since that
            # recovery has none yet: the next one may come before they do, and the operator would never hear of this one.
            if self._newest is None or not event.recovery:
                self._newest = event
            self._is_sent = False
            self._checkpoint = event.checkpoint or self._checkpoint
        return (self._checkpoint, self._tail.recovery) != before

    def _try(self) -> None:
        assert self._newest is not None
        report = self._report(self._newest)
        self._is_sent = self._is_taken(lambda: self._send(report))
        self._failures = 0 if self._is_sent else self._failures + 1

    def _try_silence(self, silence: Silence) -> None:
        if self._is_taken(lambda: self._send_silence(silence)):
            self._silence = None
        self._silence_due = time.monotonic() + _SECONDS_BETWEEN_TRIES

    def _is_taken(self, send: Callable[[], None]) -> bool:
        try:
            send()
        except (Refused, OSError, http.client.HTTPException) as error:
            problem = f"{type(error).__name__}: {error}"
            if problem != self._told:
                _LOGGER.warning("the report could not be sent, training goes on: %s", problem)
                self._told = problem
            return False
        self._told = ""
        return True

    def _pause(self) -> float:
        if not self._failures:
            return _SECONDS_BETWEEN_REPORTS
        return jitter.between(1.0, min(2.0 ** (self._failures + 1), _LONGEST_PAUSE_SECONDS))

    def _report(self, event: ProgressEvent) -> Report:
        pod = os.environ.get(ENV_POD_NAME, "")
        return Report.of_event(event, self._stage, self._attempt, pod, self._checkpoint, self._tail.recovery)
