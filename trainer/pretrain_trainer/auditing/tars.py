"""Tars as the standard library reads them: from beginning to end, with their SHA-256. No index, no reader of the training."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

_BUFFER = 1 << 20

Told = Callable[[int], None]
"""Called with each number of bytes read."""


class Unreadable(Exception):
    """A shard that is missing, cut short or not what its manifest says."""


class _Passing(io.RawIOBase):
    """Passes on what is read and keeps its SHA-256."""

    def __init__(self, file: IO[bytes], told: Told) -> None:
        self._file, self._told, self.digest = file, told, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.digest.update(content)
        self._told(len(content))
        return content


@contextmanager
def whole(file: IO[bytes], sha256: str, told: Told) -> Iterator[tarfile.TarFile]:
    """The tar, which the caller reads through; then all behind its end is read as well and the SHA-256 compared. Raises
    Unreadable, also for what goes wrong while the caller reads."""
    passing = _Passing(file, told)
    try:
        with tarfile.open(fileobj=passing, mode="r|", bufsize=_BUFFER) as tar:
            yield tar
        while passing.read(_BUFFER):
            pass
    except (OSError, tarfile.TarError, ValueError, KeyError, EOFError) as error:
        raise Unreadable(f"it cannot be read: {type(error).__name__}: {error}") from error
    if passing.digest.hexdigest() != sha256:
        raise Unreadable("its SHA-256 is not that of its manifest")


def member_bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The content of a member that was just met."""
    content = tar.extractfile(member)
    return content.read() if content else b""
