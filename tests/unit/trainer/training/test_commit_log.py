from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_api import layout
from pretrain_api.commits import Commit
from pretrain_api.storage import Storage
from pretrain_trainer.training.commit_log import Overtaken, abandoned, append, kept, read_log


def a_commit(sequence: int = 1, *, step: int = 0, generation: int = 1, nonce: str = "n") -> Commit:
    return Commit(
        sequence=sequence,
        fingerprint="f",
        generation=generation,
        step=step,
        samples=step,
        tokens=step,
        final=False,
        data=f"checkpoints/data/{step:08d}-{generation}-{nonce}",
        manifest_sha256="",
        history="",
        time=datetime.now(UTC),
        nonce=nonce,
    )


def test_of_64_writers_of_one_slot_one_wins(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))

    def commit(number: int) -> bool:
        try:
            append(storage, a_commit(nonce=str(number)))
        except Overtaken:
            return False
        return True

    with ThreadPoolExecutor(64) as pool:
        assert sum(pool.map(commit, range(64))) == 1
    assert len(read_log(storage)) == 1


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[]", b'{"sequence": 2}'])
def test_a_damaged_record_is_passed_over(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    storage = Storage(str(tmp_path))
    for sequence in (1, 2):
        append(storage, a_commit(sequence))
    storage.write_bytes(layout.commit(2), damage)
    assert [commit.sequence for commit in read_log(storage)] == [1]
    assert "000000000002.json is damaged" in caplog.text
    assert append(storage, a_commit(2, nonce="of the next start")).sequence == 3


class TestAppend:
    def test_a_commit_of_an_older_generation_does_not_stop_a_newer_one(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path))
        append(storage, a_commit(generation=1, nonce="late writer of the start before"))
        assert append(storage, a_commit(generation=2)).sequence == 2

    def test_an_overtaken_writer_gives_up(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path))
        append(storage, a_commit(generation=2, nonce="new"))
        with pytest.raises(Overtaken, match="generation 2"):
            append(storage, a_commit(generation=1))
        assert [c.generation for c in read_log(storage)] == [2]

    def test_repeating_a_commit_whose_answer_was_lost_changes_nothing(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path))
        first = append(storage, a_commit())
        assert append(storage, a_commit()) == first
        assert len(read_log(storage)) == 1


class TestKept:
    def test_the_newest_stay(self) -> None:
        commits = [a_commit(n, step=n) for n in range(1, 6)]
        assert kept(commits, 2, 0) == {commits[3].data, commits[4].data}

    def test_one_of_each_interval_of_steps_stays(self) -> None:
        commits = [a_commit(n, step=step) for n, step in enumerate((5, 12, 18, 23, 29, 35))]
        assert kept(commits, 1, 10) == {commits[n].data for n in (1, 3, 5)}

    @given(st.lists(st.integers(1, 1000), min_size=1), st.integers(1, 5), st.integers(0, 50))
    def test_the_newest_is_never_collected_and_what_was_collected_is_not_needed_later(
        self, steps: list[int], last: int, every: int
    ) -> None:
        commits: list[Commit] = []
        present: set[str] = set()
        for number, step in enumerate(sorted(set(steps))):
            commits.append(a_commit(number, step=step))
            present.add(commits[-1].data)
            stay = kept(commits, last, every)
            assert stay <= present
            assert commits[-1].data in stay
            present = stay


def test_payloads_without_a_commit_are_abandoned() -> None:
    assert abandoned(["00000001-1-n", "00000002-1-n"], [a_commit(step=1)]) == ["00000002-1-n"]
