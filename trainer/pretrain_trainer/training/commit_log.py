"""The fenced log of checkpoints: one record per slot, a slot is taken by creating its file exclusively.

There is no check before a write: whoever creates the slot's file first has it. Every start of a training has a
generation above those in the log, so that a writer of an earlier start that is still alive sees that it was overtaken.
No torch here.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence

from pydantic import ValidationError

from pretrain_api import layout
from pretrain_api.commits import Commit
from pretrain_api.errors import PretrainError
from pretrain_api.storage import Storage

_LOGGER = logging.getLogger(__name__)


class Overtaken(PretrainError):
    """Another start of this training has committed; this one must not."""


def read_log(storage: Storage) -> list[Commit]:
    """All records, oldest first. A damaged one is told of and passed over, as a damaged checkpoint is."""
    paths = [f"{layout.COMMIT_LOG}/{name}" for name in storage.names(layout.COMMIT_LOG) if name.endswith(".json")]
    return [record for path in paths if (record := _record(storage, path))]


def sha256(storage: Storage, sequence: int) -> str:
    """SHA-256 of the bytes of a record, which its successor names."""
    return hashlib.sha256(storage.read_bytes(layout.commit(sequence))).hexdigest()


def _record(storage: Storage, path: str) -> Commit | None:
    try:
        return Commit.model_validate_json(storage.read_bytes(path))
    except ValidationError as error:
        _LOGGER.warning("%s is damaged and passed over: %s", storage.uri(path), error.errors()[0]["msg"])
        return None


def append(storage: Storage, record: Commit) -> Commit:
    """Put a record into the log at its sequence number or, where older generations took slots meanwhile, behind them.

    Returns the record as written. Raises Overtaken when the slot is held by the same or a newer generation of another
    writer. Safe to repeat: a record that is there already, told by its nonce, counts as written. A slot with a damaged
    record is passed over: records appear whole, so that its writer was done with it before.
    """
    while not storage.create_exclusive(layout.commit(record.sequence), record.model_dump_json(indent=1).encode()):
        other = _record(storage, layout.commit(record.sequence))
        if other and other.nonce == record.nonce:
            return other
        if other and other.generation >= record.generation:
            raise Overtaken(
                f"slot {record.sequence} of the commit log belongs to generation {other.generation}; "
                f"this is generation {record.generation}. Two runs use the same storage."
            )
        record = record.model_copy(update={"sequence": record.sequence + 1})
    return record


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


def abandoned(folders: Iterable[str], log: Sequence[Commit]) -> list[str]:
    """Payload folders that no record names: their writers died before the commit."""
    named = {commit.data.rsplit("/", 1)[-1] for commit in log}
    return [folder for folder in folders if folder not in named]
