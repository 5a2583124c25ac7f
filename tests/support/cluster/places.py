"""Folders: where clusters live while they run, and where programs are kept between runs.

A cluster's folder belongs to whoever holds the lock on it. The kernel gives the lock back when its holder dies, however
that happens: a folder without a holder is what an interrupted run left.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pretrain-operator"
STATE = Path(f"/var/tmp/pretrain-clusters-{os.getuid()}")
"""On a disk (images are large) and short (the path of a Unix socket has 107 bytes)."""


class Lock:
    """A lock file that this process holds, or could not get."""

    def __init__(self, path: Path, wait: bool = False) -> None:
        self.path = path
        self.held = False
        while not self.held:
            self._file = path.open("a")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                self._file.close()
                return
            # Its last holder may have removed the file in between; a lock on it excludes nobody.
            self.held = path.exists() and os.path.samestat(os.fstat(self._file.fileno()), path.stat())
            if not self.held:
                self._file.close()

    def release(self) -> None:
        self._file.close()
        self.held = False

    def remove(self) -> None:
        """Release it for good."""
        self.path.unlink(missing_ok=True)
        self.release()


def lock_of(folder: Path) -> Lock:
    STATE.mkdir(mode=0o755, exist_ok=True)
    return Lock(folder.with_name(f"{folder.name}.lock"))


def new_folder(kind: str) -> tuple[Path, Lock]:
    """A folder that this process owns until it releases the lock."""
    folder = STATE / f"{kind}-{secrets.token_hex(3)}"
    lock = lock_of(folder)
    folder.mkdir()
    return folder, lock


def remove_folder(folder: Path, lock: Lock) -> None:
    """Give up a folder whose processes have ended."""
    shutil.rmtree(folder, ignore_errors=True)
    lock.remove()


def left_behind(kind: str) -> Iterator[tuple[Path, Lock]]:
    """Folders whose owner is gone, each locked for whoever cleans it up."""
    for path in sorted(STATE.glob(f"{kind}-*.lock")):
        lock = Lock(path)
        if lock.held:
            yield path.with_suffix(""), lock
