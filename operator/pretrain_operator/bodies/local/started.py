"""A stage program that this body started: the end of its log, what it says of its progress and how it ended."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pretrain_api.event_tail import EventTail
from pretrain_api.events import ProgressEvent, outcome_at
from pretrain_api.log_tail import heading, last_lines
from pretrain_operator.bodies.local import logs, processes, programs
from pretrain_operator.bodies.local.processes import ProcessIdentity
from pretrain_operator.bodies.local.workplace import written_by_user
from pretrain_operator.brain.observed import StageRun, Worker

_Seen = TypeVar("_Seen", StageRun, Worker)


class Started:
    """One program, from its start on."""

    def __init__(
        self,
        what: str,
        attempt: int,
        folder: Path,
        log: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        inherited: Sequence[int] = (),
    ) -> None:
        """Start it. `what`, `attempt`: what its part of the log begins with; `folder`: where it says how far it is,
        emptied first; `inherited`: descriptors that it keeps. Raises UserError where nothing can be written."""
        with written_by_user(str(folder)):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            log.parent.mkdir(parents=True, exist_ok=True)
            with open(log, "ab") as file:
                self._log, self._log_begin, self.started = log, file.tell(), datetime.now(UTC)
                file.write(f"{heading(what, attempt, f'{self.started:%Y-%m-%d %H:%M:%S} UTC')}\n".encode())
                file.flush()
                self._process: subprocess.Popen[bytes] = processes.start(command, environment, file, inherited)
        self.identity: ProcessIdentity | None = processes.identity(self._process.pid)
        self.ended: datetime | None = None
        """When it was first seen to have ended."""
        self.events = EventTail(folder / programs.EVENTS)
        self._outcome = folder / programs.OUTCOME
        self._lines: list[ProgressEvent] = []
        self._was_asked = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """As the shell sees it, minus the number of the signal that ended it; None while it runs."""
        code = self._process.poll()
        if code is not None and self.ended is None:
            self.ended = datetime.now(UTC)
        return code

    def read(self) -> None:
        """Take in what it has said since the last call."""
        self._lines += self.events.read()

    def taken(self) -> list[ProgressEvent]:
        """What was read and nobody has taken yet."""
        found, self._lines = self._lines, []
        return found

    def ask_to_stop(self) -> None:
        """SIGTERM: it saves and leaves. A second one would end it at once."""
        if not self._was_asked and self.exit_code is None:
            self._was_asked = True
            self._process.terminate()

    def end(self) -> None:
        """Kill it and all that it started, and wait until it is gone."""
        if self.exit_code is None and self.identity:
            processes.end(self.identity)
        self._process.wait()

    def with_end(self, seen: _Seen) -> _Seen:
        """What is seen of it, with how it ended."""
        text = logs.tail(self._log, self._log_begin)
        return replace(seen, exit_code=self.exit_code, outcome=outcome_at(self._outcome), last_lines=last_lines(text))
