"""Records of remote shards in a folder of the worker's disk, for later epochs and starts. No reads from shards.

A full cache keeps what it has: each record comes once an epoch, so one that is there is worth as much as a new one, and
to give up the oldest would give up just what comes next. Only files of other data make room. Readers compare checksums,
so that a cut, damaged or outdated file is no more than a miss.
"""

import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pretrain_api.errors import UserError
from pretrain_trainer.data import whole_files
from pretrain_trainer.data.blocks import Bytes
from pretrain_trainer.data.horizon import Key

_LOGGER = logging.getLogger(__name__)
_OURS = "pretrain-records"
"""Below the folder that the user names, which may hold anything else: nothing outside is counted or removed."""
_IN_A_FOLDER = 4096
"""Records in one directory."""
_HALF_WRITTEN_SECONDS = 3600.0
"""Age at which nobody writes a temporary file any more."""


class DiskCache:
    """A rank's share of the folder: what it may write, and the part of what lay there before that it counts."""

    def __init__(self, folder: Path, names: Sequence[str], budget: int, rank: int = 0, ranks: int = 1) -> None:
        """`names` are the sources' own, by number, the same in every start; `budget` bounds the bytes of all ranks' files.

        Raises UserError when the folder cannot be written to.
        """
        self._folder, self._names, self._budget = folder / _OURS, names, budget // ranks
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            probe = self._folder / f".{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            what = f"{folder} cannot be written to: {error.strerror}."
            instead = "Write a folder of a volume that workers.template mounts, or leave spec.data.cache out."
            raise UserError("cache-unusable", "spec.data.cache.path", what, instead) from error
        found = [file for file in _files(self._folder) if int(file.name) % ranks == rank]
        mine = [file for file in found if file.parent.parent.name in names]
        self._bytes = sum(_size(file) for file in found)
        self._others = sorted(set(found) - set(mine), key=_time, reverse=True)
        """Of other data, the oldest at the end."""
        self._is_full = False
        self._lock = threading.Lock()

    def get(self, key: Key) -> Bytes | None:
        """What the folder holds of a record; its checksum was not compared."""
        try:
            return np.fromfile(self._path(key), dtype=np.uint8)
        except OSError:
            return None

    def put(self, key: Key, content: Bytes) -> None:
        """Keep a record, if there is room. Where writing fails, training goes on without."""
        path = self._path(key)
        more = len(content) - _size(path)
        if not self._has_room(more):
            return
        try:
            whole_files.write(path, content)
        except OSError as error:
            self._is_full = True
            _LOGGER.warning("%s takes no more records (%s); training goes on with those it has", self._folder, error)

    def _has_room(self, more: int) -> bool:
        """Take so many bytes of the budget, in place of other data if need be. Records are put from several threads."""
        with self._lock:
            while self._bytes + more > self._budget and self._others:
                other = self._others.pop()
                self._bytes -= _size(other)
                other.unlink(missing_ok=True)
            if self._is_full or self._bytes + more > self._budget:
                return False
            self._bytes += more
            return True

    def _path(self, key: Key) -> Path:
        source, record = key
        return self._folder / self._names[source] / f"{record // _IN_A_FOLDER:06d}" / f"{record:010d}"


def of_this_rank(folder: Path, names: Sequence[str], budget: int) -> DiskCache:
    """The share of one of this machine's ranks."""
    return DiskCache(
        folder, names, budget, int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    )


def _files(folder: Path) -> Iterator[Path]:
    """Records; what a killed writer left of one is removed."""
    for file in folder.glob("*/*/*"):
        if file.name.isdigit():
            yield file
        elif file.name.startswith(".") and time.time() - _time(file) > _HALF_WRITTEN_SECONDS:
            file.unlink(missing_ok=True)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _time(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
