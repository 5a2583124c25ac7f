"""The log of checkpoints in a run's storage: read whole, fenced by each start of training, appended to.

What writers do to each other is decided in `log_protocol`, what is not needed any more in `collection`; here their operations
are carried out, each again while its faults may pass. No torch here.
"""

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Container, Generator, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError

from pretrain_api import layout
from pretrain_api.commits import RECORDS, VERSION, Bad, Commit, Record
from pretrain_api.errors import PretrainError, UserError
from pretrain_api.storage import Storage
from pretrain_trainer.data.patience import Patience, may_pass
from pretrain_trainer.training import collection, log_protocol
from pretrain_trainer.training.log_protocol import AnyRecord, Fenced, Found, Read

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
    return hashlib.sha256(_patiently(partial(storage.read_bytes, layout.commit(sequence)))).hexdigest()


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
    return Fenced([*before, ours], ours.generation, ours.sequence + 1, len(before) == ours.sequence - 1)


def append(storage: Storage, record: AnyRecord) -> AnyRecord:
    """Put a record of a start that has fenced the log at its sequence number; returns it as written. Raises Overtaken."""
    return _carried_out(storage, log_protocol.appending(record))


def superseded(
    storage: Storage,
    newest: Commit,
    commits: Sequence[Commit],
    damaged: Container[int],
    keep_last: int,
    keep_every_steps: int,
) -> list[Commit]:
    """The commits to remove the payloads of (`pretrain_trainer.training.collection.superseded`)."""
    return _carried_out(storage, collection.superseded(newest, commits, damaged, keep_last, keep_every_steps))


def _numbers(storage: Storage) -> list[int]:
    """Sequence numbers of the slots that are taken."""
    names = (name.removesuffix(".json") for name in storage.names(layout.COMMIT_LOG) if name.endswith(".json"))
    return sorted(int(name) for name in names if name.isdecimal())


def _slot(storage: Storage, sequence: int) -> Record | Found:
    """What a slot holds. Raises PretrainError for a record of a later version of this program."""
    path = layout.commit(sequence)
    try:
        content = storage.read_bytes(path)
        record = RECORDS.validate_json(content)
    except FileNotFoundError:
        return Found.NOTHING
    except IsADirectoryError:
        reason = "it is a folder"
    except ValidationError as error:
        if (version := _version(content)) > VERSION:
            what = f"{storage.uri(path)} has format version {version}; this program reads {VERSION}. Use a newer one."
            raise PretrainError(what) from error
        reason = error.errors()[0]["msg"]
    else:
        if record.sequence == sequence:
            return record
        reason = f"it says that it is record {record.sequence}"
    _LOGGER.warning("%s is damaged and passed over: %s", storage.uri(path), reason)
    return Found.DAMAGED


def _version(content: bytes) -> int:
    """What a record that cannot be read says its version is; 0 where it says nothing."""
    try:
        version = json.loads(content)["version"]
    except (ValueError, TypeError, KeyError):
        return 0
    return version if isinstance(version, int) else 0


def _carried_out(storage: Storage, operations: Generator[Any, Any, Result]) -> Result:
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
