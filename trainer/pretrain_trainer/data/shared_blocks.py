"""Blocks as files in a folder: of memory, for the ranks of one machine, so that each record is fetched once for all of them.

A file appears whole or not at all and is named by what it holds, so that no lock is needed: ranks that write the same file
write the same bytes. Readers compare checksums, and fetch a block that is not here or is not right. No reads from shards.
"""

import contextlib
import logging
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pretrain_trainer.data import whole_files
from pretrain_trainer.data.blocks import Bytes
from pretrain_trainer.data.horizon import Key

_LOGGER = logging.getLogger(__name__)
_PREFIX = "pretrain-blocks-"
MEMORY = Path("/dev/shm")


class SharedBlocks:
    """The part of a folder that one rank looks after: it alone fetches these records ahead, and removes their files."""

    def __init__(self, folder: Path, names: Sequence[str], rank: int, ranks: int, budget: int) -> None:
        """`names` are the sources' own, by number; `budget` bounds the bytes of all ranks' files."""
        self.folder, self._names, self._rank, self._ranks = folder, names, rank, ranks
        self._budget = budget // ranks
        self._written: OrderedDict[Path, int] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._is_full = False

    def is_mine(self, key: Key) -> bool:
        """Whether this rank is the one that fetches a record ahead."""
        return key[1] % self._ranks == self._rank

    def get(self, key: Key) -> Bytes | None:
        """What the folder holds of a record; its checksum was not compared."""
        try:
            return np.fromfile(self._path(key), dtype=np.uint8)
        except OSError:
            return None

    def put(self, key: Key, content: Bytes) -> None:
        """Keep a record for the others. Where that fails, training goes on without."""
        path = self._path(key)
        if self._is_full:
            return
        try:
            whole_files.write(path, content)
        except OSError as error:
            self._is_full = True
            _LOGGER.warning("%s takes no more blocks (%s); each rank now fetches for itself", self.folder, error)
            return
        with self._lock:
            self._bytes += len(content) - self._written.pop(path, 0)
            self._written[path] = len(content)
            while self._bytes > self._budget and len(self._written) > 1:
                oldest, size = self._written.popitem(last=False)
                self._bytes -= size
                oldest.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove this rank's files, and the folder when they were the last."""
        for path in list(self._written):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _path(self, key: Key) -> Path:
        return self.folder / f"{self._names[key[0]]}-{key[1]:010d}"


def in_memory(names: Sequence[str], budget: int, root: Path = MEMORY) -> SharedBlocks | None:
    """The folder that the ranks of this machine share; None for a single rank, or where memory has no room for it.

    The parent's process id names it: all ranks have one parent. What a killed run left behind is removed.
    """
    ranks, rank = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    if ranks < 2 or not root.is_dir():
        return None
    with contextlib.suppress(OSError):
        for left in root.glob(f"{_PREFIX}*"):
            if not _is_alive(int(left.name.removeprefix(_PREFIX))):
                shutil.rmtree(left, ignore_errors=True)
    if shutil.disk_usage(root).free < 2 * budget:
        _LOGGER.warning("%s has less than %d MiB free; each rank fetches for itself", root, 2 * budget >> 20)
        return None
    return SharedBlocks(root / f"{_PREFIX}{os.getppid()}", names, rank, ranks, budget)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
