"""From commits to a tracker: each step that stands, and what a training that went back says anew."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.jobs import a_job

from pretrain_api import layout
from pretrain_api.commits import Commit
from pretrain_api.storage import Storage
from pretrain_trainer.reporting.records import RunRecords
from pretrain_trainer.tracking.exporting import export
from pretrain_trainer.tracking.tracker import Step, figures, settings, steps

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_line(step: int, loss: float | None = 2.0, **more: Any) -> dict[str, Any]:
    return {"step": step, "loss": loss, "secondsPerStep": 0.5, "learningRate": 1e-3, **more}


def a_commit(storage: Storage, sequence: int, first: int, last: int, loss: float = 2.0) -> Commit:
    """A commit with the figures of steps `first` to `last`, in the log of a storage."""
    history = f"checkpoints/history/f/{first:08d}-{last:08d}-{sequence}.jsonl"
    content = "".join(json.dumps(a_line(step, loss)) + "\n" for step in range(first, last + 1))
    storage.write_bytes(history, content.encode())
    commit = Commit(
        sequence=sequence, fingerprint="f", generation=1, time=NOON + timedelta(minutes=sequence), nonce="n", step=last,
        samples=last, tokens=last, final=False, data="checkpoints/data/one", manifest_sha256="", history=history,
    )  # fmt: skip
    storage.write_bytes(layout.commit(sequence), commit.model_dump_json().encode())
    return commit


class Kept:
    """A tracker that keeps what it is told."""

    def __init__(self, newest_commit: int = 0) -> None:
        self.losses: list[tuple[int, float]] = []
        self.closed: list[str] = []
        self._newest = newest_commit

    def newest_commit(self) -> int:
        return self._newest

    def add(self, commit: int, steps: Sequence[Step]) -> None:
        self.losses += [(step.number, step.figures["loss"]) for step in steps]

    def close(self, state: str) -> None:
        self.closed.append(state)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def exported(storage: Storage, tracker: Kept) -> Kept:
    job = a_job().stored_in(Path(storage.root)).job
    export(lambda: RunRecords(storage, job, {}), tracker, follow=False, told=lambda step: None)
    return tracker


class TestExport:
    def test_gives_each_step_that_stands_once(self, storage: Storage) -> None:
        a_commit(storage, 1, 1, 4)
        a_commit(storage, 2, 3, 5, loss=1.0)  # training went back to step 2
        assert exported(storage, Kept()).losses == [(1, 2.0), (2, 2.0), (3, 1.0), (4, 1.0), (5, 1.0)]

    def test_goes_on_behind_the_commit_that_is_known(self, storage: Storage) -> None:
        a_commit(storage, 1, 1, 4)
        a_commit(storage, 2, 3, 5, loss=1.0)
        assert exported(storage, Kept(newest_commit=1)).losses == [(3, 1.0), (4, 1.0), (5, 1.0)]

    def test_of_a_run_without_commits_gives_nothing_and_closes(self, storage: Storage) -> None:
        tracker = exported(storage, Kept())
        assert (tracker.losses, tracker.closed) == ([], ["Pending"])

    def test_closes_when_the_tracker_fails(self, storage: Storage) -> None:
        class Broken(Kept):
            def add(self, commit: int, steps: Sequence[Step]) -> None:
                raise OSError("disk full")

        a_commit(storage, 1, 1, 4)
        tracker = Broken()
        with pytest.raises(OSError, match="disk full"):
            exported(storage, tracker)
        assert tracker.closed == ["Pending"]


class TestSteps:
    def test_end_before_their_commit_by_the_seconds_behind_them(self, storage: Storage) -> None:
        commit = a_commit(storage, 1, 1, 3)
        found = list(steps(commit, [a_line(1), a_line(2), a_line(3)]))
        end = commit.time.timestamp()
        assert [step.time for step in found] == pytest.approx([end - 1.0, end - 0.5, end])

    def test_figures_have_the_tools_names(self) -> None:
        line = a_line(
            1, bySource={"web": 2.5}, validation={"web": 2.25}, dataWaitSeconds=0.01, read={"samples": [0, 8]}
        )
        assert figures(line) == {
            "loss": 2.0, "learning_rate": 1e-3, "seconds_per_step": 0.5, "data_wait_seconds": 0.01,
            "loss_by_source/web": 2.5, "validation_loss/web": 2.25,
        }  # fmt: skip

    def test_what_was_not_finite_is_left_out(self) -> None:
        assert "loss" not in figures(a_line(1, loss=None, bySource={"web": None}))


def test_settings_are_what_was_written_flat() -> None:
    found = settings(a_job().with_spec(recovery={"maxFailures": 3}).job)
    assert found["recovery.maxFailures"] == 3
    assert "recovery.windowSeconds" not in found
    assert found["data.sources.0.name"]
