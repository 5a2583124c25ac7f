"""Steps of a run from its commits: each step once, the later commit's word counts."""

import json
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pretrain_api.commits import Commit
from pretrain_api.step_history import read_steps, standing
from pretrain_api.storage import Storage


def a_commit(storage: Storage, sequence: int, first: int, last: int) -> Commit:
    """A commit whose history says of each step which commit wrote it."""
    history = f"checkpoints/history/f/{first:08d}-{last:08d}-{sequence}.jsonl" if last >= first else ""
    if history:
        lines = "".join(json.dumps({"step": s, "loss": sequence}) + "\n" for s in range(first, last + 1))
        storage.write_bytes(history, lines.encode())
    return Commit(
        sequence=sequence,
        fingerprint="f",
        generation=1,
        step=last,
        samples=last,
        tokens=last,
        final=False,
        data="checkpoints/data/one",
        manifest_sha256="",
        history=history,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        nonce="",
    )


class TestReadSteps:
    def test_an_undisturbed_run_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path))
        commits = [a_commit(storage, 1, 1, 3), a_commit(storage, 2, 4, 5)]
        assert [step["step"] for step in read_steps(storage, commits)] == [1, 2, 3, 4, 5]

    def test_a_later_commit_replaces_what_it_repeats_and_what_it_went_back_behind(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path))
        # Commit 3 resumed from step 2 because commit 2 was damaged, and has not come as far as that one yet.
        commits = [a_commit(storage, 1, 1, 2), a_commit(storage, 2, 3, 9), a_commit(storage, 3, 3, 4)]
        assert [(s["step"], s["loss"]) for s in read_steps(storage, commits)] == [(1, 1), (2, 1), (3, 3), (4, 3)]

    def test_a_commit_without_steps_changes_nothing(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path))
        commits = [a_commit(storage, 1, 1, 2), a_commit(storage, 2, 3, 2)]
        assert [step["step"] for step in read_steps(storage, commits)] == [1, 2]


class TestStanding:
    @given(data=st.data())
    def test_equals_writing_the_steps_into_one_list(self, data: st.DataObject) -> None:
        spans: list[tuple[str, int, int]] = []
        reference: list[tuple[int, str]] = []
        for number in range(data.draw(st.integers(0, 8))):
            first = data.draw(st.integers(1, len(reference) + 1))
            last = data.draw(st.integers(first, first + 5))
            spans.append((str(number), first, last))
            reference = reference[: first - 1] + [(step, str(number)) for step in range(first, last + 1)]
        found = [(step, s.history) for s in standing(spans) for step in range(s.first, s.last + 1)]
        assert found == reference
