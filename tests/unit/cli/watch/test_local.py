"""A run on this machine as `pretrain watch` looks at it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.jobs import a_job

from pretrain_api import layout
from pretrain_api.commits import Commit
from pretrain_api.storage import Storage
from pretrain_api.types import PretrainJobStatus
from pretrain_cli.watch.local import LocalRun
from pretrain_operator.bodies.local.workplace import Workplace

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HISTORY = "checkpoints/history/f/00000001-00000002-1.jsonl"


def a_run(folder: Path, **status: Any) -> Workplace:
    """A run with one commit, of two steps."""
    job = a_job().stored_in(folder).job
    place = Workplace(Storage.of(job.spec.storage))
    place.write_job(layout.STATUS, job.model_copy(update={"status": PretrainJobStatus.model_validate(status)}))
    commit = Commit(
        sequence=1, fingerprint="f", generation=1, time=NOON, nonce="n", step=2, samples=2, tokens=2, final=False,
        data="checkpoints/data/one", manifest_sha256="", history=HISTORY,
    )  # fmt: skip
    place.storage.write_bytes(layout.commit(1), commit.model_dump_json().encode())
    lines = [json.dumps({"step": step, "loss": 2.0}) for step in (1, 2)]
    place.storage.write_bytes(HISTORY, "\n".join(lines).encode())
    return place


def test_the_first_look_has_the_steps_before_it(tmp_path: Path) -> None:
    run = LocalRun(a_run(tmp_path, state="Succeeded"))
    assert [step["step"] for step in run.look().steps] == [1, 2]
    look = run.look()
    assert (look.steps, look.note) == ([], "")


@pytest.mark.parametrize("content", [b'{"step": 1}\n[1]', b"", b"\xff"])
def test_a_damaged_history_is_a_note_and_the_rest_is_shown(tmp_path: Path, content: bytes) -> None:
    place = a_run(tmp_path, state="Training")
    place.storage.write_bytes(HISTORY, content)
    run = LocalRun(place)
    for _ in range(2):
        look = run.look()
        assert look.note.startswith("nobody runs it: ")
        assert place.storage.uri(HISTORY) in look.note
        assert "[run-unreadable]" in look.note
        assert look.status.state == "Training"
