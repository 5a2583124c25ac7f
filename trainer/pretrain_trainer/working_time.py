"""How long a stage works, over all its attempts: kept in the storage while it works, so that a killed program loses at
most one beat of it. The completion record takes the sum over, and what was kept is removed.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from pretrain_api import layout
from pretrain_api.errors import UserError
from pretrain_api.stages import Stage
from pretrain_api.storage import Storage
from pretrain_trainer.documents.faults import chain
from pretrain_trainer.storage_faults import explained

_BEAT_SECONDS = 10.0
"""Between two times that it is written down."""
_LOGGER = logging.getLogger(__name__)


class Kept(BaseModel):
    """`attempts/<stage>/<fingerprint>.json`: the attempts of a stage that is not complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    attempts: int = 0
    started: datetime
    """When the first of them began."""
    seconds: float = 0.0


class WorkingTime:
    """The clock of one attempt, which goes on where those before it stopped."""

    def __init__(self, before: Kept) -> None:
        self._before, self._begin = before, time.monotonic()

    @property
    def own_seconds(self) -> float:
        """Seconds of this attempt."""
        return time.monotonic() - self._begin

    def now(self) -> Kept:
        """All attempts, with this one up to now."""
        seconds = round(self._before.seconds + self.own_seconds, 3)
        return Kept(attempts=self._before.attempts + 1, started=self._before.started, seconds=seconds)


@contextlib.contextmanager
def counted(storage: Storage, stage: Stage, fingerprint: str) -> Iterator[WorkingTime]:
    """An attempt, from here to the end of the block. One that ends well leaves nothing, and so does a first one that a
    user's mistake ends at once."""
    path = layout.attempts(stage, fingerprint)
    before = _kept(storage, path)
    clock = WorkingTime(before or Kept(started=datetime.now(UTC)))
    storage.write_json(path, clock.now().model_dump(mode="json"))
    over = threading.Event()
    beats = threading.Thread(target=_beat, args=(storage, path, clock, over), daemon=True)
    beats.start()
    try:
        yield clock
    except BaseException as error:
        over.set()
        beats.join()
        if before is None and clock.own_seconds < _BEAT_SECONDS and _is_users(error, storage):
            storage.remove(path)
        else:
            _write(storage, path, clock)
        raise
    over.set()
    beats.join()
    with _unharmed(path):
        storage.remove(path)


def _kept(storage: Storage, path: str) -> Kept | None:
    """What earlier attempts left; a damaged file counts as none."""
    try:
        return Kept.model_validate(storage.read_json(path))
    except (FileNotFoundError, ValueError):  # pydantic's and json's errors are ValueErrors
        return None


def _beat(storage: Storage, path: str, clock: WorkingTime, over: threading.Event) -> None:
    while not over.wait(_BEAT_SECONDS):
        _write(storage, path, clock)


def _write(storage: Storage, path: str, clock: WorkingTime) -> None:
    with _unharmed(path):
        storage.write_json(path, clock.now().model_dump(mode="json"))


@contextlib.contextmanager
def _unharmed(path: str) -> Iterator[None]:
    """A lost figure must neither end the work nor hide what ended it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a store's client raises
        _LOGGER.warning("%s cannot be kept: %s", path, error)


def _is_users(error: BaseException, storage: Storage) -> bool:
    return any(isinstance(e, UserError) for e in chain(error)) or isinstance(explained(error, storage), UserError)
