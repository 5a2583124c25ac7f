"""Which checkpoints go, and by whose decision. What several starts do to each other is explored in `test_log_safety`."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commits import a_commit

from pretrain_api import layout
from pretrain_api.commits import Commit, Record
from pretrain_api.storage import Storage
from pretrain_trainer.training.collection import abandoned, kept, superseded
from pretrain_trainer.training.commit_log import append, fence
from pretrain_trainer.training.log_protocol import Fenced, Found, Read


class TestSuperseded:
    COMMITS = tuple(a_commit(n, step=n) for n in range(1, 5))

    def by(
        self, behind: Record | Found, commits: Sequence[Commit] = COMMITS, damaged: frozenset[int] = frozenset()
    ) -> list[int]:
        """Sequence numbers of those that go when two stay. `behind`: what is found in the slot behind the newest."""
        asking = superseded(commits[-1], commits, damaged, 2, 0)
        assert next(asking) == Read(commits[-1].sequence + 1)
        with pytest.raises(StopIteration) as end:
            asking.send(behind)
        return [commit.sequence for commit in end.value.value]

    def test_are_all_but_those_that_stay(self) -> None:
        assert self.by(Found.NOTHING) == [1, 2]

    def test_are_none_once_a_newer_start_has_come(self) -> None:
        assert self.by(a_commit(5, generation=2)) == self.by(Found.DAMAGED) == []

    def test_are_damaged_ones_instead_of_whole_ones(self) -> None:
        assert self.by(Found.NOTHING, damaged=frozenset({3})) == [1, 3]


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


class TestAbandoned:
    def fenced(self, generation: int = 2, *, is_whole: bool = True) -> Fenced:
        return Fenced([a_commit(step=1)], generation, 3, is_whole)

    def test_are_payloads_of_earlier_starts_without_a_commit(self) -> None:
        assert abandoned(["00000001-1-n", "00000002-1-n"], self.fenced()) == ["00000002-1-n"]

    def test_are_none_of_this_start_or_a_later_one(self) -> None:
        """A start that was frozen behind its fence finds what later ones have written meanwhile."""
        assert abandoned(["00000002-2-n", "00000003-3-n"], self.fenced()) == []

    def test_are_none_where_a_record_that_may_name_them_cannot_be_read(self, tmp_path: Path) -> None:
        assert abandoned(["00000002-1-n"], self.fenced(is_whole=False)) == []
        storage = Storage(str(tmp_path))
        fence(storage, "f", "a")
        append(storage, a_commit(2))
        assert fence(storage, "f", "b").is_whole
        storage.write_bytes(layout.commit(2), b"{")
        assert not fence(storage, "f", "c").is_whole

    def test_are_no_folders_of_another_kind(self) -> None:
        assert abandoned(["mine", "a-b-c", "1-1-1-1"], self.fenced()) == []
