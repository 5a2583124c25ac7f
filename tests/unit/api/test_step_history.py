"""Steps of a run from its commits: each step once, the later commit's word counts."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_api.commits import Commit
from pretrain_api.errors import UserError
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


class TestDamage:
    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"", "it is empty"),
            (b'{"step": 1, "loss": 1}\n{"step": 2, "lo', "line 2 is damaged (Invalid JSON"),
            (b"\x00\xff\x80", "line 1 is damaged (Invalid JSON"),
            (b"[1]\n", "line 1 is damaged (Input should be an object)"),
            (b"null\n", "line 1 is damaged (Input should be an object)"),
            (b'{"loss": 1}\n', "line 1 is damaged (step: Field required)"),
            (b'{"step": 1}\n{"step": 2, "loss": "abc"}\n{"step": 3}\n', "line 2 is damaged (loss: "),
            (b'{"step": 1, "loss": NaN}\n', "line 1 is damaged (loss: "),
            (b'{"step": 1, "bySource": {"a": []}}\n', "line 1 is damaged (bySource: a: "),
            (b'{"step": 1, "recoveries": [{}]}\n', "line 1 is damaged (recoveries: 0: "),
            (b'{"step": 1' + b"0" * 400 + b"}\n", "line 1 is damaged (step: "),
        ],
    )
    def test_names_the_file_and_what_is_wrong(self, tmp_path: Path, content: bytes, what: str) -> None:
        storage = Storage(str(tmp_path))
        commit = a_commit(storage, 1, 1, 3)
        storage.write_bytes(commit.history, content)
        with pytest.raises(UserError) as error:
            list(read_steps(storage, [commit]))
        assert (error.value.code, error.value.where) == ("run-unreadable", storage.uri(commit.history))
        assert what in error.value.what

    def test_a_file_that_is_gone_or_a_folder_is_told(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path))
        commit = a_commit(storage, 1, 1, 3)
        (tmp_path / commit.history).unlink()
        with pytest.raises(UserError, match="it is gone"):
            list(read_steps(storage, [commit]))
        (tmp_path / commit.history).mkdir()
        with pytest.raises(UserError, match="a folder stands where the file should"):
            list(read_steps(storage, [commit]))
