"""The checkpoints of a run as its log and its folders tell of them, and which of them a person means. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pretrain_api import layout
from pretrain_api.commits import Commit
from pretrain_api.errors import UserError
from pretrain_api.storage import Storage
from pretrain_trainer.training import commit_log
from pretrain_trainer.training.payload_files import CorruptCheckpoint, OtherVersion, chunks_of, read_manifest

State = Literal["kept", "removed", "damaged", "unreadable"]
"""`unreadable`: of another version of this program."""


@dataclass(frozen=True)
class Entry:
    """A commit and what became of its payload."""

    commit: Commit
    state: State
    bytes: int = 0
    """Of its tensors, where they are kept."""
    reason: str = ""
    """Why it counts as damaged, or cannot be read."""
    is_there: bool = False
    """Whether anything of its payload is left."""

    def as_json(self) -> dict[str, Any]:
        of = self.commit
        return {
            "sequence": of.sequence, "step": of.step, "samples": of.samples, "tokens": of.tokens, "start": of.generation,
            "time": of.time.isoformat(), "final": of.final, "state": self.state, "bytes": self.bytes, "reason": self.reason,
            "training": of.fingerprint, "data": of.data,
        }  # fmt: skip


def entries(storage: Storage) -> list[Entry]:
    """All commits, oldest first. UserError where there are none."""
    records = commit_log.read(storage)
    commits = [record for record in records if isinstance(record, Commit)]
    if not commits:
        raise UserError(
            "no-checkpoints",
            storage.uri(),
            "no training has committed here.",
            "Give the spec.storage.uri of a run that has a checkpoint.",
        )
    damaged = commit_log.damaged(records)
    folders = set(storage.names(layout.CHECKPOINT_DATA))
    return [_entry(storage, commit, damaged.get(commit.sequence, ""), folders) for commit in commits]


def chosen(found: Sequence[Entry], step: int | None, option: str = "--step") -> Entry:
    """The checkpoint of that step, or the newest one; kept, and of the newest training. UserError where there is none."""
    newest = found[-1].commit.fingerprint
    there = [entry for entry in found if entry.state == "kept" and entry.commit.fingerprint == newest]
    if wanted := [entry for entry in there if step in (None, entry.commit.step)]:
        return wanted[-1]
    steps = ", ".join(str(entry.commit.step) for entry in there) or "none"
    raise UserError(
        "no-such-checkpoint",
        option,
        f"there is no checkpoint of step {step}." if step is not None else "no checkpoint is left.",
        f"These can be read: {steps}. `pretrain checkpoints list --all` shows what became of the others.",
    )


def _entry(storage: Storage, commit: Commit, reason: str, folders: set[str]) -> Entry:
    if commit.data.rsplit("/", 1)[-1] not in folders:
        return Entry(commit, "damaged" if reason else "removed", reason=reason)
    if reason:
        return Entry(commit, "damaged", reason=reason, is_there=True)
    try:
        return Entry(commit, "kept", _size(storage, commit), is_there=True)
    except CorruptCheckpoint as error:
        if not storage.names(commit.data):  # training has removed it meanwhile
            return Entry(commit, "removed")
        return Entry(commit, "damaged", reason=str(error), is_there=True)
    except OtherVersion as error:
        return Entry(commit, "unreadable", reason=str(error), is_there=True)


def _size(storage: Storage, commit: Commit) -> int:
    """Bytes of its tensors. Raises CorruptCheckpoint where a file is missing or has another size than was written."""
    chunks = chunks_of(read_manifest(storage, commit.data, commit.manifest_sha256))
    ends: dict[str, int] = {}
    for chunk in chunks:
        ends[chunk["file"]] = max(ends.get(chunk["file"], 0), chunk["start"] + chunk["bytes"])
    found = storage.sizes(commit.data)
    for name, size in ends.items():
        if name not in found:
            raise CorruptCheckpoint(f"{commit.data}/{name} is missing")
        if found[name] != size:
            raise CorruptCheckpoint(f"{commit.data}/{name} has {found[name]} bytes instead of {size}")
    return sum(ends.values())
