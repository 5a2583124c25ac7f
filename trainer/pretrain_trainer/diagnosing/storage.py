"""Whether a store is fit for a run: reached, allowed, the same clock, conditional writes, bandwidth.

Objects of its own are written below the run's folder and removed again; nothing else is touched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pretrain_api import clocks
from pretrain_api.errors import PretrainError
from pretrain_api.findings import Finding, Level
from pretrain_api.storage import Storage
from pretrain_trainer.storage_faults import explained, first_contact

PROBE_BYTES = 64 << 20
"""Large enough that latency hides no bandwidth."""
_SLOW_BYTES_PER_SECOND = 100e6
_BYTES_PER_PARAMETER = 12
"""Of a checkpoint: weights and both moments of Adam in fp32."""
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG)
Check = Callable[[Storage, str], Iterator[Finding]]


def findings(uri: str, endpoint_url: str) -> Iterator[Finding]:
    """Each check in its turn, up to one that fails: those behind it could not succeed."""
    folder = f".doctor-{secrets.token_hex(4)}"
    storage: Storage | None = None
    missing: list[str] = []
    try:
        storage = Storage(uri, endpoint_url)
        missing = _missing(storage)
        for check in (_reached, _clock, _conditional, _bandwidth):
            yield from check(storage, folder)
    except Exception as error:
        if (told := _told(error, storage)) is None:
            raise
        yield told
    finally:
        if storage is not None:
            _tidy(storage, folder, missing)


def _told(error: Exception, storage: Storage | None) -> Finding | None:
    """The finding behind an error; None for a defect of ours."""
    if storage is None:
        if not isinstance(error, (ValueError, ImportError, PretrainError)):
            return None
        return _finding(
            "reached", "failure", f"the address cannot be used: {error}.", "Write a path or s3://bucket/run."
        )
    known = error if isinstance(error, PretrainError) else explained(error, storage)
    if known is None:
        if not (storage.is_local and isinstance(error, OSError) and error.errno in _NO_FOLDER):
            return None
        what = f"no folder can be made at {storage.root}: {os.strerror(error.errno or 0)}."
        return _finding("reached", "failure", what, "Write the path of a folder, or of one that can be made.")
    what, instead = getattr(known, "what", str(known)), getattr(known, "instead", "Try again in a moment.")
    if storage.is_local:
        what = f"{getattr(known, 'where', storage.root)}: {what}"
    return _finding("reached", "failure", what, instead)


def _missing(storage: Storage) -> list[str]:
    """The run's folder and those above it, as far as they are not there yet, the innermost first."""
    found, place = list[str](), storage.root
    while storage.is_local and not os.path.exists(place):
        found.append(place)
        place = os.path.dirname(place)
    return found


def _tidy(storage: Storage, folder: str, missing: list[str]) -> None:
    """Remove what was written; the folders that were not there before, too, unless somebody else has put something there."""
    try:
        storage.remove(folder)
    except Exception as error:
        if _told(error, storage) is None:
            raise  # else it was told as a finding already
    for place in missing:
        with contextlib.suppress(OSError):
            os.rmdir(place)


def _reached(storage: Storage, folder: str) -> Iterator[Finding]:
    first_contact(storage)
    is_new = bool(_missing(storage))
    storage.write_bytes(f"{folder}/written", b"written")
    listed, read = storage.names(folder), storage.read_bytes(f"{folder}/written")
    if listed != ["written"] or read != b"written":
        what = f"what was written to {storage.uri(folder)} is not there: listed {listed}, read {read!r}."
        yield _finding("reached", "failure", what, "Use a store that shows an object as soon as it is written.")
        return
    new = " The folder does not exist yet; a run makes it." if is_new else ""
    yield _finding("reached", "ok", f"{storage.uri()}: written, listed, read and removed.{new}")


def _clock(storage: Storage, folder: str) -> Iterator[Finding]:
    before = time.time()
    there = _time_there(storage, folder)
    if there is None:
        yield _finding("clock", "skipped", "this kind of store does not tell its time.")
        return
    here = (before + time.time()) / 2
    yield clocks.finding("Storage", "the store", there, datetime.fromtimestamp(here, UTC))


def _time_there(storage: Storage, folder: str) -> datetime | None:
    """The store's clock: of an S3 server from its answer, of a file system (a file server's, perhaps) from a new file."""
    if storage.is_local:
        name = f"{folder}/clock"
        storage.write_bytes(name, b"")
        return datetime.fromtimestamp(os.stat(storage.path(name)).st_mtime, UTC)
    if storage.is_s3:
        answer = storage.fs.call_s3("head_bucket", Bucket=storage.root.partition("/")[0])
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return parsedate_to_datetime(date) if date else None
    return None


def _conditional(storage: Storage, folder: str) -> Iterator[Finding]:
    name = f"{folder}/created-once"
    first, second = (storage.create_exclusive(name, content) for content in (b"first", b"second"))
    kept = storage.read_bytes(name)
    if first and not second and kept == b"first":
        yield _finding("conditional-writes", "ok", "a second writer of the same object is refused.")
        return
    what = "a second writer of an object replaces the first one's, so that two trainings could overwrite each other."
    instead = (
        "Use a store that honours If-None-Match, as S3, GCS, Azure, MinIO, Ceph and versitygw do, or a shared volume; or "
        "write spec.checkpoint.externalLock: true if something else keeps two trainings apart."
    )
    yield _finding("conditional-writes", "failure", what, instead)


def _bandwidth(storage: Storage, folder: str) -> Iterator[Finding]:
    name, content = f"{folder}/bandwidth", secrets.token_bytes(PROBE_BYTES)
    start = time.monotonic()
    storage.write_bytes(name, content)
    written = time.monotonic()
    read = storage.read_bytes(name)
    end = time.monotonic()
    if read != content:
        what = f"{PROBE_BYTES >> 20} MiB came back with other bytes than were written."
        yield _finding("bandwidth", "failure", what, "Do not train on this store before its cause is found.")
        return
    writing, reading = PROBE_BYTES / (written - start), PROBE_BYTES / (end - written)
    # A file that was just written is read from memory, which says nothing about the disk.
    figures = f"one writer {writing / 1e6:.0f} MB/s" + (
        "" if storage.is_local else f", one reader {reading / 1e6:.0f} MB/s"
    )
    minutes = 1e9 * _BYTES_PER_PARAMETER / writing / 60
    what = f"{figures}; a rank alone would save a model of a billion parameters in {minutes:.1f} min."
    slowest = writing if storage.is_local else min(writing, reading)
    if slowest < _SLOW_BYTES_PER_SECOND:
        instead = (
            "Move the store nearer, or save less often (spec.checkpoint.everySeconds). Ranks share a save among them."
        )
        yield _finding("bandwidth", "warning", what, instead)
        return
    yield _finding("bandwidth", "ok", what)


def _finding(check: str, level: Level, message: str, advice: str = "") -> Finding:
    return Finding("Storage", check, level, message, advice)
