"""The committed steps of a run, from commits and history files alone."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pretrain_api import layout
from pretrain_api.commits import Commit
from pretrain_api.errors import UserError
from pretrain_api.storage import Storage
from pretrain_trainer.auditing.steps import audit


def commit(storage: Storage, sequence: int, steps: list[int]) -> None:
    history = f"{layout.CHECKPOINT_HISTORY}/f/{sequence}.jsonl"
    storage.write_bytes(history, "".join(json.dumps({"step": step}) + "\n" for step in steps).encode())
    record = Commit(
        sequence=sequence, fingerprint="f", generation=1, step=steps[-1], samples=steps[-1] * 4, tokens=steps[-1] * 64,
        final=False, data="", manifest_sha256="", history=history, time=datetime.now(UTC), nonce=str(sequence),
    )  # fmt: skip
    storage.write_bytes(layout.commit(sequence), record.model_dump_json().encode())


def test_steps_that_follow_each_other_are_clean(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    commit(storage, 1, [1, 2, 3])
    commit(storage, 2, [3, 4])  # it went back to step 2 meanwhile
    assert (audit(storage).steps, audit(storage).differences) == (4, [])


def test_a_step_that_is_missing_or_twice_there_is_named(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    commit(storage, 1, [1, 2, 2, 4])
    assert audit(storage).differences == ["where step 3 is due, the committed history has step 2"]


def test_a_storage_without_a_commit_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no training has committed here"):
        audit(Storage(str(tmp_path)))
