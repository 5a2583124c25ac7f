"""The log of checkpoints in a run's storage: read whole, fenced by each start of training, appended to.

What writers do to each other is decided in `log_protocol`; here its operations are carried out, each again while its
faults may pass. No torch here.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError

from pretrain_api import layout
from pretrain_api.commits import RECORDS, Bad, Commit, Record
from pretrain_api.errors import UserError
from pretrain_api.storage import Storage
from pretrain_trainer.data.patience import Patience, may_pass
from pretrain_trainer.training import log_protocol
from pretrain_trainer.training.log_protocol import AnyRecord, Create, Found, Overtaken, Read

__all__ = ["Overtaken", "abandoned", "append", "damaged", "fence", "kept", "read", "read_log", "sha256"]

_LOGGER = logging.getLogger(__name__)
_PATIENCE = Patience()
Result = TypeVar("Result")


def read(storage: Storage) -> list[Record]:
    """All records, oldest first. A damaged one is told of and passed over, as a damaged checkpoint is."""
    return [r for number in _numbers(storage) if not isinstance(r := _slot(storage, number), Found)]


def read_log(storage: Storage) -> list[Commit]:
    """All commits, oldest first, whether their checkpoints are still there and whole or not."""
    return [record for record in read(storage) if isinstance(record, Commit)]


def damaged(records: Iterable[Record]) -> dict[int, str]:
    """Commits whose checkpoint was found damaged, by sequence number, and what is wrong with each."""
    return {record.of: record.reason for record in records if isinstance(record, Bad)}


def sha256(storage: Storage, sequence: int) -> str:
    """SHA-256 of the bytes of a record, which its successor names."""
    return hashlib.sha256(storage.read_bytes(layout.commit(sequence))).hexdigest()


@dataclass(frozen=True)
class Fenced:
    """The log as a start of training finds it: nothing of an earlier start is added to it any more."""

    records: list[Record]
    generation: int
    """Of this start."""
    next_sequence: int


def fence(storage: Storage, fingerprint: str, nonce: str, *, external_lock: bool = False) -> Fenced:
    """Begin a generation: keep all earlier starts from committing, and read what they have committed.

    Raises UserError where the store lets a second writer replace what the first one created, unless an external lock keeps
    writers apart.
    """
    taken = _patiently(partial(_numbers, storage))
    found = [_patiently(partial(_slot, storage, number)) for number in taken]
    known = [record for record in found if not isinstance(record, Found)]
    ours, before = _carried_out(
        storage, log_protocol.fencing(known, max(taken, default=0), fingerprint, nonce, datetime.now(UTC))
    )
    # The same bytes once more: a store that takes them does not look at the condition, and would take a commit over another.
    is_replaced = _patiently(lambda: storage.create_exclusive(layout.commit(ours.sequence), _bytes(ours)))
    if is_replaced and not external_lock:
        raise UserError(
            "no-conditional-writes",
            "spec.storage.uri",
            f"the store of {storage.uri()} lets two writers create one object, so that checkpoints could overwrite each "
            "other.",
            "Use a store that honours If-None-Match, as S3, GCS, Azure, MinIO, Ceph and versitygw do, or a shared volume; or "
            "write spec.checkpoint.externalLock: true if something else keeps two trainings apart.",
        )
    return Fenced([*before, ours], ours.generation, ours.sequence + 1)


def append(storage: Storage, record: AnyRecord) -> AnyRecord:
    """Put a record of a start that has fenced the log at its sequence number; returns it as written. Raises Overtaken."""
    return _carried_out(storage, log_protocol.appending(record))


def is_newest(storage: Storage, sequence: int) -> bool:
    """Whether nobody has put a record behind that one. Reads the slot: to ask whether it exists would list the log."""
    return _patiently(partial(_slot, storage, sequence + 1)) is Found.NOTHING


def kept(commits: Sequence[Commit], keep_last: int, keep_every_steps: int) -> set[str]:
    """Payload folders that stay: of the newest `keep_last` commits and of the first commit in each interval of steps."""
    newest_first = sorted(commits, key=lambda c: c.sequence, reverse=True)
    stay = {commit.data for commit in newest_first[:keep_last]}
    if keep_every_steps:
        first_in_interval: dict[int, Commit] = {}
        for commit in reversed(newest_first):
            first_in_interval.setdefault(commit.step // keep_every_steps, commit)
        stay |= {commit.data for commit in first_in_interval.values() if commit.step >= keep_every_steps}
    return stay


def abandoned(folders: Iterable[str], log: Sequence[Record]) -> list[str]:
    """Payload folders that no record names: their writers died before the commit."""
    named = {record.data.rsplit("/", 1)[-1] for record in log if isinstance(record, Commit)}
    return [folder for folder in folders if folder not in named]


def _numbers(storage: Storage) -> list[int]:
    """Sequence numbers of the slots that are taken."""
    names = (name.removesuffix(".json") for name in storage.names(layout.COMMIT_LOG) if name.endswith(".json"))
    return sorted(int(name) for name in names if name.isdecimal())


def _slot(storage: Storage, sequence: int) -> Record | Found:
    path = layout.commit(sequence)
    try:
        return RECORDS.validate_json(storage.read_bytes(path))
    except FileNotFoundError:
        return Found.NOTHING
    except ValidationError as error:
        _LOGGER.warning("%s is damaged and passed over: %s", storage.uri(path), error.errors()[0]["msg"])
        return Found.DAMAGED


def _carried_out(storage: Storage, operations: Generator[Create | Read, Any, Result]) -> Result:
    answer: Any = None
    faults = _Faults()
    while True:
        try:
            operation = operations.send(answer)
        except StopIteration as end:
            result: Result = end.value
            return result
        if isinstance(operation, Read):
            answer = _patiently(partial(_slot, storage, operation.sequence))
            continue
        try:
            answer = storage.create_exclusive(layout.commit(operation.record.sequence), _bytes(operation.record))
        except Exception as error:  # noqa: BLE001 - raised again where it does not pass
            faults.wait(error)
            answer = False  # maybe it is there nevertheless: the slot tells


class _Faults:
    """Waits between attempts. Raises the fault where it does not pass, or not for too long."""

    def __init__(self) -> None:
        self._attempt, self._since = 0, time.monotonic()

    def wait(self, error: Exception) -> None:
        self._attempt += 1
        if not may_pass(error) or time.monotonic() - self._since > _PATIENCE.seconds:
            raise error
        threading.Event().wait(_PATIENCE.pause(self._attempt))


def _patiently(action: Callable[[], Result]) -> Result:
    faults = _Faults()
    while True:
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - raised again where it does not pass
            faults.wait(error)


def _bytes(record: Record) -> bytes:
    return record.model_dump_json(indent=1).encode()
