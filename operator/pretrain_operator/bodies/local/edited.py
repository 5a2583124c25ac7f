"""The file of a job that is at work: what becomes of an edit of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from pretrain_api.errors import UserError
from pretrain_api.types import PretrainJob
from pretrain_operator.bodies.local import accept
from pretrain_operator.bodies.local.workplace import Workplace


@dataclass(frozen=True)
class Edit:
    """A job that somebody has written in place of the one that runs; or why it is not followed, which is told."""

    job: PretrainJob | None
    note: str


class JobFile:
    """A job's file, and how it is read."""

    def __init__(self, path: str, read: Callable[[], PretrainJob]) -> None:
        self._path, self._read = path, read
        self._seen = self._state()

    def edited(self, running: PretrainJob, workplace: Workplace) -> Edit | None:
        """What was written since the last call, where it changes what `running` says."""
        state = self._state()
        if state is None or state == self._seen:
            return None
        self._seen = state
        try:
            wanted = self._read()
            if wanted.spec.storage != running.spec.storage:
                return Edit(None, f"{self._path} was edited; spec.storage is not followed: stop, and run it again.")
            accept.check_machine(wanted)
            _, changes = accept.checked(wanted, workplace, accept_changes=False)
        except UserError as error:
            return Edit(None, f"{self._path} was edited; the job goes on as it was: {error}")
        if not changes:
            return None
        if fixed := [change for change in changes if not change.mutable]:
            what = "; ".join(map(str, fixed))
            return Edit(None, f"{self._path} was edited; the job goes on as it was: stop, and run it again, for {what}")
        return Edit(wanted, f"{self._path} was edited: saving what there is, and going on with it")

    def _state(self) -> tuple[int, int, int] | None:
        """What tells versions of the file apart; None while there is none, as between an editor's two steps."""
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
