"""A run on this machine as a source: its folder, and the logs beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pretrain_api import layout, step_history
from pretrain_api.errors import UserError
from pretrain_api.event_tail import EventTail
from pretrain_api.events import ProgressEvent
from pretrain_api.stages import Stage
from pretrain_api.types import PretrainJobStatus
from pretrain_cli.cluster.waiting import ENDED
from pretrain_cli.display.printable import printable
from pretrain_cli.target import recorded_job
from pretrain_cli.watch.news import Look
from pretrain_operator.bodies.local.workplace import Workplace, reached, written_by_user

_FIRST_BYTES = 64 << 10
"""Of the end of each log that was there before."""


class LocalRun:
    """The run in a workplace."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._logs = {stage: LogTail(place.log(stage)) for stage in Stage}
        self._events: dict[tuple[str, int], EventTail] = {}
        self._has_history = False
        self._unread = ""

    def look(self) -> Look:
        """What is new. Raises UserError where nothing was run."""
        runner = self._place.runner()  # asked before reading, so that the last news are not missed
        job = recorded_job(self._place)
        steps, unread = self._history()
        lines = [f"{stage.lower()}  {line}" for stage, log in self._logs.items() for line in log.read()]
        is_ended = job.status.state in ENDED
        idle = "" if runner or is_ended else "nobody runs it: `pretrain run` goes on where it was"
        return Look(
            time=datetime.now(UTC),
            name=job.metadata.name,
            status=printable(job.status),
            events=list(self._news(job.status)),
            steps=steps,
            lines=lines,
            note="; ".join(filter(None, (idle, unread))),
            is_over=is_ended or not runner,
        )

    def _history(self) -> tuple[list[dict[str, object]], str]:
        """All steps that were committed before the first look, and why there are fewer; events tell of the later ones."""
        if self._has_history:
            return [], self._unread
        self._has_history = True
        storage, steps = self._place.storage, list[dict[str, object]]()
        try:
            with written_by_user(storage.uri()), reached(storage):
                steps.extend(step_history.read_steps(storage, step_history.commits(storage)))
        except UserError as error:  # the rest of the screen does without
            self._unread = str(error)
        return steps, self._unread

    def _news(self, status: PretrainJobStatus) -> Iterator[tuple[Stage, ProgressEvent]]:
        for entry in status.stages:
            key = entry.name, entry.attempts
            if entry.attempts and entry.name in set(Stage) and key not in self._events:
                folder = self._place.attempt(Stage(entry.name), entry.attempts)
                self._events[key] = EventTail(folder / layout.EVENTS)
        for (name, _), tail in self._events.items():
            yield from ((Stage(name), event) for event in tail.read())


class LogTail:
    """A growing log, line by line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = -1
        self._rest = b""

    def read(self) -> Sequence[str]:
        """The whole lines since the last call; at first the end of what is there."""
        try:
            with open(self._path, "rb") as file:
                size = file.seek(0, 2)
                if self._offset < 0:
                    self._offset = max(0, size - _FIRST_BYTES)
                elif size < self._offset:
                    self._offset = 0  # begun anew
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        self._offset += len(content)
        *whole, self._rest = (self._rest + content).split(b"\n")
        return [line.decode("utf-8", "replace") for line in whole]
